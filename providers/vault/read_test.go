package vault_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

func TestFetchFindsTheEngine(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"secret/mlflow/auth", "secret/data/mlflow/auth", "/secret/mlflow/auth/", "/v1/secret/data/mlflow/auth", " v1/secret/mlflow/auth ",
		"kv1/mlflow/auth", "team/kv/mlflow/auth", "team/kv/data/mlflow/auth",
	} {
		for _, noPreflight := range []bool{false, true} {
			for _, rights := range [][]string{{"*"}, {"secret/data/mlflow/auth", "team/kv/data/mlflow/auth", "kv1/mlflow/auth"}} {
				s, want := newStandin()
				s.noPreflight = noPreflight
				s.setToken(rootToken, rights...)
				p := newProvider(t, s.config(path))
				if got := fetchToken(t, p); got != want {
					t.Errorf("%q, no preflight %t, rights %q: wrong secret", path, noPreflight, rights)
				}
				// The engine is remembered: a second read is one request.
				before := len(s.seen())
				fetchToken(t, p)
				if again := s.seen()[before:]; len(again) != 1 {
					t.Errorf("%q, no preflight %t: second fetch sent %q", path, noPreflight, again)
				}
			}
		}
	}
}

func TestFetchFallsBackWhereTheMountsAreNotTold(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]reply{
		"old server":        {status: 404, body: `{"errors":["no handler for route 'sys/internal/ui/mounts'"]}`},
		"bare 403":          {status: 403, body: denyToken},
		"policy 403":        {status: 403, body: denyPolicy},
		"gateway's page":    {status: 403, body: "<html>blocked</html>"},
		"not found, text":   {status: 404, body: "404 page not found\n"},
		"unsupported":       {status: 405, body: `{"errors":["unsupported operation"]}`},
		"answer without it": ok(`{}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, want := newStandin()
			s.before = func(req *http.Request) *reply {
				if strings.HasPrefix(req.URL.Path, "/v1/sys/internal/") {
					return &r
				}
				return nil
			}
			if got := fetchToken(t, newProvider(t, s.config("team/kv/mlflow/auth"))); got != want {
				t.Error("wrong secret")
			}
		})
	}
}

func TestGuessesAreBounded(t *testing.T) {
	t.Parallel()
	s, _ := newStandin()
	p := newProvider(t, s.config("no/such/mount/with/many/segments"))
	_, err := p.Fetch(context.Background())
	wantError(t, err, secretsauth.ErrNotFound, "no secrets engine is mounted")
	if n := len(s.seen()); n > 5 {
		t.Errorf("%d requests: %q", n, s.seen())
	}
}

func TestSecretForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, data string
		summary    string // of an error
	}{
		{"token", `{"token":"abc"}`, ""},
		{"username and password", `{"username":"u","password":"p","url":"x"}`, ""},
		{"number", `{"token":5}`, `field "token" of the secret is not text`},
		{"null", `{"token":null}`, `field "token" of the secret is not text`},
		{"nested (S81)", `{"data":{"token":"abc"}}`, `neither a field "token"`},
		{"value", `{"value":"abc"}`, `neither a field "token"`},
		{"no fields", `{}`, `neither a field "token"`},
		{"half", `{"username":"u"}`, `no "password"`},
	} {
		for _, v2 := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				s, _ := newStandin()
				path := "kv1/mlflow/auth"
				s.secrets[path] = ok(c.data)
				if v2 {
					path = "secret/mlflow/auth"
					s.secrets["secret/data/mlflow/auth"] = kv2(c.data)
				}
				_, err := newProvider(t, s.config(path)).Fetch(context.Background())
				if c.summary == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				e := wantFailure(t, err, secretsauth.ErrInvalidSecret, c.summary)
				if e.Key != "vault:https://vault.company.com:"+path || !strings.Contains(e.Fix, "vault kv put "+path) {
					t.Errorf("key %q, fix %q", e.Key, e.Fix)
				}
			})
		}
	}
}

func TestS125WhatIsNotThere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		path         string
		version      int
		set          func(*standin)
		kind         error
		summary, fix string
		wholeSummary bool
	}{
		{
			name: "path", path: "secret/wrong/path", kind: secretsauth.ErrNotFound, wholeSummary: true,
			summary: "secret not found at path: secret/wrong/path", fix: "vault kv list secret/wrong",
		},
		{
			name: "path, version 1", path: "kv1/wrong", kind: secretsauth.ErrNotFound, wholeSummary: true,
			summary: "secret not found at path: kv1/wrong", fix: "vault kv list kv1",
		},
		{
			name: "path, preflight off", path: "kv1/wrong/path", kind: secretsauth.ErrNotFound,
			set:     func(s *standin) { s.noPreflight = true },
			summary: "secret not found at path: kv1/wrong/path", fix: "vault kv",
		},
		{
			name: "path, preflight off, all else denied", path: "kv1/wrong/path", kind: secretsauth.ErrNotFound,
			set:     func(s *standin) { s.noPreflight = true; s.setToken(rootToken, "kv1/wrong/path") },
			summary: "secret not found at path: kv1/wrong/path", fix: "vault kv",
		},
		{
			name: "deleted (S82)", path: "secret/mlflow/auth", kind: secretsauth.ErrNotFound,
			set: func(s *standin) {
				s.secrets["secret/data/mlflow/auth"] = kv2At("null", 3, "2026-11-24T08:34:26.096537153Z", false)
			},
			summary: "version 3 of secret/mlflow/auth was deleted at 2026-11-24T08:34:26Z", fix: "vault kv undelete -versions=3 secret/mlflow/auth",
		},
		{
			name: "destroyed (S82)", path: "secret/mlflow/auth", kind: secretsauth.ErrNotFound,
			set:     func(s *standin) { s.secrets["secret/data/mlflow/auth"] = kv2At("null", 2, "", true) },
			summary: "version 2 of secret/mlflow/auth was destroyed", fix: "cannot be brought back",
		},
		{
			name: "pinned and deleted, preflight off", path: "team/kv/mlflow/auth", version: 7, kind: secretsauth.ErrNotFound,
			set: func(s *standin) {
				s.noPreflight = true
				s.secrets["team/kv/data/mlflow/auth?version=7"] = kv2At("null", 7, "2026-11-24T08:34:26Z", false)
			},
			summary: "version 7 of team/kv/mlflow/auth was deleted", fix: "vault kv undelete -versions=7 team/kv/mlflow/auth",
		},
		{
			name: "pinned version", path: "secret/mlflow/auth", version: 9, kind: secretsauth.ErrNotFound,
			summary: "secret not found at path: secret/mlflow/auth (version 9)", fix: "vault kv metadata get secret/mlflow/auth",
		},
		{
			name: "mount", path: "nomount/mlflow/auth", kind: secretsauth.ErrNotFound,
			summary: "no secrets engine is mounted at the beginning of path nomount/mlflow/auth", fix: "vault secrets list",
		},
		{
			name: "namespace", path: "secret/mlflow/auth", kind: secretsauth.ErrNotFound,
			set: func(s *standin) {
				s.before = func(*http.Request) *reply { return &reply{status: 404, body: `{"errors":["namespace not found"]}`} }
			},
			summary: "namespace", fix: "VAULT_NAMESPACE",
		},
		{
			name: "engine of another kind", path: "transit/keys/x", kind: secretsauth.ErrConfig,
			summary: "transit is not a KV engine", fix: "vault secrets list",
		},
		{
			name: "versions in version 1", path: "kv1/mlflow/auth", version: 2, kind: secretsauth.ErrConfig,
			summary: "kv1 is KV version 1", fix: "MLFLOW_VAULT_SECRET_VERSION",
		},
		{
			name: "name", path: "team/kv", kind: secretsauth.ErrConfig,
			summary: "names a mount, team/kv", fix: "vault kv list team/kv",
		},
		{
			name: "sealed", path: "secret/mlflow/auth", kind: secretsauth.ErrUnavailable,
			set: func(s *standin) {
				s.before = func(*http.Request) *reply { return &reply{status: 503, body: sealedBody} }
			},
			summary: "Vault is sealed", fix: "vault operator unseal",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStandin()
			if c.set != nil {
				c.set(s)
			}
			cfg := s.config(c.path)
			cfg.SecretVersion = c.version
			_, err := newProvider(t, cfg).Fetch(context.Background())
			e := wantFailure(t, err, c.kind, c.summary)
			if c.wholeSummary && e.Summary != c.summary {
				t.Errorf("summary is %q", e.Summary)
			}
			if !strings.Contains(e.Fix, c.fix) {
				t.Errorf("fix is %q, want %q in it", e.Fix, c.fix)
			}
		})
	}
}

func TestPinnedVersion(t *testing.T) {
	t.Parallel()
	s, _ := newStandin()
	s.secrets["secret/data/mlflow/auth?version=2"] = kv2At(`{"token":"old"}`, 2, "", false)
	cfg := s.config("secret/mlflow/auth")
	cfg.SecretVersion = 2
	p := newProvider(t, cfg)
	if got := fetchToken(t, p); got != "old" {
		t.Errorf("token %q", got)
	}
	if p.Key() != "vault:https://vault.company.com:secret/mlflow/auth?version=2" {
		t.Errorf("key %q", p.Key())
	}
}

func TestNamespace(t *testing.T) {
	t.Parallel()
	s, want := newStandin()
	cfg := s.config("secret/mlflow/auth")
	cfg.Namespace = "/admin/team/"
	p := newProvider(t, cfg)
	if fetchToken(t, p) != want {
		t.Error("wrong secret")
	}
	for i, h := range s.headers {
		if h.Get("X-Vault-Namespace") != "admin/team" {
			t.Errorf("%s: namespace %q", s.requests[i], h.Get("X-Vault-Namespace"))
		}
	}
	if p.Key() != "vault:https://vault.company.com:secret/mlflow/auth?namespace=admin/team" {
		t.Errorf("key %q", p.Key())
	}
}

// delete_version_after gives a version an end that is known beforehand.
func TestDeletionTimeAheadIsTheExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStandin()
		at := time.Now().Add(time.Hour)
		s.secrets["secret/data/mlflow/auth"] = kv2At(`{"token":"abc"}`, 1, at.Format(time.RFC3339Nano), false)
		cfg := s.config("secret/mlflow/auth")
		cfg.TTL, cfg.Mode = time.Minute, secretsauth.AuthBearer
		secret, err := newProvider(t, cfg).Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// A cache never keeps a secret past its expiry: after it, it reads again.
		reads := 0
		cache := secretsauth.NewCache(secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) {
			reads++
			return secret, nil
		}), secretsauth.Config{TTL: 24 * time.Hour})
		_, _ = cache.Fetch(t.Context())
		time.Sleep(2 * time.Hour)
		if _, _ = cache.Fetch(t.Context()); reads < 2 {
			t.Error("the cache serves the secret past its expiry")
		}
	})
}

func TestEngineIsForgottenWhenThePathIsGone(t *testing.T) {
	t.Parallel()
	s, want := newStandin()
	p := newProvider(t, s.config("kv1/mlflow/auth"))
	fetchToken(t, p)
	// `vault kv enable-versioning kv1`
	s.mounts["kv1"] = "2"
	s.secrets["kv1/data/mlflow/auth"] = kv2(`{"token":"` + want + `2"}`)
	if got := fetchToken(t, p); got != want+"2" {
		t.Error("wrong secret")
	}
	if last := s.seen(); !slices.Equal(last[2:], []string{"GET kv1/mlflow/auth", "GET sys/internal/ui/mounts/kv1/mlflow/auth", "GET kv1/data/mlflow/auth"}) {
		t.Errorf("requests %q", last)
	}
}

func TestEngineIsAskedForAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  func(*standin)
		kind error
	}{
		{"not found", func(s *standin) { delete(s.secrets, "kv1/mlflow/auth") }, secretsauth.ErrNotFound},
		{"denied", func(s *standin) { s.setToken(rootToken, "kv1/data/mlflow/auth") }, secretsauth.ErrDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, want := newStandin()
			p := newProvider(t, s.config("kv1/mlflow/auth"))
			fetchToken(t, p)
			c.set(s)
			_, err := p.Fetch(context.Background())
			wantError(t, err, c.kind, "kv1/mlflow/auth")
			// Remounted as version 2, with its own policy.
			s.mounts["kv1"] = "2"
			s.secrets["kv1/data/mlflow/auth"] = kv2(`{"token":"` + want + `"}`)
			before := len(s.seen())
			if fetchToken(t, p) != want {
				t.Error("wrong secret")
			}
			if got := strings.Join(s.seen()[before:], ", "); got != "GET sys/internal/ui/mounts/kv1/mlflow/auth, GET kv1/data/mlflow/auth" {
				t.Errorf("requests: %s", got)
			}
		})
	}
}

func TestDeniedPathIsNotADeniedToken(t *testing.T) {
	t.Parallel()
	stanza := `path "secret/data/mlflow/auth" { capabilities = ["read"] }`
	for _, c := range []struct {
		name         string
		path         string
		rights       []string
		set          func(*standin)
		summary, fix string
	}{
		{"policy (S129)", "secret/mlflow/auth", []string{"secret/data/other"}, nil, "permission denied at path secret/mlflow/auth", stanza},
		{"policy, lookup denied", "secret/mlflow/auth", []string{"secret/data/other"}, func(s *standin) { s.noLookup = true }, "permission denied at path", stanza},
		{"no right at the mount", "secret/mlflow/auth", []string{"kv1/x"}, nil, "permission denied at path", "vault secrets list"},
		{"unknown mount", "nomount/mlflow/auth", []string{"kv1/x"}, nil, "permission denied at path nomount/mlflow/auth", "vault secrets list"},
		{"token unknown", "secret/mlflow/auth", nil, nil, "Vault authentication failed: 403 Forbidden", "VAULT_TOKEN"},
		{"token and mount unknown", "nomount/mlflow/auth", nil, nil, "Vault authentication failed: 403 Forbidden", "VAULT_TOKEN"},
		{"Vault's newer words", "secret/mlflow/auth", nil, func(s *standin) {
			s.before = func(*http.Request) *reply {
				return &reply{status: 403, body: `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`}
			}
		}, "Vault authentication failed: 403 Forbidden", "VAULT_TOKEN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStandin()
			s.setToken(rootToken, c.rights...)
			if c.set != nil {
				c.set(s)
			}
			_, err := newProvider(t, s.config(c.path)).Fetch(context.Background())
			e := wantFailure(t, err, secretsauth.ErrDenied, c.summary)
			if !strings.Contains(e.Fix, c.fix) {
				t.Errorf("fix is %q, want %q in it", e.Fix, c.fix)
			}
			if n := len(s.seen()); n > 6 {
				t.Errorf("%d requests: %q", n, s.seen())
			}
			if n := s.count("GET auth/token/lookup-self"); n != 1 {
				t.Errorf("%d look-ups", n)
			}
		})
	}
}

func TestNameAndKey(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://vault.company.com":        "https://vault.company.com",
		" https://vault.company.com/ ":     "https://vault.company.com",
		"HTTPS://vault.company.com:8200/":  "https://vault.company.com:8200",
		"https://gateway.company.com/vlt/": "https://gateway.company.com/vlt",
		"http://[::1]:8200/v1/":            "http://[::1]:8200",
	} {
		p := newProvider(t, vault.Config{Address: address, SecretPath: "secret/mlflow/auth", Token: "x"})
		if want := "vault:" + want + ":secret/mlflow/auth"; p.Key() != want || p.Name() != "vault" {
			t.Errorf("%q: name %q, key %q, want %q", address, p.Name(), p.Key(), want)
		}
	}
}
