package vault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

func TestS122S150Attempts(t *testing.T) {
	t.Parallel()
	for _, status := range []int{412, 429, 500, 502, 503, 504} {
		for attempts, want := range map[int]int{0: 3, 1: 1, 2: 2, 5: 5} {
			synctest.Test(t, func(t *testing.T) {
				s, _ := newStandin()
				s.before = func(*http.Request) *reply { return &reply{status: status, body: `{"errors":[]}`} }
				cfg := s.config("secret/mlflow/auth")
				cfg.MaxAttempts = attempts
				start := time.Now()
				_, err := newProvider(t, cfg).Fetch(t.Context())
				wantError(t, err, secretsauth.ErrUnavailable, fmt.Sprint(status))
				if n := s.count("GET sys/internal/"); n != want {
					t.Errorf("status %d, MaxAttempts %d: %d attempts", status, attempts, n)
				}
				if all, rest := len(s.seen()), s.count("GET sys/health"); all != want+rest || rest > 1 {
					t.Errorf("status %d: requests %q", status, s.seen())
				}
				if want == 3 {
					// 100 ms and 200 ms, each from half to one and a half (S150).
					if took := time.Since(start); took < 150*time.Millisecond || took > 450*time.Millisecond {
						t.Errorf("pauses of %v", took)
					}
				}
			})
		}
	}
}

func TestAttemptsAreOfTheWholeFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, want := newStandin()
		n := 0
		s.before = func(*http.Request) *reply {
			if n++; n%2 == 1 {
				return &reply{status: 503}
			}
			return nil
		}
		cfg := s.withAppRole(s.config("secret/mlflow/auth"), 60, "*")
		_, err := newProvider(t, cfg).Fetch(t.Context()) // login, mount and read fail once each
		wantError(t, err, secretsauth.ErrUnavailable, "503")
		n, cfg.MaxAttempts = 0, 4
		if fetchToken(t, newProvider(t, cfg)) != want {
			t.Error("wrong secret")
		}
	})
}

func TestStatusesThatDoNotPass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status  int
		body    string
		kind    error
		summary string
	}{
		{400, `{"errors":["unsupported path"]}`, secretsauth.ErrConfig, "400 Bad Request"},
		{400, "Client sent an HTTP request to an HTTPS server.\n", secretsauth.ErrConfig, "speaks https"},
		{403, "<html>proxy</html>", secretsauth.ErrUnavailable, "web page"},
		{404, "\n<!DOCTYPE html>", secretsauth.ErrUnavailable, "web page"},
		{405, `{"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}`, secretsauth.ErrConfig, "not a KV engine"},
		{501, ``, secretsauth.ErrUnavailable, "501"},
		{204, ``, secretsauth.ErrUnavailable, "204"},
	} {
		s, _ := newStandin()
		s.before = func(*http.Request) *reply { return &reply{status: c.status, body: c.body} }
		_, err := newProvider(t, s.config("secret/mlflow/auth")).Fetch(context.Background())
		wantError(t, err, c.kind, c.summary)
		if asked, read := s.count("GET sys/internal/"), s.count("GET secret/data/"); asked != 1 || read > 1 {
			t.Errorf("%d %q: requests %q", c.status, c.body, s.seen())
		}
	}
}

