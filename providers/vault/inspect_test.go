package vault_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

// look takes one step alone, whatever the others would have found.
func look(t *testing.T, cfg vault.Config, id string) inspect.Finding {
	t.Helper()
	return lookAt(t, newProvider(t, cfg), id)
}

func lookAt(t *testing.T, p netted, id string) inspect.Finding {
	t.Helper()
	steps := p.Inspect(inspect.Options{}).Steps
	i := slices.IndexFunc(steps, func(s inspect.Step) bool { return s.ID == id })
	if i < 0 {
		t.Fatalf("no step %s", id)
	}
	f := steps[i].Look(t.Context())
	canary.KeepValue("a finding", f)
	if strings.Contains(f.Summary+f.Cause+f.Fix, "\n") || f.Summary == "" {
		t.Errorf("%s is not one line each: %+v", id, f)
	}
	if f.Status != inspect.Pass && f.Status != inspect.Skip && (f.Cause == "" || f.Fix == "") {
		t.Errorf("%s has no cause or no fix: %+v", id, f)
	}
	return f
}

// outcome is what a look must find: parts of each text.
type outcome struct {
	status              inspect.Status
	summary, cause, fix string
}

func (want outcome) check(t *testing.T, f inspect.Finding) {
	t.Helper()
	if f.Status != want.status || !strings.Contains(f.Summary, want.summary) || !strings.Contains(f.Cause, want.cause) || !strings.Contains(f.Fix, want.fix) {
		t.Errorf("found %s\n  %s\n  cause: %s\n  fix: %s\nwant %s\n  %s\n  cause: %s\n  fix: %s",
			f.Status, f.Summary, f.Cause, f.Fix, want.status, want.summary, want.cause, want.fix)
	}
}

func TestInspectFollowsAFetch(t *testing.T) {
	t.Parallel()
	s, value := newStandin()
	cfg := s.withAppRole(s.config("secret/mlflow/auth"), 3600, "secret/data/mlflow/auth")
	cfg.TTL, cfg.Mode, cfg.Namespace = time.Minute, secretsauth.AuthBearer, "admin"
	p := newProvider(t, cfg)
	store := p.Inspect(inspect.Options{})
	if store.Address != cfg.Address || store.Transport != nil {
		t.Errorf("address %q, transport %v", store.Address, store.Transport)
	}
	var got []string
	var last inspect.Finding
	for _, step := range store.Steps {
		last = step.Look(t.Context())
		got = append(got, fmt.Sprintf("%s %s: %s", last.Status, step.ID, last.Summary))
		canary.AbsentFrom(t, step.ID, last, value, login(1), secretID)
	}
	want := []string{
		`pass store.health: initialised, unsealed, version "2.7.2"`,
		`pass store.auth: logged in by AppRole at auth/approle in namespace "admin"; policies "default", "mlflow"; the token ends in 31 days`,
		`pass store.engine: secret/ is KV version 2`,
		`pass store.secret: read secret/mlflow/auth (version 1, `,
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("found %s\nwant  %s", got[i], want[i])
		}
	}
	if token, _ := last.Secret.Token(); token != value || last.Invalid != nil {
		t.Errorf("secret %v, invalid %v", last.Secret, last.Invalid)
	}
	// One login, and nothing asked twice.
	requests := "GET sys/health, PUT auth/approle/login, GET auth/token/lookup-self, " +
		"GET sys/internal/ui/mounts/secret/mlflow/auth, GET secret/data/mlflow/auth"
	if seen := strings.Join(s.seen(), ", "); seen != requests {
		t.Errorf("requests: %s", seen)
	}
	if h := s.headers[0]; h.Get("X-Vault-Token") != "" || h.Get("X-Vault-Namespace") != "" {
		t.Errorf("sys/health is asked with %q", h)
	}
	fetched, err := p.Fetch(t.Context())
	if err != nil || !fetched.Equal(last.Secret) {
		t.Errorf("Fetch gives another secret, %v", err)
	}
}

