package azure_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

var (
	forbiddenByRBAC = problem(403, "Forbidden", "ForbiddenByRbac", "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\nCaller: appid=x;oid=y\r\nAction: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'")
	accessDenied    = problem(403, "Forbidden", "AccessDenied", "The user, group or application 'appid=x;oid=y' does not have secrets get permission on key vault 'my-vault;location=westeurope'.")
	byFirewall      = problem(403, "Forbidden", "ForbiddenByFirewall", "Client address is not authorized and caller is not a trusted service.\r\nClient address: 1.2.3.4")
	byConnection    = problem(403, "Forbidden", "ForbiddenByConnection", "Public network access is disabled and request is not from a trusted service nor via an approved private link.")
	disabled        = problem(403, "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret.")
)

func withHeader(r reply, name, value string) reply {
	r.header = http.Header{http.CanonicalHeaderKey(name): {value}}
	return r
}

func TestFailuresAreToldApart(t *testing.T) {
	t.Parallel()
	const at = vaultURL + "/secrets/mlflow-auth"
	const version = "4387e9f3d6e14c459867679a90fd0f79"
	page := reply{status: 403, body: "<html>Forbidden</html>", header: http.Header{"Content-Type": {"text/html"}}}
	for _, test := range []struct {
		name    string
		answer  *reply
		version string
		kind    error
		says    []string
		wait    time.Duration
	}{
		{name: "S131 not found", kind: secretsauth.ErrNotFound, says: []string{"secret not found at path: " + at + "; fix", "az keyvault secret list --vault-name my-vault"}},
		{name: "S131 version not found", version: version, kind: secretsauth.ErrNotFound, says: []string{"secret not found at path: " + at + " (version " + version + ")", "list-versions"}},
		{name: "S131 disabled", answer: &disabled, kind: secretsauth.ErrDenied, says: []string{at + " is disabled", "az keyvault secret set-attributes --vault-name my-vault --name mlflow-auth --enabled true"}},
		{name: "S131 disabled, says Lowkey Vault", answer: new(problem(404, "NotFoundException", "", "Operation get is not allowed on a disabled entity.")), kind: secretsauth.ErrDenied, says: []string{"is disabled"}},
		{name: "S131 RBAC", answer: &forbiddenByRBAC, kind: secretsauth.ErrDenied, says: []string{"no role allows", "az role assignment create --role \"Key Vault Secrets User\"", "secrets/mlflow-auth"}},
		{name: "S131 access policy", answer: &accessDenied, kind: secretsauth.ErrDenied, says: []string{"no access policy allows", "az keyvault set-policy --name my-vault", "--secret-permissions get"}},
		{name: "S131 access policy, by its newer code", answer: new(problem(403, "Forbidden", "ForbiddenByPolicy", "x")), kind: secretsauth.ErrDenied, says: []string{"no access policy allows"}},
		{name: "S131 firewall", answer: &byFirewall, kind: secretsauth.ErrDenied, says: []string{"firewall", "az keyvault network-rule add --name my-vault"}},
		{name: "S131 no public access", answer: &byConnection, kind: secretsauth.ErrDenied, says: []string{"closed to the public network", "private endpoint"}},
		{name: "S131 some other 403", answer: new(problem(403, "Forbidden", "", "x")), kind: secretsauth.ErrDenied, says: []string{"403 Forbidden", "az keyvault show"}},
		{name: "S131 403 of a proxy", answer: &page, kind: secretsauth.ErrDenied, says: []string{"not as Key Vault does", "proxies"}},
		{name: "expired, says the vault", answer: new(problem(403, "Forbidden", "SecretExpired", "x")), kind: secretsauth.ErrInvalidSecret, says: []string{"has expired"}},
		{name: "not yet valid, says the vault", answer: new(problem(403, "Forbidden", "SecretNotYetValid", "x")), kind: secretsauth.ErrInvalidSecret, says: []string{"not valid yet"}},
		{name: "S131 401", answer: new(withHeader(problem(401, "Unauthorized", "", "Error validating token: IDX10223"), "WWW-Authenticate", newStandin().challenge)), kind: secretsauth.ErrDenied,
			says: []string{"Azure authentication failed: Key Vault does not accept the token: 401 Unauthorized"}},
		{name: "S131 token of another tenant", answer: new(withHeader(problem(401, "Unauthorized", "", "AKV10032: Invalid issuer. Expected one of …"), "WWW-Authenticate", newStandin().challenge)), kind: secretsauth.ErrDenied,
			says: []string{"AKV10032", "AZURE_TENANT_ID", "properties.tenantId"}},
		{name: "S131 401 of a proxy", answer: &reply{status: 401, body: "who are you"}, kind: secretsauth.ErrDenied, says: []string{"401 Unauthorized, and not as Key Vault does"}},
		{name: "S131 401 of a proxy that wants a password", answer: new(withHeader(reply{status: 401}, "WWW-Authenticate", `Basic realm="x"`)), kind: secretsauth.ErrDenied, says: []string{"401 Unauthorized, and not as Key Vault does"}},
		{name: "401 whose challenge has no tenant", answer: new(withHeader(reply{status: 401}, "WWW-Authenticate", `Bearer authorization="https://login", resource="https://vault.azure.net"`)), kind: secretsauth.ErrDenied,
			says: []string{"401 Unauthorized, and not as Key Vault does"}},
		{name: "404 of a proxy", answer: &reply{status: 404, body: "<html>"}, kind: secretsauth.ErrUnavailable, says: []string{"not as Key Vault does", "MLFLOW_AZURE_KEY_VAULT_URL"}},
		{name: "400", answer: new(problem(400, "BadParameter", "", "x")), kind: secretsauth.ErrConfig, says: []string{"400 Bad Request", "MLFLOW_AZURE_SECRET_NAME"}},
		{name: "S131 429", answer: new(withHeader(problem(429, "Throttled", "", "x"), "Retry-After", "7")), kind: secretsauth.ErrUnavailable, says: []string{"limits the rate", "MLFLOW_AZURE_TTL_SEC"}, wait: 7 * time.Second},
		{name: "S122 500", answer: new(problem(500, "InternalServerError", "", "x")), kind: secretsauth.ErrUnavailable, says: []string{"500"}},
		{name: "S121 429 until a date", answer: new(withHeader(reply{status: 429}, "Retry-After", "Thu, 01 Jan 2099 00:00:00 GMT")), kind: secretsauth.ErrUnavailable, says: []string{"limits the rate"}, wait: 365 * 24 * time.Hour},
		{name: "S121 429 until a number beyond all", answer: new(withHeader(reply{status: 429}, "Retry-After", "99999999999999999999")), kind: secretsauth.ErrUnavailable, says: []string{"limits the rate"}, wait: 365 * 24 * time.Hour},
		{name: "S121 429 until yesterday", answer: new(withHeader(reply{status: 429}, "Retry-After", "Thu, 01 Jan 2004 00:00:00 GMT")), kind: secretsauth.ErrUnavailable, says: []string{"limits the rate"}},
		{name: "S122 503", answer: new(withHeader(reply{status: 503}, "Retry-After", "10")), kind: secretsauth.ErrUnavailable, says: []string{"503"}, wait: 10 * time.Second},
		{name: "S123 a redirect", answer: new(withHeader(reply{status: 302}, "Location", "https://elsewhere.invalid/")), kind: secretsauth.ErrUnavailable, says: []string{"redirect (302 Found)", "not followed"}},
		{name: "a page instead of JSON", answer: &reply{status: 200, body: "<html>"}, kind: secretsauth.ErrUnavailable, says: []string{"no usable answer"}},
		{name: "204", answer: &reply{status: 204}, kind: secretsauth.ErrUnavailable, says: []string{"no usable answer"}},
		{name: "S83 no value", answer: &reply{status: 200, body: `{"id":"x"}`}, kind: secretsauth.ErrInvalidSecret, says: []string{"has no value", "az keyvault secret set"}},
		{name: "no credential", answer: new(secretOf(`{"user":"x"}`, "")), kind: secretsauth.ErrInvalidSecret, says: []string{`"token"`, "az keyvault secret set"}},
		{name: "disabled by its attributes", answer: &reply{status: 200, body: `{"value":"x","attributes":{"enabled":false}}`}, kind: secretsauth.ErrDenied, says: []string{"is disabled"}},
		{name: "expired by its attributes", answer: new(secretOf("x", `"exp":1700000000`)), kind: secretsauth.ErrInvalidSecret, says: []string{"expired at 2023-11-14T22:13:20Z"}},
		{name: "not yet valid by its attributes", answer: new(secretOf("x", `"nbf":4102444800`)), kind: secretsauth.ErrInvalidSecret, says: []string{"not valid before 2100-01-01T00:00:00Z", "clock"}},
		{name: "S120 reset", answer: &reply{err: errNobody}, kind: secretsauth.ErrUnavailable, says: []string{"cannot reach Key Vault at " + vaultURL}},
		{name: "an unknown cause", answer: &reply{err: errors.New(ourSecret)}, kind: secretsauth.ErrUnavailable, says: []string{"*errors.errorString"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, hidden := newStandin(), canary.New()
			if test.answer != nil {
				answer := *test.answer
				answer.body = strings.ReplaceAll(answer.body, `"message":"`, `"message":"`+hidden) // S162
				s.refuse = &answer
			}
			p := s.provider(t, func(c *azure.Config) { c.SecretVersion, c.MaxAttempts = test.version, 1 })
			secret, err := p.Fetch(t.Context())
			e := wantFailure(t, err, test.kind, append(test.says, p.Key())...)
			if !secret.IsZero() || e.RetryAfter() != test.wait {
				t.Errorf("secret %t, wait %v, error %v", !secret.IsZero(), e.RetryAfter(), err)
			}
			canary.AbsentFrom(t, "error", err, hidden, ourSecret)
		})
	}
}