func TestS121RetryAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value    string
		pause, slack   time.Duration
		wait, waitFuzz time.Duration
	}{
		{"seconds", "1", time.Second, 0, time.Second, 0},
		{"zero", "0", 100 * time.Millisecond, 50 * time.Millisecond, 0, 0},
		{"more than the cap", "30", 2 * time.Second, 0, 30 * time.Second, 0},
		{"a year", "31536000", 2 * time.Second, 0, 365 * 24 * time.Hour, 0},
		{"beyond numbers", "99999999999999999999999", 2 * time.Second, 0, 365 * 24 * time.Hour, 0},
		{"negative", "-5", 100 * time.Millisecond, 50 * time.Millisecond, 0, 0},
		{"text", "soon", 100 * time.Millisecond, 50 * time.Millisecond, 0, 0},
		{"date", "Sat, 01 Jan 2000 00:00:30 GMT", 2 * time.Second, 0, 28 * time.Second, 0},
		{"past date", "Fri, 31 Dec 1999 23:59:59 GMT", 100 * time.Millisecond, 50 * time.Millisecond, 0, 0},
	} {
		for _, status := range []int{429, 503} {
			t.Run(fmt.Sprint(c.name, " ", status), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { // it begins at 2000-01-01 00:00:00
					s, _ := newStandin()
					s.before = func(*http.Request) *reply {
						return &reply{status: status, header: http.Header{"Retry-After": {c.value}}}
					}
					cfg := s.config("secret/mlflow/auth")
					cfg.MaxAttempts = 2
					start := time.Now()
					_, err := newProvider(t, cfg).Fetch(t.Context())
					e := wantFailure(t, err, secretsauth.ErrUnavailable, fmt.Sprint(status))
					if took := time.Since(start); took < c.pause-c.slack || took > c.pause+c.slack {
						t.Errorf("paused %v, want %v", took, c.pause)
					}
					if e.RetryAfter() != c.wait {
						t.Errorf("reported %v, want %v", e.RetryAfter(), c.wait)
					}
				})
			})
		}
	}
}

func TestNoPauseOutlastsTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStandin()
		s.before = func(*http.Request) *reply {
			return &reply{status: 429, header: http.Header{"Retry-After": {"60"}}}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := newProvider(t, s.config("secret/mlflow/auth")).Fetch(ctx)
		wantError(t, err, secretsauth.ErrUnavailable, "429")
		if time.Since(start) != 0 {
			t.Errorf("waited %v in vain", time.Since(start))
		}
	})
}

func TestCancellationEndsAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStandin()
		s.before = func(*http.Request) *reply {
			return &reply{status: 503, header: http.Header{"Retry-After": {"2"}}}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		_, err := newProvider(t, s.config("secret/mlflow/auth")).Fetch(ctx)
		e := wantFailure(t, err, secretsauth.ErrUnavailable, "no answer")
		if !errors.Is(e.Cause, context.Canceled) || time.Since(start) != time.Second || len(s.seen()) != 1 {
			t.Errorf("cause %v after %v, requests %q", e.Cause, time.Since(start), s.seen())
		}
	})
}

func TestS119HangEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStandin()
		s.before = func(req *http.Request) *reply { <-req.Context().Done(); return &reply{status: 500} }
		cfg := s.config("secret/mlflow/auth")
		cfg.HTTPClient = &http.Client{Transport: contextual{s}}
		p := newProvider(t, cfg)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		_, err := p.Fetch(ctx)
		e := wantFailure(t, err, secretsauth.ErrUnavailable, "no answer from Vault at https://vault.company.com in time")
		if !errors.Is(e.Cause, context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cause %v, error %v", e.Cause, err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
		// Without a deadline each request has one.
		start = time.Now()
		_, err = p.Fetch(t.Context())
		wantError(t, err, secretsauth.ErrUnavailable, "cannot reach Vault")
		if took := time.Since(start); took < 3*time.Minute || took > 181*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestHealthTellsWhyVaultFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ health, summary, fix string }{
		{`{"initialized":true,"sealed":true,"standby":true}`, "Vault is sealed", "vault operator unseal"},
		{`{"initialized":false,"sealed":true,"standby":true}`, "Vault is not initialised", "vault operator init"},
		{`{"initialized":true,"sealed":false,"standby":true}`, "standby node", "VAULT_ADDR"},
		{`{"initialized":true,"sealed":false,"standby":false}`, "answered 503 Service Unavailable", "vault status"},
		{`<html>`, "answered 503 Service Unavailable", "vault status"},
		{`{}`, "answered 503 Service Unavailable", "vault status"},
	} {
		t.Run(c.health, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, _ := newStandin()
				s.before = func(req *http.Request) *reply {
					if req.URL.Path == "/v1/sys/health" {
						if req.Header.Get("X-Vault-Token") != "" || req.Header.Get("X-Vault-Namespace") != "" {
							t.Error("the look at sys/health carries a token or a namespace")
						}
						return &reply{status: 503, body: c.health}
					}
					return &reply{status: 503, body: "upstream"}
				}
				cfg := s.config("secret/mlflow/auth")
				cfg.Namespace = "admin"
				_, err := newProvider(t, cfg).Fetch(t.Context())
				e := wantFailure(t, err, secretsauth.ErrUnavailable, c.summary)
				if !strings.Contains(e.Fix, c.fix) {
					t.Errorf("fix is %q", e.Fix)
				}
				if n := s.count("GET sys/health"); n != 1 {
					t.Errorf("%d looks at sys/health", n)
				}
			})
		})
	}
}