func TestEachStepLooksAlone(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"store.health", "store.auth", "store.engine", "store.secret"} {
		s, _ := newStandin()
		cfg := s.withAppRole(s.config("secret/mlflow/auth"), 3600, "secret/data/mlflow/auth")
		outcome{status: inspect.Pass}.check(t, look(t, cfg, id))
		if n := s.count("PUT auth/"); n > 1 {
			t.Errorf("%s logs in %d times", id, n)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	state := func(more string) string { return `{"initialized":true,"sealed":false,` + more + `}` }
	for _, c := range []struct {
		name   string
		answer reply
		outcome
	}{
		{"well", reply{status: 200, body: healthy}, outcome{status: inspect.Pass, summary: `initialised, unsealed, version "2.7.2"`}},
		{"Enterprise", reply{status: 200, body: state(`"standby":false,"version":"1.19.0+ent.hsm"`)}, outcome{status: inspect.Pass, summary: `version "1.19.0+ent.hsm"`}},
		{"sealed", reply{status: 503, body: `{"initialized":true,"sealed":true,"standby":true,"version":"2.7.2"}`}, outcome{inspect.Fail, "Vault is sealed", "https://vault.company.com", "vault operator unseal"}},
		{"uninitialised", reply{status: 501, body: `{"initialized":false,"sealed":true,"standby":true,"version":"2.7.2"}`}, outcome{inspect.Fail, "Vault is not initialised", "https://vault.company.com", "vault operator init"}},
		{"standby", reply{status: 429, body: state(`"standby":true`)}, outcome{inspect.Warn, "a standby node", "forwards requests to the active node, or answers with redirects", "VAULT_ADDR"}},
		{"cut off", reply{status: 474, body: state(`"standby":true`)}, outcome{inspect.Warn, "a standby node", "does not reach the active node", "VAULT_ADDR"}},
		{"performance standby", reply{status: 473, body: state(`"standby":true,"performance_standby":true`)}, outcome{inspect.Warn, "a performance standby", "reads by itself", "VAULT_ADDR"}},
		{"disaster recovery", reply{status: 472, body: state(`"standby":false,"replication_dr_mode":"secondary"`)}, outcome{inspect.Warn, "a disaster recovery secondary", "answers no reads until it is promoted", "primary cluster"}},
		{"a page", reply{status: 200, body: "<html>"}, outcome{inspect.Warn, "does not answer as Vault's", "not Vault's JSON", "VAULT_ADDR"}},
		{"a page, not found", reply{status: 404, body: "<html>"}, outcome{inspect.Warn, "does not answer as Vault's", "404 Not Found with a web page", "VAULT_ADDR"}},
		{"another server", reply{status: 404, body: "404 page not found\n"}, outcome{inspect.Warn, "does not answer as Vault's", "404 Not Found", "VAULT_ADDR"}},
		{"another API", reply{status: 200, body: `{"status":"ok"}`}, outcome{inspect.Warn, "does not answer as Vault's", "200 OK", "VAULT_ADDR"}},
		{"a gateway", reply{status: 502, body: "<html>"}, outcome{inspect.Warn, "does not answer as Vault's", "502 Bad Gateway", "VAULT_ADDR"}},
		{"a quota", reply{status: 429, body: `{"errors":["request path: rate limit quota exceeded"]}`}, outcome{inspect.Warn, "does not answer as Vault's", "429 Too Many Requests", "VAULT_ADDR"}},
		{"https", reply{status: 400, body: "Client sent an HTTP request to an HTTPS server.\n"}, outcome{inspect.Fail, "no answer", "speaks https", "https://"}},
		{"redirect", reply{status: 307, header: http.Header{"Location": {"https://elsewhere.company.com/v1/sys/health"}}}, outcome{inspect.Fail, "no answer", "redirect", "VAULT_ADDR"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStandin()
			s.health = c.answer
			c.check(t, look(t, s.config("secret/mlflow/auth"), "store.health"))
			if seen := s.seen(); len(seen) != 1 {
				t.Errorf("requests %q", seen)
			}
		})
	}
}

func TestVersionsThatDoNotLookLikeOnesAreNotShown(t *testing.T) {
	t.Parallel()
	secret := canary.New()
	for _, version := range []string{secret, "1.2.3 " + secret, "1", "", `1.2\n3`, "1." + strings.Repeat("2", 99), "<b>1.2.3"} {
		s, _ := newStandin()
		s.health = reply{status: 200, body: `{"initialized":true,"sealed":false,"version":"` + version + `"}`}
		f := look(t, s.config("secret/mlflow/auth"), "store.health")
		if f.Status != inspect.Pass || f.Summary != "initialised, unsealed" {
			t.Errorf("version %q: %s %q", version, f.Status, f.Summary)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	const address = "http://127.0.0.1:1" // a port that was free a moment ago may be another test's by now
	cfg := vault.Config{Address: address, SecretPath: "secret/mlflow/auth", Token: "x", MaxAttempts: 1}
	for _, id := range []string{"store.health", "store.auth", "store.engine", "store.secret"} {
		outcome{inspect.Fail, "", "cannot reach Vault at " + address + ": dial tcp", "check VAULT_ADDR"}.check(t, look(t, cfg, id))
	}
}

func TestALookEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStandin()
		s.before = func(req *http.Request) *reply { <-req.Context().Done(); return &reply{status: 500} }
		cfg := s.config("secret/mlflow/auth")
		cfg.HTTPClient = &http.Client{Transport: contextual{s}}
		for _, step := range newProvider(t, cfg).Inspect(inspect.Options{}).Steps {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			start := time.Now()
			f := step.Look(ctx)
			cancel()
			outcome{inspect.Fail, "", "no answer from Vault at https://vault.company.com in time", "sys/health"}.check(t, f)
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("%s took %v", step.ID, took)
			}
		}
	})
}