func TestExpiryGoesWithTheSecret(t *testing.T) {
	t.Parallel()
	s := newStandin()
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	s.store(secretOf(ourSecret, fmt.Sprintf(`"nbf":1700000000,"exp":%d`, expires.Unix())))
	got, err := s.provider(t, func(c *azure.Config) { c.Mode = "Bearer" }).Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := secretsauth.NewToken(ourSecret)
	if !got.Equal(want) {
		t.Error("wrong secret")
	}
	// What a cache does with the expiry: an hour from now the value is gone,
	// however long the TTL.
	synctest.Test(t, func(t *testing.T) {
		s := newStandin()
		s.store(secretOf(ourSecret, fmt.Sprintf(`"exp":%d`, time.Now().Add(time.Hour).Unix())))
		cache := secretsauth.NewCache(s.provider(t), secretsauth.Config{TTL: 24 * time.Hour, AllowedHosts: []string{"*"}})
		if _, err := cache.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Minute)
		_, err := cache.Fetch(t.Context())
		wantError(t, err, secretsauth.ErrInvalidSecret, "expired at")
		synctest.Wait()
	})
}

func TestVersions(t *testing.T) {
	t.Parallel()
	s := newStandin()
	latest, pinned := canary.New(), canary.New()
	s.put(latest)
	s.set(func(s *standin) { s.secrets["/secrets/mlflow-auth/0a1b"] = secretOf(pinned, "") })
	s.set(func(s *standin) {
		s.before = func(req *http.Request) *reply {
			if strings.HasPrefix(req.URL.Path, "/secrets/") && req.URL.Query().Get("api-version") != "7.6" {
				t.Errorf("asked for %s", req.URL)
			}
			return nil
		}
	})
	if fetchToken(t, s.provider(t)) != latest {
		t.Error("not the latest version")
	}
	p := s.provider(t, func(c *azure.Config) { c.SecretVersion = " 0a1b " })
	if fetchToken(t, p) != pinned {
		t.Error("not the pinned version")
	}
	if want := "azure-key-vault:" + vaultURL + ":mlflow-auth?version=0a1b"; p.Key() != want || p.Name() != "azure-key-vault" {
		t.Errorf("key %q, want %q", p.Key(), want)
	}
}

