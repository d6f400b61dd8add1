package cli_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
)

// running is the command proxy, as a process of its own.
type running struct {
	*testing.T
	cmd    *exec.Cmd
	told   string // stdout
	stderr *strings.Builder
}

// runProxy starts the command and waits until it has said what clients must set.
func runProxy(t *testing.T, environ []string, args ...string) *running {
	t.Helper()
	r := &running{T: t, stderr: new(strings.Builder)}
	r.cmd = exec.Command("mlflow-secrets-auth", append([]string{"proxy", "--control", ""}, args...)...)
	r.cmd.Env = append(append(os.Environ(), "HOME="+t.TempDir(), "GORACE=atexit_sleep_ms=0", "MLFLOW_TRACKING_TOKEN=", "NO_PROXY=*"), environ...)
	r.cmd.Stderr = r.stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		r.told += lines.Text() + "\n"
		if strings.HasPrefix(lines.Text(), "# Health") {
			return r
		}
	}
	_ = r.cmd.Wait()
	t.Fatalf("it has ended: %s", r.stderr)
	return nil
}

// value is what the proxy has told, by a regular expression with one group.
func (r *running) value(pattern string) string {
	r.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(r.told)
	if found == nil {
		r.Fatalf("no %s in\n%s", pattern, r.told)
	}
	return found[1]
}

// end interrupts the proxy and checks how it ends.
func (r *running) end(secrets ...string) {
	r.Helper()
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		r.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		r.Errorf("it has ended by %v\n%s", err, r.stderr)
	}
	canary.Absent(r, "what the proxy prints", r.told+r.stderr.String(), secrets...)
}