func TestLookAtTheLogin(t *testing.T) {
	t.Parallel()
	approle := func(s *standin, cfg *vault.Config) { *cfg = s.withAppRole(*cfg, 3600, "*") }
	for _, c := range []struct {
		name string
		set  func(*standin, *vault.Config)
		outcome
	}{
		{"token", nil, outcome{status: inspect.Pass, summary: `logged in by VAULT_TOKEN; policies "default", "mlflow"; the token ends in 31 days`}},
		{"root", func(s *standin, _ *vault.Config) {
			s.identity = `{"policies":["root"],"ttl":0,"expire_time":null,"num_uses":0}`
		}, outcome{status: inspect.Pass, summary: `policies "root"; the token does not expire`}},
		{"of an entity", func(s *standin, _ *vault.Config) {
			s.identity = `{"policies":["default"],"identity_policies":["team"],"ttl":7300,"expire_time":"2026-12-26T08:33:43Z"}`
		}, outcome{status: inspect.Pass, summary: `policies "default", "team"; the token ends in 2 hours`}},
		{"namespace", func(_ *standin, cfg *vault.Config) { cfg.Namespace = "admin/team" },
			outcome{status: inspect.Pass, summary: `logged in by VAULT_TOKEN in namespace "admin/team"; policies`}},
		{"policies that do not print, or too many", func(s *standin, _ *vault.Config) {
			s.identity = `{"policies":["a\u001b[31m","","` + strings.Repeat("x", 200) + `",` + strings.Repeat(`"p",`, 14) + `"q"],"ttl":0,"expire_time":null}`
		}, outcome{status: inspect.Pass, summary: `; policies "p", "p", "p", "p", "p", "p", "p", "p", "p", "p" and 5 more; the`}},
		{"not an identity", func(s *standin, _ *vault.Config) { s.identity = `"text"` }, outcome{status: inspect.Pass, summary: "logged in by VAULT_TOKEN"}},
		{"look-up not permitted", func(s *standin, _ *vault.Config) { s.noLookup = true; s.setToken(rootToken, "secret/data/mlflow/auth") },
			outcome{status: inspect.Pass, summary: "its policies cannot be shown"}},
		{"look-up barred", func(s *standin, _ *vault.Config) {
			s.before = func(req *http.Request) *reply {
				if strings.HasSuffix(req.URL.Path, "lookup-self") {
					return &reply{status: 403, body: "<html>"}
				}
				return nil
			}
		}, outcome{inspect.Warn, "cannot be looked up", "403 Forbidden", "in front of Vault"}},
		{"unknown token", func(s *standin, _ *vault.Config) { s.setToken(rootToken) },
			outcome{inspect.Fail, "cannot log in by VAULT_TOKEN", "Vault authentication failed: 403 Forbidden", "VAULT_TOKEN is expired, revoked or mistyped"}},
		{"token that ends soon", func(s *standin, _ *vault.Config) {
			s.identity = `{"policies":["default"],"ttl":1500,"expire_time":"2026-12-26T08:33:43Z"}`
		}, outcome{inspect.Warn, "the token ends in 25 minutes", "ends soon, and is not renewed", "AppRole"}},
		{"limited uses", func(s *standin, _ *vault.Config) {
			s.identity = `{"policies":["default"],"ttl":0,"expire_time":null,"num_uses":4}`
		}, outcome{inspect.Warn, "logged in", "each request takes one, this look too: 4 left", "without a limit"}},
		{"last use", func(s *standin, _ *vault.Config) {
			s.identity = `{"policies":["default"],"ttl":0,"expire_time":null,"num_uses":-1}`
		}, outcome{inspect.Warn, "logged in", ": 0 left", "without a limit"}},
		{"sealed", func(s *standin, _ *vault.Config) {
			s.before = func(*http.Request) *reply { return &reply{status: 503, body: sealedBody} }
		}, outcome{inspect.Fail, "cannot log in", "Vault is sealed", "vault operator unseal"}},
		{"no such namespace", func(s *standin, cfg *vault.Config) {
			cfg.Namespace = "nope"
			s.before = func(*http.Request) *reply { return &reply{status: 404, body: `{"errors":["namespace not found"]}`} }
		}, outcome{inspect.Fail, "cannot log in", `namespace "nope" does not exist`, "VAULT_NAMESPACE"}},
		{"AppRole", approle, outcome{status: inspect.Pass, summary: "logged in by AppRole at auth/approle; policies"}},
		{"AppRole whose tokens end soon", func(s *standin, cfg *vault.Config) {
			approle(s, cfg)
			s.identity = `{"policies":["default"],"ttl":60,"expire_time":"2026-12-26T08:33:43Z"}`
		}, outcome{status: inspect.Pass, summary: "the token ends in 60 seconds"}},
		{"AppRole with limited uses", func(s *standin, cfg *vault.Config) {
			approle(s, cfg)
			s.identity = `{"policies":["default"],"ttl":3600,"expire_time":"2026-12-26T08:33:43Z","num_uses":1,"meta":{"role_name":"mlflow"}}`
		}, outcome{inspect.Warn, "AppRole", "1 left", `token_num_uses=0 for the role "mlflow"`}},
		{"AppRole, wrong secret id", func(s *standin, cfg *vault.Config) { approle(s, cfg); cfg.SecretID = "wrong" },
			outcome{inspect.Fail, "cannot log in by AppRole at auth/approle", "400 Bad Request", "vault write -f auth/approle/role/NAME/secret-id"}},
		{"AppRole, not mounted", func(s *standin, cfg *vault.Config) {
			approle(s, cfg)
			s.login = func(*standin, string, map[string]string) reply { return reply{status: 403, body: denyToken} }
		}, outcome{inspect.Fail, "cannot log in by AppRole", "403 Forbidden", "MLFLOW_VAULT_AUTH_MOUNT"}},
		{"AppRole whose tokens Vault refuses", func(s *standin, cfg *vault.Config) {
			approle(s, cfg)
			s.login = func(*standin, string, map[string]string) reply { return granted("s.unknown", 60) }
		}, outcome{inspect.Fail, "cannot log in by AppRole", "403 Forbidden", "token_bound_cidrs"}},
		{"Kubernetes without a file", func(_ *standin, cfg *vault.Config) {
			cfg.Token, cfg.KubernetesRole, cfg.KubernetesTokenPath = "", "mlflow", "/no/such/file"
		}, outcome{inspect.Fail, "cannot log in by Kubernetes at auth/kubernetes", "token file cannot be read", "MLFLOW_VAULT_K8S_TOKEN_PATH"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, _ := newStandin()
				cfg := s.config("secret/mlflow/auth")
				if c.set != nil {
					c.set(s, &cfg)
				}
				c.check(t, look(t, cfg, "store.auth"))
			})
		})
	}
}