func TestS132ForeignChallenge(t *testing.T) {
	t.Parallel()
	for name, challenge := range map[string]string{
		"another service":        `Bearer authorization="https://login.microsoftonline.com/` + tenant + `", resource="https://management.azure.com"`,
		"another domain":         `Bearer authorization="https://login.microsoftonline.com/` + tenant + `", resource="https://vault.azure.net.evil.example"`,
		"a part of a label":      `Bearer authorization="https://login.microsoftonline.com/` + tenant + `", resource="https://ult.azure.net"`,
		"another cloud":          `Bearer authorization="https://login.microsoftonline.com/` + tenant + `", scope="https://vault.azure.cn/.default"`,
		"a host without scheme":  `Bearer authorization="https://login.microsoftonline.com/` + tenant + `", resource="https://vault.azure.net@evil.example"`,
		"no resource":            `Bearer authorization="https://login.microsoftonline.com/` + tenant + `"`,
		"Basic":                  `Basic realm="x"`,
		"a tenant without a way": `Bearer authorization="https:login", resource="https://vault.azure.net"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStandin()
			s.put(ourSecret)
			s.challenge = challenge
			_, err := s.provider(t).Fetch(t.Context())
			if err == nil || s.reads() != 0 {
				t.Fatalf("%d tokens were sent; error %v", s.reads(), err)
			}
			if e, ok := errors.AsType[*secretsauth.Error](err); !ok || e.Kind == nil || strings.Contains(err.Error(), "evil.example") {
				t.Errorf("error %v", err)
			}
			if strings.HasPrefix(name, "another") {
				wantError(t, err, secretsauth.ErrConfig, "another service than Key Vault", "got none")
			}
		})
	}
	t.Run("on loopback any will do", func(t *testing.T) {
		t.Parallel()
		lowkey := newStandin()
		lowkey.put(ourSecret)
		lowkey.challenge = `Bearer resource="https://localhost:8443", authorization_uri="https://localhost:8443/secrets/mlflow-auth/"`
		p := lowkey.provider(t, func(c *azure.Config) { c.VaultURL = "https://localhost:8443" })
		for range 2 {
			if fetchToken(t, p) != ourSecret {
				t.Error("wrong secret")
			}
		}
		for _, address := range []string{"https://127.0.0.1:8443", "https://localhost:8443", "https://my-vault.localhost", "http://[::1]:8443"} {
			s := newStandin()
			s.put(ourSecret)
			s.challenge = `Bearer authorization="https://localhost:8443/` + tenant + `", resource="https://lowkey.example"`
			if fetchToken(t, s.provider(t, func(c *azure.Config) { c.VaultURL = address })) != ourSecret {
				t.Errorf("%s: wrong secret", address)
			}
		}
	})
}

func TestS121WhatMayPassIsTriedAgain(t *testing.T) {
	t.Parallel()
	broken := reply{err: errNobody}
	for _, test := range []struct {
		name     string
		answer   reply
		times    int // how often it fails
		attempts int
		reads    int
		ok       bool
		pause    [2]time.Duration // of the whole
	}{
		{"passes in time", reply{status: 500}, 2, 0, 3, true, [2]time.Duration{300 * time.Millisecond, 600 * time.Millisecond}},
		{"does not pass", reply{status: 503}, 99, 0, 3, false, [2]time.Duration{300 * time.Millisecond, 600 * time.Millisecond}},
		{"one attempt", reply{status: 500}, 1, 1, 1, false, [2]time.Duration{}},
		{"five attempts", reply{status: 429}, 4, 5, 5, true, [2]time.Duration{2 * time.Second, 4 * time.Second}},
		{"many attempts", reply{status: 429}, 20, 1000, 21, true, [2]time.Duration{20 * time.Second, 40 * time.Second}},
		{"no connection", broken, 2, 0, 3, true, [2]time.Duration{300 * time.Millisecond, 600 * time.Millisecond}},
		{"Retry-After", withHeader(reply{status: 429}, "Retry-After", "1"), 2, 0, 3, true, [2]time.Duration{2 * time.Second, 2 * time.Second}},
		{"Retry-After of a year", withHeader(reply{status: 429}, "Retry-After", "31536000"), 2, 0, 1, false, [2]time.Duration{}},
		{"Retry-After, negative", withHeader(reply{status: 429}, "Retry-After", "-5"), 2, 0, 3, true, [2]time.Duration{300 * time.Millisecond, 600 * time.Millisecond}},
		{"Retry-After, text", withHeader(reply{status: 503}, "Retry-After", "soon"), 2, 0, 3, true, [2]time.Duration{300 * time.Millisecond, 600 * time.Millisecond}},
		{"a 4xx does not pass", reply{status: 409}, 1, 0, 1, false, [2]time.Duration{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStandin()
				s.put(ourSecret)
				p := s.provider(t, func(c *azure.Config) { c.MaxAttempts = test.attempts })
				fetchToken(t, p) // logged in from here on
				reads, begun := 0, time.Now()
				s.set(func(s *standin) {
					s.before = func(*http.Request) *reply {
						if reads++; reads <= test.times {
							return &test.answer
						}
						return nil
					}
				})
				_, err := p.Fetch(t.Context())
				took := time.Since(begun)
				if (err == nil) != test.ok || reads != test.reads {
					t.Errorf("%d requests, error %v; want %d", reads, err, test.reads)
				}
				if took < test.pause[0]*8/10 || took > test.pause[1] {
					t.Errorf("it took %v, want %v", took, test.pause)
				}
				if test.name == "Retry-After of a year" {
					if e := wantFailure(t, err, secretsauth.ErrUnavailable); e.RetryAfter() != 365*24*time.Hour {
						t.Errorf("it asks to wait %v", e.RetryAfter())
					}
				}
			})
		})
	}
}

func TestS119Hang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandin()
		s.put(ourSecret)
		p := s.provider(t)
		fetchToken(t, p)
		s.set(func(s *standin) {
			s.before = func(req *http.Request) *reply {
				<-req.Context().Done()
				return &reply{err: req.Context().Err()}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := p.Fetch(ctx)
		wantError(t, err, secretsauth.ErrUnavailable, "in time")
		if took := time.Since(begun); took != 5*time.Second || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it took %v; %v", took, err)
		}
	})
}

// A token that is not accepted is worth one more login.
func TestS126S131TheTokenIsRevoked(t *testing.T) {
	t.Parallel()
	s := newStandin()
	s.put(ourSecret)
	p := s.provider(t)
	fetchToken(t, p)
	refused := withHeader(problem(401, "Unauthorized", "", "revoked"), "WWW-Authenticate", s.challenge)
	s.set(func(s *standin) { s.refuse = &refused })
	before := s.reads()
	_, err := p.Fetch(t.Context())
	wantError(t, err, secretsauth.ErrDenied, "401")
	if n := s.reads() - before; n < 2 || n > 4 {
		t.Errorf("S126 %d requests with a token that is not accepted", n)
	}
	s.set(func(s *standin) { s.refuse = nil })
	fetchToken(t, p)
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s := newStandin()
	s.put(ourSecret)
	p := s.provider(t)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			secret, err := p.Fetch(t.Context())
			if token, _ := secret.Token(); err != nil || token != ourSecret {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
}

func TestHintsGoWithTheSecret(t *testing.T) {
	t.Parallel()
	s := newStandin()
	s.put(`{"token":"u:p"}`)
	p := s.provider(t, func(c *azure.Config) { c.Mode = secretsauth.AuthBasic })
	wantBasic(t, p)
}

// wantBasic checks that the secret u:p is sent as a username and password.
func wantBasic(t *testing.T, p secretsauth.Provider) {
	t.Helper()
	sent, err := inspect.Header(t.Context(), p, secretsauth.Config{AllowedHosts: []string{"mlflow.test"}}, &url.URL{Scheme: "https", Host: "mlflow.test"})
	if err != nil {
		t.Fatal(err)
	}
	if user, password, ok := (&http.Request{Header: sent}).BasicAuth(); !ok || user != "u" || password != "p" {
		t.Error("not sent as Basic")
	}
}

func TestBadConfig(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*azure.Config){
		"mode": func(c *azure.Config) { c.Mode = "digest" },
		"TTL":  func(c *azure.Config) { c.TTL = -time.Second },
		"":     func(c *azure.Config) { *c = azure.Config{} },
	} {
		cfg := newStandin().config(change)
		_, err := azure.New(cfg)
		wantError(t, err, secretsauth.ErrConfig)
		if name == "" && fmt.Sprint(cfg) != "azure.Config(incomplete)" {
			t.Errorf("prints as %v", cfg)
		}
	}
}