// S123, S124: the token is not sent anywhere else, and what is there not taken.
func TestS123RedirectsAreRefused(t *testing.T) {
	t.Parallel()
	var foreign atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		foreign.Add(1)
		_, _ = io.WriteString(w, kv2(`{"token":"foreign"}`).body)
	}))
	t.Cleanup(other.Close)

	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, c := range []struct {
			name, location string
			kind           error
			summary        string
		}{
			{"other host", other.URL + "/v1/secret?token=query-of-location", secretsauth.ErrUnavailable, "another host"},
			{"other host with userinfo", strings.Replace(other.URL, "http://", "http://user:pass@", 1), secretsauth.ErrUnavailable, "another host"},
			{"https", "https://127.0.0.1:1/v1/x", secretsauth.ErrConfig, "to https"},
			{"same host", "/login", secretsauth.ErrUnavailable, "not followed"},
			{"none", "", secretsauth.ErrUnavailable, "nowhere"},
			{"malformed", "http://%zz/query-of-location", secretsauth.ErrUnavailable, "nowhere"},
		} {
			for _, login := range []bool{false, true} {
				t.Run(fmt.Sprint(status, " ", c.name, " ", login), func(t *testing.T) {
					t.Parallel()
					var requests atomic.Int32
					server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						requests.Add(1)
						if c.location != "" {
							w.Header().Set("Location", c.location)
						}
						w.WriteHeader(status)
					}))
					t.Cleanup(server.Close)
					cfg := vault.Config{Address: server.URL, SecretPath: "secret/mlflow/auth", Token: "hvs." + canary.New(), HTTPClient: server.Client()}
					if login {
						cfg.Token, cfg.RoleID, cfg.SecretID = "", "role", secretID
					}
					_, err := newProvider(t, cfg).Fetch(context.Background())
					wantError(t, err, c.kind, c.summary)
					if n := requests.Load(); n != 1 {
						t.Errorf("%d requests", n)
					}
					for _, leak := range []string{"query-of-location", "user:pass", "pass"} {
						if strings.Contains(err.Error(), leak) {
							t.Errorf("error quotes the location: %v", err)
						}
					}
				})
			}
		}
	}
	t.Cleanup(func() {
		if n := foreign.Load(); n != 0 {
			t.Errorf("the other host got %d requests", n)
		}
	})
}