func get(t *testing.T, url string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	change(req)
	resp, err := new(http.Transport).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// What the proxy prints is what a client needs, before and after a rotation.
func TestProxyCommand(t *testing.T) { //nolint:tparallel // the secret is rotated between them
	t.Parallel()
	s := newStack(t)
	environ := append(s.environ(), "MLFLOW_SECRETS_LOG_LEVEL=DEBUG")
	args := []string{"--upstream", s.server.URL(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
	const experiments = "/api/2.0/mlflow/experiments/search?max_results=1"

	t.Run("a token for this run", func(t *testing.T) {
		p := runProxy(t, environ, args...)
		address, token := p.value(`(?m)^export MLFLOW_TRACKING_URI=(http://127\.0\.0\.1:\d+)$`), p.value(`(?m)^export MLFLOW_TRACKING_TOKEN=(\w{26})$`)
		p.value(`(?m)^(unset MLFLOW_TRACKING_USERNAME MLFLOW_TRACKING_PASSWORD)$`)
		link, ready := p.value(`once: (http\S+)`), p.value(`(http\S+/readyz)`)
		ask := func() {
			t.Helper()
			resp, body := get(t, address+experiments, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
			if resp.StatusCode != 200 || !strings.Contains(body, `"experiments"`) {
				t.Errorf("status %d: %s", resp.StatusCode, body)
			}
		}
		ask()
		s.rotate()
		ask()
		if resp, _ := get(t, address+experiments, func(*http.Request) {}); resp.StatusCode != 401 {
			t.Errorf("without the token: status %d", resp.StatusCode)
		}
		doctor := exec.Command("mlflow-secrets-auth", "doctor", "--dry-run", address)
		doctor.Env = p.cmd.Env
		if said, err := doctor.Output(); err == nil || !strings.Contains(string(said), "this is a proxy of mlflow-secrets-auth") {
			t.Errorf("doctor does not know the proxy: %v\n%s", err, said)
		}
		if resp, _ := get(t, link, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") }); resp.StatusCode != 303 || len(resp.Cookies()) != 1 {
			t.Errorf("the link: status %d", resp.StatusCode)
		}
		if resp, body := get(t, ready, func(*http.Request) {}); resp.StatusCode != 200 {
			t.Errorf("readyz: status %d: %s", resp.StatusCode, body)
		}
		p.end(s.secrets()...)
	})
	t.Run("the token of the environment", func(t *testing.T) {
		token := canary.New()
		p := runProxy(t, append(environ, "MLFLOW_TRACKING_TOKEN="+token), args...)
		address := p.value(`URI=(\S+)`)
		if resp, body := get(t, address+experiments, func(r *http.Request) { r.SetBasicAuth("anyone", token) }); resp.StatusCode != 200 {
			t.Errorf("status %d: %s", resp.StatusCode, body)
		}
		if strings.Contains(p.told, "code=") {
			t.Error("a link is written to what may be a journal")
		}
		p.end(append(s.secrets(), token)...)
	})
	t.Run("no token", func(t *testing.T) {
		p := runProxy(t, environ, append(args, "--no-client-token")...)
		address := p.value(`URI=(\S+)`)
		if resp, body := get(t, address+experiments, func(*http.Request) {}); resp.StatusCode != 200 {
			t.Errorf("status %d: %s", resp.StatusCode, body)
		}
		if strings.Contains(p.told, "TOKEN") {
			t.Errorf("it asks for a token: %s", p.told)
		}
		p.end(s.secrets()...)
	})
}

// An upstream that is reached by the proxy that the environment names.
func TestProxyCommandBehindAProxy(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	company := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); r.URL.Host != "mlflow.test" || user != "trainer" || password != s.first {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, "hello from "+r.URL.Host)
	}))
	t.Cleanup(company.Close)
	p := runProxy(t, append(s.environ(), "MLFLOW_SECRETS_ALLOWED_HOSTS=mlflow.test", "HTTP_PROXY="+company.URL, "NO_PROXY=127.0.0.1"),
		"--upstream", "http://mlflow.test", "--insecure-plain-http-upstream", "--no-client-token", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if resp, body := get(t, p.value(`URI=(\S+)`), func(*http.Request) {}); resp.StatusCode != 200 || body != "hello from mlflow.test" {
		t.Errorf("status %d: %s", resp.StatusCode, body)
	}
	p.end(s.secrets()...)
}

// An upstream of a private authority that wants to know its clients.
func TestProxyCommandWithCertificates(t *testing.T) {
	t.Parallel()
	password, token := "pass-"+canary.New(), "hvs."+canary.New()
	store, err := devstack.StartVault(token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	store.Write("mlflow/auth", map[string]string{"username": "trainer", "password": password})

	dir := t.TempDir()
	clientCert, certFile, keyFile := clientCertificate(t, dir)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, got, _ := r.BasicAuth(); got != password || r.ProtoMajor != 2 {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, "hello "+r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	pool := x509.NewCertPool()
	pool.AddCert(clientCert)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	caFile := filepath.Join(dir, "ca.pem")
	writePEM(t, caFile, "CERTIFICATE", server.Certificate().Raw)

	p := runProxy(t, []string{
		"MLFLOW_SECRETS_AUTH_ENABLE=vault", "VAULT_ADDR=" + store.URL(), "VAULT_TOKEN=" + token, "MLFLOW_VAULT_SECRET_PATH=secret/mlflow/auth",
	}, "--upstream", server.URL, "--upstream-ca", caFile, "--client-cert", certFile, "--client-key", keyFile,
		"--no-client-token", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if resp, body := get(t, p.value(`URI=(\S+)`), func(*http.Request) {}); resp.StatusCode != 200 || body != "hello trainer" {
		t.Errorf("status %d: %s", resp.StatusCode, body)
	}
	p.end(password, token)
	if strings.Contains(p.stderr.String(), "every host") {
		t.Error("it warns of an allow-list that does not count")
	}
}

func clientCertificate(t *testing.T, dir string) (cert *x509.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "trainer"}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IsCA: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "PRIVATE KEY", keyDER)
	return cert, certFile, keyFile
}

func writePEM(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
