package vault_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

// withAppRole gives every login a new token with rights and lease seconds.
func (s *standin) withAppRole(cfg vault.Config, lease int, rights ...string) vault.Config {
	n := 0
	s.login = func(s *standin, mount string, body map[string]string) reply {
		if mount != "approle" || body["role_id"] != "role" || body["secret_id"] != secretID {
			return reply{status: 400, body: `{"errors":["invalid role or secret ID"]}`}
		}
		n++
		token := login(n)
		s.tokens[token] = rights
		return granted(token, lease)
	}
	cfg.Token, cfg.RoleID, cfg.SecretID = "", "role", secretID
	return cfg
}

func TestAppRoleKeepsItsTokenForItsLifetime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, want := newStandin()
		p := newProvider(t, s.withAppRole(s.config("secret/mlflow/auth"), 100, "secret/data/mlflow/auth"))
		for _, step := range []struct {
			wait   time.Duration
			logins int
		}{{0, 1}, {89 * time.Second, 1}, {2 * time.Second, 2}, {time.Hour, 3}} {
			time.Sleep(step.wait)
			if fetchToken(t, p) != want {
				t.Error("wrong secret")
			}
			if n := s.count("PUT auth/approle/login"); n != step.logins {
				t.Errorf("after %v more: %d logins, want %d", step.wait, n, step.logins)
			}
		}
	})
}

func TestTokenWithoutALifetimeIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStandin()
		p := newProvider(t, s.withAppRole(s.config("secret/mlflow/auth"), 0, "*"))
		fetchToken(t, p)
		time.Sleep(1000 * time.Hour)
		fetchToken(t, p)
		if n := s.count("PUT auth/"); n != 1 {
			t.Errorf("%d logins", n)
		}
	})
}

// S126: an expired or revoked token, and one whose uses are spent.
func TestS126OneLoginMoreWhenATokenIsNoLongerGood(t *testing.T) {
	t.Parallel()
	s, want := newStandin()
	p := newProvider(t, s.withAppRole(s.config("secret/mlflow/auth"), 3600, "secret/data/mlflow/auth"))
	fetchToken(t, p)
	s.setToken(login(1))
	before := len(s.seen())
	if fetchToken(t, p) != want {
		t.Error("wrong secret")
	}
	got := strings.Join(s.seen()[before:], ", ")
	if got != "GET secret/data/mlflow/auth, PUT auth/approle/login, GET secret/data/mlflow/auth" {
		t.Errorf("requests: %s", got)
	}
}

// S129: no flood when the policy is wrong.
func TestS129OneLoginMoreWhenThePolicyIsWrong(t *testing.T) {
	t.Parallel()
	s, _ := newStandin()
	p := newProvider(t, s.withAppRole(s.config("secret/mlflow/auth"), 3600, "secret/data/other"))
	_, err := p.Fetch(context.Background())
	wantError(t, err, secretsauth.ErrDenied, "permission denied at path secret/mlflow/auth")
	if logins, reads := s.count("PUT auth/"), s.count("GET secret/"); logins != 2 || reads != 2 {
		t.Errorf("%d logins, %d reads: %q", logins, reads, s.seen())
	}
	if n := s.count("GET sys/internal/"); n != 1 {
		t.Errorf("asked for the mount %d times", n)
	}
	_, err = p.Fetch(context.Background())
	wantError(t, err, secretsauth.ErrDenied, "permission denied")
	if logins, reads := s.count("PUT auth/"), s.count("GET secret/"); logins != 3 || reads != 4 {
		t.Errorf("%d logins, %d reads after the second fetch", logins, reads)
	}
}

func TestLoginFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		answer       reply
		secretID     string
		kind         error
		summary, fix string
	}{
		{"secret id", reply{status: 400, body: `{"errors":["invalid role or secret ID"]}`}, "x", secretsauth.ErrDenied, "Vault authentication failed: 400 Bad Request", "vault write -f auth/approle/role/NAME/secret-id"},
		{"forbidden or not mounted", reply{status: 403, body: denyToken}, "x", secretsauth.ErrDenied, "Vault authentication failed: 403 Forbidden", "MLFLOW_VAULT_AUTH_MOUNT"},
		{"wrapping token (S128)", reply{status: 400, body: `{"errors":["invalid role or secret ID"]}`}, "hvs.x", secretsauth.ErrDenied, "Vault authentication failed: 400", "works once"},
		{"not mounted", reply{status: 404, body: `{"errors":["no handler for route \"auth/approle/login\". route entry not found."]}`}, "x", secretsauth.ErrConfig, "no auth method is mounted at auth/approle", "vault auth list"},
		{"namespace", reply{status: 404, body: `{"errors":["namespace not found"]}`}, "x", secretsauth.ErrNotFound, "namespace", "VAULT_NAMESPACE"},
		{"no token", reply{status: 200, body: `{"auth":null}`}, "x", secretsauth.ErrUnavailable, "holds no token", "VAULT_ADDR"},
		{"unusable token", granted("a b", 0), "x", secretsauth.ErrUnavailable, "holds no token", "VAULT_ADDR"},
		{"second factor", reply{status: 200, body: `{"auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"1"}}}`}, "x", secretsauth.ErrDenied, "second factor", "MFA"},
		{"sealed", reply{status: 503, body: sealedBody}, "x", secretsauth.ErrUnavailable, "Vault is sealed", "vault operator unseal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStandin()
			s.login = func(*standin, string, map[string]string) reply { return c.answer }
			cfg := s.config("secret/mlflow/auth")
			cfg.Token, cfg.RoleID, cfg.SecretID = "", "role", c.secretID
			_, err := newProvider(t, cfg).Fetch(context.Background())
			e := wantFailure(t, err, c.kind, c.summary)
			if !strings.Contains(e.Fix, c.fix) {
				t.Errorf("fix is %q, want %q in it", e.Fix, c.fix)
			}
			if n := s.count("GET secret"); n != 0 {
				t.Errorf("%d reads without a token", n)
			}
		})
	}
}

// S127: kubelet replaces the token's file.
func TestS127ServiceAccountTokenIsReadAtEveryLogin(t *testing.T) {
	t.Parallel()
	s, want := newStandin()
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var jwts []string
	s.login = func(s *standin, mount string, body map[string]string) reply {
		jwts = append(jwts, mount+" "+body["role"]+" "+body["jwt"])
		token := fmt.Sprintf("s.k8s%d", len(jwts))
		s.tokens[token] = []string{"*"}
		return granted(token, 3600)
	}
	cfg := s.config("secret/mlflow/auth")
	cfg.Token, cfg.KubernetesRole, cfg.KubernetesTokenPath, cfg.AuthMount = "", "mlflow", file, "auth/k8s-prod/"
	p := newProvider(t, cfg)

	_, err := p.Fetch(context.Background())
	wantError(t, err, secretsauth.ErrConfig, "service account's token file")
	write("jwt.one\n")
	fetchToken(t, p)
	write("jwt.two\n")
	s.setToken("s.k8s1")
	if fetchToken(t, p) != want {
		t.Error("wrong secret")
	}
	if got := strings.Join(jwts, ", "); got != "k8s-prod mlflow jwt.one, k8s-prod mlflow jwt.two" {
		t.Errorf("logins: %s", got)
	}
}