func TestS124RedirectFromHTTPSToHTTPIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := newStandin()
	s.before = func(*http.Request) *reply {
		return &reply{status: 307, header: http.Header{"Location": {"http://vault.company.com/v1/x"}}}
	}
	_, err := newProvider(t, s.config("secret/mlflow/auth")).Fetch(context.Background())
	wantError(t, err, secretsauth.ErrUnavailable, "to plain http")
	if n := len(s.seen()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// S120: a connection that ends in the middle; the next attempt works.
func TestS120BrokenConnections(t *testing.T) {
	t.Parallel()
	whole := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
	for name, c := range map[string]struct {
		bytes func(body string) string
		reset bool
	}{
		"nothing":           {func(string) string { return "" }, false},
		"reset":             {func(string) string { return "" }, true},
		"half a body":       {func(b string) string { return fmt.Sprintf(whole, len(b), b[:len(b)/2]) }, false},
		"half a body reset": {func(b string) string { return fmt.Sprintf(whole, len(b), b[:len(b)/2]) }, true},
		"silently cut":      {func(b string) string { return fmt.Sprintf(whole, len(b)/2, b[:len(b)/2]) }, false},
		"not HTTP":          {func(b string) string { return b }, false},
		"page":              {func(string) string { return fmt.Sprintf(whole, 6, "<html>") }, false},
		"error cut short":   {func(b string) string { return "HTTP/1.1 404 Not Found\r\nContent-Length: 999\r\n\r\n" + b }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, want := newStandin()
			var broken atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if broken.Add(-1) < 0 || !strings.HasPrefix(req.URL.Path, "/v1/secret/") {
					s.ServeHTTP(w, req)
					return
				}
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, c.bytes(s.secrets["secret/data/mlflow/auth"].body))
				if c.reset {
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
				_ = conn.Close()
			}))
			t.Cleanup(server.Close)
			p := newProvider(t, vault.Config{Address: server.URL, SecretPath: "secret/mlflow/auth", Token: rootToken, HTTPClient: server.Client()})
			broken.Store(0)
			fetchToken(t, p) // the engine is known from here on
			broken.Store(1)
			if fetchToken(t, p) != want {
				t.Error("wrong secret")
			}
			broken.Store(1000)
			_, err := p.Fetch(context.Background())
			wantError(t, err, secretsauth.ErrUnavailable, "Vault at "+server.URL)
			if strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "request_id") {
				t.Errorf("error quotes the answer: %v", err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	const address = "http://127.0.0.1:1" // a port that was free a moment ago may be another test's by now
	_, err := newProvider(t, vault.Config{Address: address, SecretPath: "secret/mlflow/auth", Token: "x"}).Fetch(context.Background())
	e := wantFailure(t, err, secretsauth.ErrUnavailable, "cannot reach Vault at "+address)
	if !errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(e.Cause.Error(), "/v1/") {
		t.Errorf("cause %v", e.Cause)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s, want := newStandin()
	server := httptest.NewTLSServer(s)
	server.Config.ErrorLog = nil
	t.Cleanup(server.Close)
	cfg := vault.Config{Address: server.URL, SecretPath: "secret/mlflow/auth", Token: rootToken, HTTPClient: server.Client()}
	if fetchToken(t, newProvider(t, cfg)) != want {
		t.Error("wrong secret")
	}
	before := len(s.seen())

	cfg.HTTPClient = nil
	_, err := newProvider(t, cfg).Fetch(context.Background())
	e := wantFailure(t, err, secretsauth.ErrUnavailable, "is not trusted")
	if !strings.Contains(e.Fix, "VAULT_CACERT") {
		t.Errorf("fix is %q", e.Fix)
	}
	if len(s.seen()) != before {
		t.Error("an untrusted server got a request")
	}

	plain := httptest.NewServer(s)
	t.Cleanup(plain.Close)
	cfg.Address = strings.Replace(plain.URL, "http://", "https://", 1)
	_, err = newProvider(t, cfg).Fetch(context.Background())
	wantError(t, err, secretsauth.ErrConfig, "speaks plain http")
}

func TestCallersClientIsNotChanged(t *testing.T) {
	t.Parallel()
	s, _ := newStandin()
	cfg := s.config("secret/mlflow/auth")
	client := cfg.HTTPClient
	fetchToken(t, newProvider(t, cfg))
	if client.Transport != http.RoundTripper(s) || client.CheckRedirect != nil {
		t.Error("the caller's client was changed")
	}
}

func TestEndlessAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStandin()
		big := ok(`{"token":"` + strings.Repeat("x", 3<<20) + `"}`)
		s.before = func(*http.Request) *reply { return &big }
		_, err := newProvider(t, s.config("secret/mlflow/auth")).Fetch(t.Context())
		wantError(t, err, secretsauth.ErrUnavailable, "no usable answer")
	})
}