func TestATokenThatWasRevokedIsReplacedBeforeItIsLookedAt(t *testing.T) {
	t.Parallel()
	s, _ := newStandin()
	p := newProvider(t, s.withAppRole(s.config("secret/mlflow/auth"), 3600, "*"))
	fetchToken(t, p)
	s.setToken(login(1))
	outcome{status: inspect.Pass, summary: "logged in by AppRole"}.check(t, lookAt(t, p, "store.auth"))
	if n := s.count("PUT auth/"); n != 2 {
		t.Errorf("%d logins", n)
	}
}

func TestLookAtTheTokenFile(t *testing.T) {
	s, _ := newStandin()
	home := t.TempDir()
	t.Setenv("HOME", home)
	file := filepath.Join(home, ".vault-token")
	if err := os.WriteFile(file, []byte(rootToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := s.config("secret/mlflow/auth")
	cfg.Token = ""
	p := newProvider(t, cfg)
	outcome{status: inspect.Pass, summary: "logged in by ~/.vault-token; policies"}.check(t, lookAt(t, p, "store.auth"))
	s.setToken(rootToken)
	outcome{inspect.Fail, "~/.vault-token", "Vault authentication failed", "run `vault login`"}.check(t, lookAt(t, p, "store.auth"))
	if n := s.count("GET auth/token/lookup-self"); n != 2 {
		t.Errorf("%d look-ups", n)
	}
}

func TestLookAtTheEngine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		path string
		set  func(*standin, *vault.Config)
		outcome
	}{
		{"version 2", "secret/mlflow/auth", nil, outcome{status: inspect.Pass, summary: "secret/ is KV version 2"}},
		{"version 1", "kv1/mlflow/auth", nil, outcome{status: inspect.Pass, summary: "kv1/ is KV version 1"}},
		{"deep", "team/kv/mlflow/auth", nil, outcome{status: inspect.Pass, summary: "team/kv/ is KV version 2"}},
		{"the secret is not there", "secret/nope", nil, outcome{status: inspect.Pass, summary: "secret/ is KV version 2"}},
		{"of another kind", "transit/keys/x", nil, outcome{inspect.Fail, "no engine", "transit is not a KV engine", "vault secrets list"}},
		{"mount alone", "team/kv", nil, outcome{inspect.Fail, "no engine", "names a mount, team/kv", "vault kv list team/kv"}},
		{"version pinned in version 1", "kv1/mlflow/auth", func(_ *standin, cfg *vault.Config) { cfg.SecretVersion = 2 },
			outcome{inspect.Fail, "no engine", "kv1 is KV version 1", "MLFLOW_VAULT_SECRET_VERSION"}},
		{"no such mount", "secert/mlflow/auth", nil,
			outcome{inspect.Fail, "no engine", `no secrets engine is mounted at the beginning of path secert/mlflow/auth; KV engines that the token may use: "kv1", "secret", "team/kv"`, `did you mean "secret"? else see the mounts`}},
		{"no such mount, or no right", "secert/mlflow/auth", func(s *standin, _ *vault.Config) { s.setToken(rootToken, "secret/data/mlflow/auth") },
			outcome{inspect.Warn, "does not say what is mounted at the beginning of secert/mlflow/auth", `the token may use: "secret"`, `did you mean "secret"?`}},
		{"no right anywhere", "secret/mlflow/auth", func(s *standin, _ *vault.Config) { s.setToken(rootToken, "x") },
			outcome{inspect.Warn, "the read decides", "the token may use: none", "vault secrets list"}},
		{"not told, but read", "team/kv/mlflow/auth", func(s *standin, _ *vault.Config) { s.noPreflight = true },
			outcome{status: inspect.Pass, summary: "team/kv/ is KV version 2: so says the read"}},
		{"not told, not found", "secret/nope", func(s *standin, _ *vault.Config) { s.noPreflight = true },
			outcome{inspect.Warn, "the read decides", "bars sys/internal/ui/mounts", "vault secrets list"}},
		{"unknown token", "secret/mlflow/auth", func(s *standin, _ *vault.Config) { s.setToken(rootToken) },
			outcome{inspect.Fail, "no engine", "Vault authentication failed", "VAULT_TOKEN"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStandin()
			cfg := s.config(c.path)
			if c.set != nil {
				c.set(s, &cfg)
			}
			c.check(t, look(t, cfg, "store.engine"))
			if n := len(s.seen()); n > 7 {
				t.Errorf("%d requests: %q", n, s.seen())
			}
		})
	}
}

