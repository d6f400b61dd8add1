package azure_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

// Over a real connection.
func TestS120PartialAnswers(t *testing.T) {
	t.Parallel()
	const whole = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
	for name, c := range map[string]struct {
		bytes func(body string) string
		reset bool
	}{
		"nothing":           {func(string) string { return "" }, false},
		"nothing, reset":    {func(string) string { return "" }, true},
		"half a status":     {func(string) string { return "HTTP/1.1 20" }, false},
		"half a body":       {func(b string) string { return fmt.Sprintf(whole, len(b), b[:len(b)/2]) }, false},
		"half a body reset": {func(b string) string { return fmt.Sprintf(whole, len(b), b[:len(b)/2]) }, true},
		"silently cut":      {func(b string) string { return fmt.Sprintf(whole, len(b)/2, b[:len(b)/2]) }, false},
		"not HTTP":          {func(b string) string { return b }, false},
		"error cut short":   {func(b string) string { return "HTTP/1.1 404 Not Found\r\nContent-Length: 999\r\n\r\n" + b }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, want := newStandin(), canary.New()
			s.put(want)
			body := secretOf(want, "").body
			var broken atomic.Bool
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if !broken.Load() {
					s.ServeHTTP(w, req)
					return
				}
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, c.bytes(body))
				if inner, ok := conn.(interface{ NetConn() net.Conn }); ok && c.reset {
					_ = inner.NetConn().(*net.TCPConn).SetLinger(0)
					_ = inner.NetConn().Close()
				}
				_ = conn.Close()
			}))
			t.Cleanup(server.Close)
			p := newProvider(t, azure.Config{VaultURL: server.URL, SecretName: "mlflow-auth", MaxAttempts: 2, HTTPClient: server.Client()})
			fetchToken(t, p)
			broken.Store(true)
			_, err := p.Fetch(t.Context())
			wantError(t, err, secretsauth.ErrUnavailable, server.URL)
			canary.AbsentFrom(t, "error", err, want)
			if strings.Contains(err.Error(), "recoveryLevel") {
				t.Errorf("error quotes the answer: %v", err)
			}
			broken.Store(false)
			if fetchToken(t, p) != want {
				t.Error("wrong secret")
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	const address = "http://127.0.0.1:1" // a port that was free a moment ago may be another test's by now
	_, err := newProvider(t, azure.Config{VaultURL: address, SecretName: "mlflow-auth", MaxAttempts: 1}).Fetch(t.Context())
	e := wantFailure(t, err, secretsauth.ErrUnavailable, "cannot reach Key Vault at "+address)
	if !errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(e.Cause.Error(), "/secrets/") {
		t.Errorf("cause %v", e.Cause)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s := newStandin()
	s.put(ourSecret)
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	_, err := newProvider(t, azure.Config{VaultURL: server.URL, SecretName: "mlflow-auth"}).Fetch(t.Context())
	wantError(t, err, secretsauth.ErrUnavailable, "is not trusted", "SSL_CERT_FILE")
	if len(s.requests) != 0 {
		t.Error("an untrusted server got a request")
	}
	plain := httptest.NewServer(s)
	t.Cleanup(plain.Close)
	_, err = newProvider(t, azure.Config{VaultURL: strings.Replace(plain.URL, "http://", "https://", 1), SecretName: "mlflow-auth"}).Fetch(t.Context())
	wantError(t, err, secretsauth.ErrConfig, "speaks plain http")
}

func TestDNS(t *testing.T) {
	t.Parallel()
	s := newStandin()
	s.before = func(*http.Request) *reply {
		return &reply{err: &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "my-vault.vault.azure.net", IsNotFound: true}}}
	}
	_, err := s.provider(t, func(c *azure.Config) { c.MaxAttempts = 1 }).Fetch(t.Context())
	wantError(t, err, secretsauth.ErrUnavailable, "does not resolve", "no such host", "az keyvault list")
}

func TestS106S120EndlessAnswer(t *testing.T) {
	t.Parallel()
	s := newStandin()
	s.put(ourSecret)
	p := s.provider(t, func(c *azure.Config) { c.MaxAttempts = 1 })
	fetchToken(t, p)
	s.store(secretOf(strings.Repeat("x", 3<<20), ""))
	_, err := p.Fetch(t.Context())
	wantError(t, err, secretsauth.ErrUnavailable, "no usable answer")
}