func TestTokenFileIsReadAgain(t *testing.T) {
	s, want := newStandin()
	home := t.TempDir()
	t.Setenv("HOME", home)
	file := filepath.Join(home, ".vault-token")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := s.config("secret/mlflow/auth")
	cfg.Token = ""

	_, err := vault.New(cfg)
	wantError(t, err, secretsauth.ErrConfig, "no other way to log in")
	write("two words\n")
	_, err = vault.New(cfg)
	wantError(t, err, secretsauth.ErrConfig, "does not hold a token")

	write("s.one\n")
	s.setToken("s.one", "*")
	p := newProvider(t, cfg)
	fetchToken(t, p)

	s.setToken("s.one")
	_, err = p.Fetch(context.Background())
	e := wantFailure(t, err, secretsauth.ErrDenied, "Vault authentication failed: 403 Forbidden")
	if !strings.Contains(e.Fix, "vault login") || strings.Contains(err.Error(), "s.one") {
		t.Errorf("error: %v", err)
	}
	if n := s.count("GET secret/data"); n != 2 {
		t.Errorf("%d reads", n)
	}

	// `vault login` while a read is under way.
	s.setToken("s.two", "*")
	s.before = func(req *http.Request) *reply {
		if req.Header.Get("X-Vault-Token") == "s.one" {
			write("s.two\n")
		}
		return nil
	}
	if fetchToken(t, p) != want {
		t.Error("wrong secret")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, err = p.Fetch(context.Background())
	wantError(t, err, secretsauth.ErrConfig, "no other way to log in")
}

func TestConcurrentFetchesShareALogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, want := newStandin()
		cfg := s.withAppRole(s.config("secret/mlflow/auth"), 3600, "*")
		s.before = func(req *http.Request) *reply {
			if req.Method == http.MethodPut {
				time.Sleep(time.Second)
			}
			return nil
		}
		p := newProvider(t, cfg)
		all := func() {
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if secret, err := p.Fetch(t.Context()); err != nil {
						t.Error(err)
					} else if token, _ := secret.Token(); token != want {
						t.Error("wrong secret")
					}
				})
			}
			wg.Wait()
		}
		all()
		if n := s.count("PUT auth/"); n != 1 {
			t.Errorf("%d logins", n)
		}
		s.setToken(login(1)) // revoked: all of them are told 403
		all()
		if n := s.count("PUT auth/"); n != 2 {
			t.Errorf("%d logins after the revocation", n)
		}
	})
}

func TestAFailedLoginIsSharedAndAnAbandonedOneIsNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStandin()
		cfg := s.withAppRole(s.config("secret/mlflow/auth"), 3600, "*")
		slow := true
		s.before = func(req *http.Request) *reply {
			if req.Method == http.MethodPut && slow {
				slow = false
				<-req.Context().Done() // hangs
			}
			time.Sleep(10 * time.Millisecond)
			return nil
		}
		cfg.HTTPClient = &http.Client{Transport: contextual{s}}
		p := newProvider(t, cfg)
		leader, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := p.Fetch(leader)
			wantError(t, err, secretsauth.ErrUnavailable, "no answer")
		})
		synctest.Wait()
		for range 10 {
			wg.Go(func() {
				if _, err := p.Fetch(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		impatient, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		wg.Go(func() {
			start := time.Now()
			_, err := p.Fetch(impatient)
			wantError(t, err, secretsauth.ErrUnavailable, "no answer")
			if waited := time.Since(start); waited != time.Second {
				t.Errorf("left after %v", waited)
			}
		})
		time.Sleep(2 * time.Second)
		cancel()
		wg.Wait()
		if n := s.count("PUT auth/"); n != 2 {
			t.Errorf("%d logins", n)
		}

		// A login that Vault refuses is refused for all who wait.
		cfg.SecretID = "wrong"
		p = newProvider(t, cfg)
		for range 50 {
			wg.Go(func() {
				_, err := p.Fetch(t.Context())
				wantError(t, err, secretsauth.ErrDenied, "Vault authentication failed: 400 Bad Request")
			})
		}
		wg.Wait()
		if n := s.count("PUT auth/"); n != 3 {
			t.Errorf("%d logins", n)
		}
	})
}

// contextual ends a request with its context, as a network does.
type contextual struct{ http.RoundTripper }

func (c contextual) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(req)
	if ctxErr := req.Context().Err(); ctxErr != nil {
		return nil, ctxErr
	}
	return resp, err
}