func TestLookAtTheSecret(t *testing.T) {
	t.Parallel()
	aged := func(age time.Duration) string { return time.Now().Add(-age).Format(time.RFC3339Nano) }
	keys := func(names ...string) reply { return ok(`{"keys":["` + strings.Join(names, `","`) + `"]}`) }
	versions := ok(`{"current_version":4,"versions":{
		"1":{"created_time":"2026-11-24T08:33:43Z","deletion_time":"","destroyed":true},
		"2":{"created_time":"2026-11-24T08:33:43Z","deletion_time":"","destroyed":false},
		"3":{"created_time":"2026-11-24T08:33:43Z","deletion_time":"2999-11-24T08:33:43Z","destroyed":false},
		"4":{"created_time":"2026-11-24T08:33:43Z","deletion_time":"1999-11-24T08:33:43Z","destroyed":false}}}`)
	const told = "; its versions are 1 (destroyed), 2, 3, 4 (deleted)"
	deleted := kv2At("null", 4, "1999-11-24T08:34:26Z", false)
	for _, c := range []struct {
		name    string
		path    string
		version int
		set     func(*standin)
		outcome
	}{
		{name: "version 2", path: "secret/mlflow/auth", set: func(s *standin) {
			s.secrets["secret/data/mlflow/auth"] = ok(`{"data":{"token":"x"},"metadata":{"created_time":"` + aged(50*time.Hour) + `","deletion_time":"","destroyed":false,"version":3}}`)
		}, outcome: outcome{status: inspect.Pass, summary: "read secret/mlflow/auth (version 3, 2 days old)"}},
		{name: "version 2, to be deleted", path: "secret/mlflow/auth", set: func(s *standin) {
			s.secrets["secret/data/mlflow/auth"] = ok(`{"data":{"token":"x"},"metadata":{"created_time":"` + aged(100*time.Minute) + `","deletion_time":"` + aged(-50*time.Hour) + `","destroyed":false,"version":3}}`)
		}, outcome: outcome{status: inspect.Pass, summary: "(version 3, 100 minutes old, to be deleted in 2 days)"}},
		{name: "a clock behind", path: "secret/mlflow/auth", set: func(s *standin) {
			s.secrets["secret/data/mlflow/auth"] = ok(`{"data":{"token":"x"},"metadata":{"created_time":"` + aged(-time.Hour) + `","version":3}}`)
		}, outcome: outcome{status: inspect.Pass, summary: "(version 3, 0 seconds old)"}},
		{name: "no time", path: "secret/mlflow/auth", set: func(s *standin) {
			s.secrets["secret/data/mlflow/auth"] = ok(`{"data":{"token":"x"},"metadata":{"created_time":"soon","version":3}}`)
		}, outcome: outcome{status: inspect.Pass, summary: "(version 3)"}},
		{name: "version 1", path: "kv1/mlflow/auth", outcome: outcome{status: inspect.Pass, summary: "read kv1/mlflow/auth (KV version 1)"}},
		{name: "guessed", path: "team/kv/mlflow/auth", set: func(s *standin) { s.noPreflight = true },
			outcome: outcome{status: inspect.Pass, summary: "read team/kv/mlflow/auth (version 1"}},
		{name: "denied", path: "secret/mlflow/auth", set: func(s *standin) { s.setToken(rootToken, "secret/data/other") },
			outcome: outcome{inspect.Fail, "cannot read secret/mlflow/auth", "permission denied at path secret/mlflow/auth", `path "secret/data/mlflow/auth" { capabilities = ["read"] }`}},
		{name: "denied, and not there", path: "secret/mlflow/aut", set: func(s *standin) {
			s.setToken(rootToken, "secret/data/mlflow/auth", "secret/metadata/mlflow")
			s.secrets["secret/metadata/mlflow?list=true"] = keys("auth", "x")
		}, outcome: outcome{inspect.Fail, "cannot read secret/mlflow/aut", `permission denied at path secret/mlflow/aut; secret/mlflow holds "auth", "x"`, `did you mean "secret/mlflow/auth"? else add to the token`}},
		{name: "denied, and there", path: "secret/mlflow/auth", set: func(s *standin) {
			s.setToken(rootToken, "secret/data/other", "secret/metadata/mlflow")
			s.secrets["secret/metadata/mlflow?list=true"] = keys("auth", "x")
		}, outcome: outcome{inspect.Fail, "cannot read secret/mlflow/auth", "permission denied at path secret/mlflow/auth", `path "secret/data/mlflow/auth" { capabilities = ["read"] }`}},
		{name: "not found, with near names", path: "secret/mlflow/aut", set: func(s *standin) {
			s.secrets["secret/metadata/mlflow?list=true"] = keys("auth", "other/", "x")
		}, outcome: outcome{inspect.Fail, "cannot read secret/mlflow/aut", `secret not found at path: secret/mlflow/aut; secret/mlflow holds "auth", "other/", "x"`, `did you mean "secret/mlflow/auth"? else look for it with`}},
		{name: "not found, nor its folder", path: "secret/mlfow/deep/auth", set: func(s *standin) {
			s.secrets["secret/metadata?list=true"] = keys("mlflow/")
		}, outcome: outcome{inspect.Fail, "cannot read", `; secret holds "mlflow/"`, `did you mean "secret/mlflow/"?`}},
		{name: "not found in version 1", path: "kv1/mlflow/aut", set: func(s *standin) {
			s.secrets["kv1/mlflow?list=true"] = keys("auth")
		}, outcome: outcome{inspect.Fail, "cannot read", `; kv1/mlflow holds "auth"`, `did you mean "kv1/mlflow/auth"?`}},
		{name: "not found, nothing like it", path: "secret/mlflow/auth9", set: func(s *standin) {
			delete(s.secrets, "secret/data/mlflow/auth")
			s.secrets["secret/metadata/mlflow?list=true"] = keys("zebra", `\u001b[31mred`, "y"+strings.Repeat("y", 99))
		}, outcome: outcome{inspect.Fail, "cannot read", `; secret/mlflow holds "zebra"`, "look for it with `vault kv list secret/mlflow`"}},
		{name: "not found, many names", path: "secret/mlflow/auth9", set: func(s *standin) {
			s.secrets["secret/metadata/mlflow?list=true"] = keys(slices.Repeat([]string{"n"}, 25)...)
		}, outcome: outcome{inspect.Fail, "cannot read", `"n" and 15 more`, "vault kv list"}},
		{name: "not found, listing not permitted", path: "secret/mlflow/aut", set: func(s *standin) { s.setToken(rootToken, "secret/data/mlflow/aut") },
			outcome: outcome{inspect.Fail, "cannot read", "secret not found at path: secret/mlflow/aut", "look for it with `vault kv list secret/mlflow`"}},
		{name: "deleted", path: "secret/mlflow/auth", set: func(s *standin) {
			s.secrets["secret/data/mlflow/auth"], s.secrets["secret/metadata/mlflow/auth"] = deleted, versions
		}, outcome: outcome{inspect.Fail, "cannot read", "version 4 of secret/mlflow/auth was deleted at 1999-11-24T08:34:26Z" + told, "vault kv undelete -versions=4 secret/mlflow/auth`; version 3 can be read: export MLFLOW_VAULT_SECRET_VERSION=3"}},
		{name: "deleted, metadata not permitted", path: "secret/mlflow/auth", set: func(s *standin) {
			s.secrets["secret/data/mlflow/auth"] = deleted
			s.setToken(rootToken, "secret/data/mlflow/auth")
		}, outcome: outcome{inspect.Fail, "cannot read", "was deleted at 1999-11-24T08:34:26Z", "vault kv undelete"}},
		{name: "destroyed", path: "secret/mlflow/auth", version: 1, set: func(s *standin) {
			s.secrets["secret/data/mlflow/auth?version=1"], s.secrets["secret/metadata/mlflow/auth"] = kv2At("null", 1, "", true), versions
		}, outcome: outcome{inspect.Fail, "cannot read", "version 1 of secret/mlflow/auth was destroyed" + told, "MLFLOW_VAULT_SECRET_VERSION=3"}},
		{name: "no such version", path: "secret/mlflow/auth", version: 9, set: func(s *standin) {
			s.secrets["secret/metadata/mlflow/auth"] = versions
		}, outcome: outcome{inspect.Fail, "cannot read", "(version 9)" + told, "MLFLOW_VAULT_SECRET_VERSION=3"}},
		{name: "a version of what is not there", path: "secret/mlflow/aut", version: 9, set: func(s *standin) {
			s.secrets["secret/metadata/mlflow?list=true"] = keys("auth")
		}, outcome: outcome{inspect.Fail, "cannot read", `(version 9); secret/mlflow holds "auth"`, `did you mean "secret/mlflow/auth"?`}},
		{name: "no such mount", path: "nomount/mlflow/auth", outcome: outcome{inspect.Fail, "cannot read nomount/mlflow/auth", "no secrets engine is mounted", "vault secrets list"}},
		{name: "no such namespace", path: "secret/mlflow/auth", set: func(s *standin) {
			s.before = func(*http.Request) *reply { return &reply{status: 404, body: `{"errors":["namespace not found"]}`} }
		}, outcome: outcome{inspect.Fail, "cannot read", "namespace", "VAULT_NAMESPACE"}},
		{name: "unknown token", path: "secret/mlflow/auth", set: func(s *standin) { s.setToken(rootToken) },
			outcome: outcome{inspect.Fail, "cannot read", "Vault authentication failed: 403 Forbidden", "VAULT_TOKEN"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, value := newStandin()
			if c.set != nil {
				c.set(s)
			}
			cfg := s.config(c.path)
			cfg.SecretVersion = c.version
			f := look(t, cfg, "store.secret")
			c.check(t, f)
			if f.Secret.IsZero() != (c.status == inspect.Fail) || f.Invalid != nil {
				t.Errorf("secret %v, invalid %v", f.Secret, f.Invalid)
			}
			if strings.Contains(f.Cause, "red") || strings.Contains(f.Cause, "yyy") {
				t.Errorf("cause %q shows a name that does not print, or a long one", f.Cause)
			}
			canary.AbsentFrom(t, "finding", f, value)
		})
	}
}

