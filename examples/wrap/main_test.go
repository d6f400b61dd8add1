package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
)

func TestMain(m *testing.M) { os.Exit(canary.Net(m).Run()) }

var token, secretID, password = canary.New(), canary.New(), canary.New()

// The program's Vault is https://vault.company.com, and so it is here: behind a
// proxy, which Vault's own variable names.
func TestEquip(t *testing.T) {
	store, err := devstack.StartVault(token)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	store.Write("mlflow/auth", map[string]string{"username": "admin", "password": password})
	server, err := devstack.StartMLflow("admin", password)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	proxy, authority := company(t, "vault.company.com", withAppRole(t, store.URL()))
	for name, value := range map[string]string{
		"VAULT_PROXY_ADDR": proxy, "VAULT_CACERT": authority,
		"VAULT_ROLE_ID": "the-role", "VAULT_SECRET_ID": secretID,
	} {
		t.Setenv(name, value)
	}

	used := 0
	client := &http.Client{Transport: &http.Transport{
		// What the client did before it still does: here, to know where the server is.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			used++
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+server.Port())
		},
	}}
	defer client.CloseIdleConnections()
	if err := equip(client); err != nil {
		t.Fatal(err)
	}
	if store.Reads() != 1 {
		t.Errorf("the store was read %d times at the start, want once", store.Reads())
	}
	resp, err := client.Get("http://mlflow.company.com/api/2.0/mlflow/experiments/search?max_results=5")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || used != 1 {
		t.Errorf("%s, by %d connections of the client's own transport", resp.Status, used)
	}

	t.Setenv("VAULT_SECRET_ID", "another")
	if err := equip(&http.Client{}); err == nil {
		t.Error("a login that Vault refuses is not told at the start")
	}
}

// withAppRole is the Vault at address, with one role.
func withAppRole(t *testing.T, address string) http.Handler {
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }})
	mux.HandleFunc("PUT /v1/auth/approle/login", func(w http.ResponseWriter, req *http.Request) {
		var in struct {
			Role   string `json:"role_id"`
			Secret string `json:"secret_id"`
		}
		w.Header().Set("Content-Type", "application/json")
		if json.NewDecoder(req.Body).Decode(&in) != nil || in.Role != "the-role" || in.Secret != secretID {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"errors":["invalid role or secret ID"]}`)
			return
		}
		_, _ = io.WriteString(w, `{"auth":{"client_token":"`+token+`","lease_duration":3600,"renewable":false}}`)
	})
	return mux
}

// company serves a host by TLS, behind a proxy, and returns that proxy and the file
// of the authority to trust.
func company(t *testing.T, host string, h http.Handler) (proxy, authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	authority = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}

	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodConnect || req.Host != host+":443" {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		out, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		in, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = out.Close()
			return
		}
		_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
		_, _ = io.Copy(in, out)
		_ = in.Close()
	}))
	t.Cleanup(front.Close)
	return front.URL, authority
}