func TestASecretThatIsNoCredentialWasReadAllTheSame(t *testing.T) {
	t.Parallel()
	for path, summary := range map[string]string{"secret/mlflow/auth": "(version 1, ", "kv1/mlflow/auth": "(KV version 1)"} {
		s, _ := newStandin()
		value := canary.New()
		s.secrets["kv1/mlflow/auth"] = ok(`{"value":"` + value + `"}`)
		s.secrets["secret/data/mlflow/auth"] = kv2(`{"value":"` + value + `"}`)
		f := look(t, s.config(path), "store.secret")
		outcome{status: inspect.Pass, summary: "read " + path + " " + summary}.check(t, f)
		if !f.Secret.IsZero() {
			t.Error("there is a secret")
		}
		wantError(t, f.Invalid, secretsauth.ErrInvalidSecret, `neither a field "token"`)
		canary.AbsentFrom(t, path, f, value)
		canary.AbsentFrom(t, path, f.Invalid, value)
	}
}

// A token of one use is spent by each look, and Fetch and Inspect log in again.
func TestTokensOfOneUse(t *testing.T) {
	t.Parallel()
	s, want := newStandin()
	cfg := s.withAppRole(s.config("secret/mlflow/auth"), 3600, "*")
	s.before = func(req *http.Request) *reply {
		token := req.Header.Get("X-Vault-Token")
		s.mu.Lock()
		defer s.mu.Unlock()
		if token != "" && s.tokens[token] == nil {
			return &reply{status: 403, body: denyToken}
		}
		if token != "" {
			s.tokens[token] = nil
			s.tokens[rootToken] = []string{"*"}
			req.Header.Set("X-Vault-Token", rootToken)
		}
		return nil
	}
	p := newProvider(t, cfg)
	for _, id := range []string{"store.auth", "store.engine", "store.secret"} {
		f := lookAt(t, p, id)
		outcome{status: inspect.Pass}.check(t, f)
		if id == "store.secret" && !f.Secret.Equal(secretsauth.NewToken(want)) {
			t.Error("wrong secret")
		}
	}
	if n := s.count("PUT auth/"); n != 3 {
		t.Errorf("%d logins", n)
	}
}

func TestTransportIsThatOfTheRequests(t *testing.T) {
	transport := func(cfg vault.Config) *http.Transport {
		return newProvider(t, cfg).Inspect(inspect.Options{}).Transport
	}
	own := &http.Transport{}
	cfg := vault.Config{Address: "https://vault.company.com", SecretPath: "secret/mlflow/auth", Token: "x"}
	setenv(t, map[string]string{"VAULT_SKIP_VERIFY": "true", "VAULT_TLS_SERVER_NAME": "other.company.com", "VAULT_PROXY_ADDR": "http://proxy.company.com:3128"})
	got := transport(cfg)
	if got == nil || !got.TLSClientConfig.InsecureSkipVerify || got.TLSClientConfig.ServerName != "other.company.com" {
		t.Fatalf("transport %+v", got)
	}
	proxy, err := got.Proxy(httptest.NewRequest(http.MethodGet, cfg.Address, nil))
	if err != nil || proxy.Host != "proxy.company.com:3128" {
		t.Errorf("proxy %v, %v", proxy, err)
	}
	cfg.HTTPClient = &http.Client{}
	if got := transport(cfg); got == nil || !got.TLSClientConfig.InsecureSkipVerify {
		t.Errorf("a client without a transport: %+v", got)
	}
	cfg.HTTPClient = &http.Client{Transport: own}
	if got := transport(cfg); got != own {
		t.Errorf("the caller's transport: %+v", got)
	}
	s, _ := newStandin()
	cfg.HTTPClient = &http.Client{Transport: s}
	if got := transport(cfg); got != nil {
		t.Errorf("another kind of transport: %+v", got)
	}
}

// S152, S162: as for the errors of Fetch.
func TestS152S162FindingsQuoteNoAnswer(t *testing.T) {
	t.Parallel()
	forms := []string{
		`{"errors":[%q]}`, `%s`, `{"warnings":[%q],"data":{"token":5}}`, `{"data":{"data":{"token":%q}}`,
		`{"data":{"data":%q,"metadata":{"version":"x"}}}`, `{"initialized":true,"sealed":false,"version":%q}`, `{"data":{"policies":%q}}`,
	}
	for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 429, 472, 500, 501, 503} {
		for _, form := range forms {
			for _, at := range []string{"/v1/sys/", "/v1/auth/", "/v1/secret/", "/v1/secret/metadata", "/v1/"} {
				t.Run(fmt.Sprint(status, form, at), func(t *testing.T) {
					t.Parallel()
					p, secrets := echoing(t, "secret/mlflow/nope", status, form, at)
					for _, step := range p.Inspect(inspect.Options{}).Steps {
						f := step.Look(t.Context())
						canary.AbsentFrom(t, step.ID, f, secrets...)
						canary.AbsentFrom(t, step.ID, f.Invalid, secrets...)
					}
				})
			}
		}
	}
}
