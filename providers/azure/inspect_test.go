package azure_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

const version = "4387e9f3d6e14c459867679a90fd0f79"

// want is a finding: its status and what its texts say.
type want struct {
	status  inspect.Status
	summary string // all of it, or as far as "…" where it ends in that
	cause   []string
	fix     []string
}

func passed(summary string) want { return want{status: inspect.Pass, summary: summary} }

func failed(summary string, cause, fix string) want {
	return want{inspect.Fail, summary, []string{cause}, []string{fix}}
}

func (w want) check(t *testing.T, step string, f inspect.Finding, secrets ...string) {
	t.Helper()
	if f.Status != w.status {
		t.Errorf("%s: %s, want %s: %+v", step, f.Status, w.status, f)
	}
	if begin, ok := strings.CutSuffix(w.summary, "…"); f.Summary != w.summary && (!ok || !strings.HasPrefix(f.Summary, begin)) {
		t.Errorf("%s: summary %q, want %q", step, f.Summary, w.summary)
	}
	for _, says := range w.cause {
		if !strings.Contains(f.Cause, says) {
			t.Errorf("%s: cause %q does not say %q", step, f.Cause, says)
		}
	}
	for _, says := range w.fix {
		if !strings.Contains(f.Fix, says) {
			t.Errorf("%s: fix %q does not say %q", step, f.Fix, says)
		}
	}
	if bad := f.Status == inspect.Fail || f.Status == inspect.Warn; bad != (f.Cause != "") || bad != (f.Fix != "") {
		t.Errorf("%s: cause %q and fix %q of %s", step, f.Cause, f.Fix, f.Status)
	}
	if strings.ContainsAny(f.Summary+f.Cause, "\r\n") {
		t.Errorf("%s: more than a line: %q", step, f)
	}
	canary.AbsentFrom(t, step, f, secrets...)
}

// look takes one step of a read.
func look(ctx context.Context, p netted, id string) inspect.Finding {
	for _, step := range p.Inspect(inspect.Options{}).Steps {
		if step.ID == id {
			f := step.Look(ctx)
			canary.KeepValue("a finding", f)
			return f
		}
	}
	return inspect.Skipped("no such step")
}

// ids of a token, and what goes with it.
const (
	appID    = "aaaaaaaa-0000-4000-8000-00000000000a"
	objectID = "bbbbbbbb-0000-4000-8000-00000000000b"
)

func jwt(claims, signature string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"typ":"JWT","alg":"RS256"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte(signature))
}

func TestInspectTheLogin(t *testing.T) {
	const asked = "cannot read mlflow-auth"
	withSecret := func() map[string]string { return servicePrincipal("AZURE_CLIENT_SECRET", "x") }
	ids := fmt.Sprintf(`{"aud":"https://vault.azure.net","tid":%q,"appid":%q,"oid":%q}`, tenant, appID, objectID)
	refused := func(message string) reply {
		return withHeader(problem(401, "Unauthorized", "", message), "WWW-Authenticate", newStandin().challenge)
	}
	az := filepath.Join(t.TempDir(), "az")
	if err := os.WriteFile(az, []byte("#!/bin/sh\necho '{\"accessToken\":\""+jwt(ids, "")+"\",\"expires_on\":4102444800}'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		vars   map[string]string
		claims string // of the token
		login  *reply // in place of one
		answer *reply // of Key Vault, to a request with a token
		before *reply // of Key Vault, to every request
		auth   want
		secret want
	}{
		{name: "client secret", vars: withSecret(), claims: ids,
			auth:   passed("logged in by EnvironmentCredential (tenant " + tenant + ", client id " + appID + ", object id " + objectID + "); its token is good for 59 minutes"),
			secret: passed("read mlflow-auth (version 4387e9f3…, …")},
		{name: "a token without ids", vars: withSecret(),
			auth:   passed("logged in by EnvironmentCredential (tenant " + tenant + "); its token is good for 59 minutes"),
			secret: passed("read mlflow-auth…")},
		{name: "a token whose ids are none", vars: withSecret(), claims: `{"tid":"CANARY","appid":"CANARY","oid":"` + objectID + ` CANARY"}`,
			auth:   passed("logged in by EnvironmentCredential (tenant " + tenant + "); its token is good for 59 minutes"),
			secret: passed("read mlflow-auth…")},
		{name: "a token whose ids are no text", vars: withSecret(), claims: `{"tid":["CANARY"],"oid":"` + objectID + `"}`,
			auth:   passed("logged in by EnvironmentCredential (tenant " + tenant + "); its token is good for 59 minutes"),
			secret: passed("read mlflow-auth…")},
		{name: "managed identity", vars: minimal("IDENTITY_ENDPOINT", "http://identity.test/msi/token", "IDENTITY_HEADER", "identity-header", "AZURE_CLIENT_ID", objectID), claims: ids,
			auth:   passed("logged in by ManagedIdentityCredential (tenant " + tenant + ", client id " + appID + ", object id " + objectID + "); its token is good for …"),
			secret: passed("read mlflow-auth…")},
		{name: "a program", vars: minimal("PATH", filepath.Dir(az)),
			auth:   passed("logged in by AzureCLICredential (tenant " + tenant + ", object id " + objectID + "); its token is good for …"),
			secret: passed("read mlflow-auth…")},
		{name: "no role", vars: withSecret(), claims: ids, answer: &forbiddenByRBAC,
			auth: passed("logged in by EnvironmentCredential…"),
			secret: failed(asked, "no role allows to read "+vaultURL+"/secrets/mlflow-auth (ForbiddenByRbac)",
				`az role assignment create --role "Key Vault Secrets User" --assignee `+objectID+` --scope "$(az keyvault show --name my-vault --query id --output tsv)/secrets/mlflow-auth"`)},
		{name: "no access policy", vars: withSecret(), claims: ids, answer: &accessDenied,
			auth:   passed("logged in by EnvironmentCredential…"),
			secret: failed(asked, "no access policy allows", "az keyvault set-policy --name my-vault --object-id "+objectID+" --secret-permissions get")},
		{name: "firewall", vars: withSecret(), answer: &byFirewall,
			auth:   passed("logged in by EnvironmentCredential…"),
			secret: failed(asked, "ForbiddenByFirewall", "az keyvault network-rule add --name my-vault")},
		{name: "no public access", vars: withSecret(), answer: &byConnection,
			auth:   passed("logged in by EnvironmentCredential…"),
			secret: failed(asked, "ForbiddenByConnection", "private endpoint")},
		{name: "Key Vault is down after the login", vars: withSecret(), answer: &reply{status: 503},
			auth:   passed("logged in by EnvironmentCredential…"),
			secret: failed(asked, "503", "https://azure.status.microsoft")},
		{name: "the token is refused", vars: withSecret(), claims: ids, answer: new(refused("Error validating token: IDX10223 CANARY")),
			auth:   failed("not logged in to Azure", "Key Vault does not accept the token: 401 Unauthorized", "clock"),
			secret: failed(asked, "Key Vault does not accept the token", "clock")},
		{name: "a token of another tenant", vars: withSecret(), answer: new(refused("AKV10032: Invalid issuer.")),
			auth:   failed("not logged in to Azure", "AKV10032", "export AZURE_TENANT_ID of the vault"),
			secret: failed(asked, "AKV10032", "AZURE_TENANT_ID")},
		{name: "wrong secret", vars: withSecret(), login: new(aad(401, "invalid_client", "7000215: Invalid client secret provided. CANARY")),
			auth:   failed("not logged in to Azure", "Azure authentication failed: EnvironmentCredential: the client secret is not accepted (AADSTS7000215)", "export AZURE_CLIENT_SECRET with the value of a secret"),
			secret: failed(asked, "AADSTS7000215", "az ad app credential reset")},
		{name: "the login is busy", vars: withSecret(), login: new(withHeader(reply{status: 429, body: "{}"}, "Retry-After", "30")),
			auth:   failed("not logged in to Azure", "the login answered 429", "https://status.entra.microsoft.com"),
			secret: failed(asked, "the login answered 429", "https://status.entra.microsoft.com")},
		{name: "the login cannot be reached", vars: withSecret(), login: &reply{err: errNobody},
			auth:   failed("not logged in to Azure", "the login cannot be reached: dial tcp: no route to host", "AZURE_AUTHORITY_HOST"),
			secret: failed(asked, "the login cannot be reached", "AZURE_AUTHORITY_HOST")},
		{name: "no credential", vars: minimal(),
			auth: want{inspect.Fail, "not logged in to Azure", []string{"EnvironmentCredential: AZURE_TENANT_ID is not set; ", "WorkloadIdentityCredential: AZURE_FEDERATED_TOKEN_FILE is not set; ",
				"ManagedIdentityCredential: no managed identity endpoint answers at 169.254.169.254; ", "AzureCLICredential: az is not installed; ", "AzurePowerShellCredential: pwsh is not installed"},
				[]string{"AZURE_CLIENT_SECRET", "`az login`"}},
			secret: failed(asked, "no credential is available", "`az login`")},
		{name: "Key Vault cannot be reached", vars: withSecret(), before: &reply{err: errNobody},
			auth:   failed("not logged in to Azure", "cannot reach Key Vault at "+vaultURL+": dial tcp: no route to host", "curl "+vaultURL),
			secret: failed(asked, "cannot reach Key Vault", "curl")},
		{name: "a proxy", vars: withSecret(), before: new(withHeader(reply{status: 401}, "WWW-Authenticate", `Basic realm="CANARY"`)),
			auth:   failed("not logged in to Azure", "not as Key Vault does", "proxies"),
			secret: failed(asked, "not as Key Vault does", "proxies")},
		{name: "a token of another service is asked for", vars: withSecret(), before: new(withHeader(reply{status: 401}, "WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/`+tenant+`", resource="https://CANARY.example"`)),
			auth:   failed("not logged in to Azure", "asks for a token of another service than Key Vault", "who answers is not Key Vault"),
			secret: failed(asked, "another service", "not Key Vault")},
		{name: "no login is asked for", vars: withSecret(), before: new(secretOf("x", "")),
			auth:   want{inspect.Warn, "no login was asked for", []string{vaultURL, "Key Vault never does"}, []string{"MLFLOW_AZURE_KEY_VAULT_URL"}},
			secret: passed("read mlflow-auth…")},
	} {
		t.Run(c.name, func(t *testing.T) {
			clientSecret, value, hidden := canary.New(), canary.New(), canary.New()
			setenv(t, c.vars)
			if _, ok := c.vars["AZURE_CLIENT_SECRET"]; ok {
				t.Setenv("AZURE_CLIENT_SECRET", clientSecret)
			}
			staged := func(r *reply) *reply {
				if r == nil {
					return nil
				}
				r = new(*r)
				r.body = strings.ReplaceAll(r.body, "CANARY", hidden)
				if h := r.header.Get("WWW-Authenticate"); h != "" {
					r.header = http.Header{"Www-Authenticate": {strings.ReplaceAll(h, "CANARY", hidden)}}
				}
				return r
			}
			token := "token-" + hidden
			if c.claims != "" {
				token = jwt(strings.ReplaceAll(c.claims, "CANARY", hidden), hidden)
			}
			stage := func() *standin {
				s := newStandin()
				s.put(value)
				s.refuse = staged(c.answer)
				s.login = func(*http.Request, url.Values) reply {
					if c.login != nil {
						return *staged(c.login)
					}
					return reply{status: 200, body: fmt.Sprintf(`{"token_type":"Bearer","expires_in":3599,"access_token":%q}`, token)}
				}
				s.identity = func(url.Values) reply {
					return reply{status: 200, body: fmt.Sprintf(`{"access_token":%q,"expires_on":"4102444800","resource":"https://vault.azure.net","token_type":"Bearer"}`, token)}
				}
				s.before = func(req *http.Request) *reply {
					if req.URL.Host == "my-vault.vault.azure.net" {
						return staged(c.before)
					}
					return nil
				}
				return s
			}
			// Each step alone, and one after the other.
			for _, steps := range [][]string{{"store.auth"}, {"store.secret"}, {"store.auth", "store.secret", "store.auth"}} {
				s := stage()
				p := fromEnv(t, s)
				for _, id := range steps {
					f := look(t.Context(), p, id)
					map[string]want{"store.auth": c.auth, "store.secret": c.secret}[id].check(t, id, f, clientSecret, value, hidden, token)
				}
				if c.auth.status == inspect.Pass && s.count("POST ") > 1 {
					t.Errorf("%q: %d logins", steps, s.count("POST "))
				}
			}
		})
	}
}

// What has become wrong since New, and a store that does not answer.
func TestInspectAfterAChange(t *testing.T) {
	setenv(t, servicePrincipal("AZURE_CLIENT_SECRET", "x"))
	s := newStandin()
	s.login = func(*http.Request, url.Values) reply { return aad(401, "invalid_client", "7000222: expired") }
	p := fromEnv(t, s)
	failed("not logged in to Azure", "AADSTS7000222", "AZURE_CLIENT_SECRET").check(t, "store.auth", look(t.Context(), p, "store.auth"))
	t.Setenv("AZURE_TOKEN_CREDENTIALS", ourSecret)
	for id, summary := range map[string]string{"store.auth": "not logged in to Azure", "store.secret": "cannot read mlflow-auth"} {
		failed(summary, "AZURE_TOKEN_CREDENTIALS names no credential", "prod").check(t, id, look(t.Context(), p, id), ourSecret)
	}
	// The token has run out, and there is no new one.
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "")
	s.put(ourSecret)
	s.login = func(*http.Request, url.Values) reply {
		return reply{status: 200, body: `{"token_type":"Bearer","expires_in":0,"access_token":"x"}`}
	}
	passed("logged in by EnvironmentCredential (tenant "+tenant+"); its token is good for 0 seconds").check(t, "store.auth", look(t.Context(), p, "store.auth"))
	s.login = func(*http.Request, url.Values) reply { return reply{status: 503, body: "{}"} }
	failed("not logged in to Azure", "the login answered 503", "AZURE_AUTHORITY_HOST").check(t, "store.auth", look(t.Context(), p, "store.auth"))

	p = fromEnv(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for id, summary := range map[string]string{"store.auth": "not logged in to Azure", "store.secret": "cannot read mlflow-auth"} {
		failed(summary, "no answer from Azure in time for "+vaultURL, "/healthstatus").check(t, id, look(ctx, p, id))
	}
}

func TestInspectTheSecret(t *testing.T) {
	t.Parallel()
	const at = vaultURL + "/secrets/mlflow-auth"
	ago := func(d time.Duration) string { return fmt.Sprintf(`"created":%d`, time.Now().Add(-d).Unix()) }
	until := func(d time.Duration) string { return fmt.Sprintf(`"exp":%d`, time.Now().Add(d).Unix()) }
	const day, old = 24 * time.Hour, "read mlflow-auth (version 4387e9f3…, …"
	for _, c := range []struct {
		name    string
		answer  reply
		version string
		want    want
		invalid string // in place of a secret
	}{
		{name: "days", answer: secretOf("VALUE", ago(2*day+time.Hour)), want: passed("read mlflow-auth (version 4387e9f3…, 2 days old)")},
		{name: "a day", answer: secretOf("VALUE", ago(day+time.Hour+time.Minute)), want: passed("read mlflow-auth (version 4387e9f3…, 25 hours old)")},
		{name: "hours", answer: secretOf("VALUE", ago(23*time.Hour+time.Minute)), want: passed("read mlflow-auth (version 4387e9f3…, 23 hours old)")},
		{name: "minutes", answer: secretOf("VALUE", ago(5*time.Minute+time.Second)), want: passed("read mlflow-auth (version 4387e9f3…, 5 minutes old)")},
		{name: "in the future", answer: secretOf("VALUE", ago(-time.Hour)), want: passed("read mlflow-auth (version 4387e9f3…, 0 seconds old)")},
		{name: "updated alone", answer: reply{status: 200, body: fmt.Sprintf(`{"value":"VALUE","id":"%s/%s","attributes":{"updated":%d}}`, at, version, time.Now().Add(-3*day-time.Hour).Unix())},
			want: passed("read mlflow-auth (version 4387e9f3…, 3 days old)")},
		{name: "nothing told", answer: reply{status: 200, body: `{"value":"VALUE"}`}, want: passed("read mlflow-auth")},
		{name: "an id of another form", answer: reply{status: 200, body: `{"value":"VALUE","id":"VALUE/VALUE","attributes":{}}`}, want: passed("read mlflow-auth")},
		{name: "a version of another form", answer: reply{status: 200, body: `{"value":"VALUE","id":"` + at + `/VALUE"}`}, want: passed("read mlflow-auth")},
		{name: "expires in time", answer: secretOf("VALUE", until(15*day)), want: passed(old)},
		{name: "expires soon", answer: secretOf("VALUE", until(3*day+time.Hour)),
			want: want{inspect.Warn, old, []string{"it expires at 20", "Z, in 3 days"}, []string{`az keyvault secret set --vault-name my-vault --name mlflow-auth --value '{"token":"…"}' --expires DATE`}}},
		{name: "no credential", answer: secretOf(`{"user":"VALUE"}`, until(day)), want: passed(old), invalid: `"token"`},
		{name: "no value", answer: reply{status: 200, body: `{"id":"x"}`}, want: passed("read mlflow-auth"), invalid: "has no value"},
		{name: "disabled", answer: disabled, want: failed("cannot read mlflow-auth", at+" is disabled", "--enabled true")},
		{name: "disabled by its attributes", answer: reply{status: 200, body: `{"value":"VALUE","attributes":{"enabled":false}}`}, want: failed("mlflow-auth cannot be used", "is disabled", "--enabled true")},
		{name: "expired", answer: secretOf("VALUE", `"exp":1700000000`), want: failed("mlflow-auth cannot be used", "expired at 2023-11-14T22:13:20Z", "az keyvault secret set")},
		{name: "expired, says the vault", answer: problem(403, "Forbidden", "SecretExpired", "VALUE"), want: failed("cannot read mlflow-auth", "has expired", "az keyvault secret set")},
		{name: "not yet valid", answer: secretOf("VALUE", `"nbf":4102444800`), want: failed("mlflow-auth cannot be used", "not valid before 2100-01-01T00:00:00Z", "clock")},
		{name: "a pinned version", version: version, answer: secretOf("VALUE", ago(2*day+time.Hour)), want: passed("read mlflow-auth (version 4387e9f3…, 2 days old)")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, hidden := newStandin(), canary.New()
			answer := c.answer
			answer.body = strings.ReplaceAll(answer.body, "VALUE", hidden)
			s.refuse = &answer // to any version
			p := s.provider(t, func(cfg *azure.Config) { cfg.SecretVersion = c.version })
			f := look(t.Context(), p, "store.secret")
			c.want.check(t, "store.secret", f, hidden)
			secret, err := p.Fetch(t.Context())
			if c.invalid != "" {
				wantError(t, f.Invalid, secretsauth.ErrInvalidSecret, c.invalid, p.Key())
				canary.AbsentFrom(t, "Invalid", f.Invalid, hidden)
			} else if f.Invalid != nil {
				t.Errorf("Invalid: %v", f.Invalid)
			}
			if !f.Secret.Equal(secret) || f.Secret.IsZero() != (err != nil) || f.Invalid != nil && f.Invalid.Error() != err.Error() {
				t.Errorf("another secret than that of Fetch, or another error: %v, %v", f.Invalid, err)
			}
		})
	}
}

func TestInspectGivesTheHintsOfFetch(t *testing.T) {
	t.Parallel()
	s := newStandin()
	s.put(`{"token":"u:p"}`)
	f := look(t.Context(), s.provider(t, func(c *azure.Config) { c.Mode = secretsauth.AuthBasic }), "store.secret")
	wantBasic(t, secretsauth.Static(f.Secret))
}

func TestInspectSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	const at, asked, day = "secret not found at path: " + vaultURL + "/secrets/mlflow-auth", "cannot read mlflow-auth", 24 * time.Hour
	const second, third = "0123456789abcdef0123456789abcdef", "ffffffffffffffffffffffffffffffff"
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d - time.Hour) }
	names := func(s *standin, names ...string) {
		for _, name := range names {
			s.lists["/secrets"] = append(s.lists["/secrets"], item(name, true, ago(day)))
		}
	}
	filled := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("x%dx", i))
		}
		return names
	}
	versions := func(s *standin, items ...string) { s.lists["/secrets/mlflow-auth/versions"] = items }
	noList := map[string]reply{
		"RBAC":          problem(403, "Forbidden", "ForbiddenByRbac", "Caller is not authorized to perform action on resource.\r\nAction: 'Microsoft.KeyVault/vaults/secrets/readMetadata/action'"),
		"access policy": problem(403, "Forbidden", "AccessDenied", "The user, group or application 'appid=x;oid=y' does not have secrets list permission on key vault 'my-vault;location=westeurope'."),
	}
	deny := func(s *standin, r reply) {
		for _, path := range []string{"/secrets", "/secrets/mlflow-auth/versions", "/deletedsecrets/mlflow-auth"} {
			s.secrets[path] = r
		}
	}
	for _, c := range []struct {
		name     string
		version  string
		stage    func(*standin)
		cause    string // all of it, after at
		fix      []string
		requests int // with a token; 0: not counted
	}{
		{name: "a name alike", stage: func(s *standin) { names(s, "other", "mlflow-auht") }, cause: `; there is "mlflow-auht"`,
			fix: []string{"export MLFLOW_AZURE_SECRET_NAME=mlflow-auht"}, requests: 3},
		{name: "a name alike on the second page", stage: func(s *standin) { names(s, append(filled(30), "MLflow-Auth-2")...) }, cause: `; there is "MLflow-Auth-2"`,
			fix: []string{"MLFLOW_AZURE_SECRET_NAME=MLflow-Auth-2"}, requests: 4},
		{name: "a name alike further on", stage: func(s *standin) { names(s, append(filled(50), "mlflow-auht")...) },
			cause: `; there are "x0x", "x1x", "x2x", "x3x", "x4x" and others`, fix: []string{"az keyvault secret list --vault-name my-vault"}, requests: 4},
		{name: "other names", stage: func(s *standin) { names(s, "db", "cache") }, cause: `; there are "db", "cache"`,
			fix: []string{"az keyvault secret list --vault-name my-vault", "MLFLOW_AZURE_SECRET_NAME"}},
		{name: "no secrets", stage: func(*standin) {}, cause: "; there are no secrets in this vault", fix: []string{"az keyvault secret set"}},
		{name: "no listing by RBAC", stage: func(s *standin) { deny(s, noList["RBAC"]) }, fix: []string{"az keyvault secret list"}},
		{name: "no listing by access policy", stage: func(s *standin) { deny(s, noList["access policy"]) }, fix: []string{"az keyvault secret list"}},
		{name: "a list that is none", stage: func(s *standin) { deny(s, reply{status: 200, body: `{"value":"CANARY"}`}) }, fix: []string{"az keyvault secret list"}},
		{name: "a page in place of a list", stage: func(s *standin) { deny(s, reply{status: 200, body: `<html>CANARY`}) }, fix: []string{"az keyvault secret list"}},
		{name: "items that are none", stage: func(s *standin) {
			s.lists["/secrets"] = []string{"null", "{}", `{"id":null}`, `{"id":"CANARY"}`, `{"id":"https://v/secrets/\u001b[2J"}`, `{"id":"https://v/secrets/CANARY_"}`, item("db", true, ago(0))}
		}, cause: `; there are "db"`, fix: []string{"az keyvault secret list"}},
		{name: "the next page is elsewhere", stage: func(s *standin) {
			s.secrets["/secrets"] = reply{status: 200, body: `{"value":[` + item("mlflow-auht", true, ago(0)) + `],"nextLink":"https://evil.vault.azure.net/secrets?x"}`}
		}, cause: `; there is "mlflow-auht"`, fix: []string{"MLFLOW_AZURE_SECRET_NAME=mlflow-auht"}, requests: 3},
		{name: "deleted", stage: func(s *standin) {
			s.secrets["/deletedsecrets/mlflow-auth"] = reply{status: 200, body: fmt.Sprintf(`{"recoveryId":"%s/deletedsecrets/mlflow-auth","deletedDate":1493938433,"scheduledPurgeDate":1501714433,"id":"%[1]s/secrets/mlflow-auth/%s","attributes":{"enabled":true,"created":1493938433,"updated":1493938433,"recoveryLevel":"Recoverable+Purgeable"}}`, vaultURL, version)}
		}, cause: "; it was deleted at 2017-05-04T22:53:53Z", fix: []string{"az keyvault secret recover --vault-name my-vault --name mlflow-auth"}, requests: 2},
		{name: "versions", version: "1a", stage: func(s *standin) {
			versions(s, item("mlflow-auth/"+second, false, ago(9*day)), item("mlflow-auth/"+version, true, ago(2*day)), item("mlflow-auth/"+third, true, ago(30*day)), `{"id":"x"}`)
		}, cause: " (version 1a); there are the versions " + version + " (enabled, 2 days old), " + second + " (disabled, 9 days old), " + third + " (enabled, 30 days old)",
			fix: []string{"MLFLOW_AZURE_SECRET_VERSION", "unset it for the latest"}, requests: 2},
		{name: "many versions", version: "1a", stage: func(s *standin) {
			for i := range 60 {
				s.lists["/secrets/mlflow-auth/versions"] = append(s.lists["/secrets/mlflow-auth/versions"], item(fmt.Sprintf("mlflow-auth/%032x", i), true, ago(time.Duration(99-i)*day)))
			}
		}, cause: fmt.Sprintf(" (version 1a); there are the versions %032x (enabled, 50 days old), %032x (enabled, 51 days old), %032x (enabled, 52 days old), %032x (enabled, 53 days old), %032x (enabled, 54 days old) and others", 49, 48, 47, 46, 45),
			fix: []string{"MLFLOW_AZURE_SECRET_VERSION"}, requests: 3},
		{name: "a version of a name that is not there", version: "1a", stage: func(s *standin) { names(s, "mlflow-auht") }, cause: ` (version 1a); there is "mlflow-auht"`,
			fix: []string{"MLFLOW_AZURE_SECRET_NAME=mlflow-auht"}, requests: 4},
		{name: "no listing of versions", version: "1a", stage: func(s *standin) { deny(s, noList["RBAC"]) }, cause: " (version 1a)",
			fix: []string{"az keyvault secret list-versions --vault-name my-vault --name mlflow-auth"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, hidden := newStandin(), canary.New()
			c.stage(s)
			for path, r := range s.secrets {
				r.body = strings.ReplaceAll(r.body, "CANARY", hidden)
				s.secrets[path] = r
			}
			for _, list := range s.lists {
				for i, text := range list {
					list[i] = strings.ReplaceAll(text, "CANARY", hidden)
				}
			}
			s.before = func(req *http.Request) *reply {
				if v := req.URL.Query().Get("api-version"); strings.Contains(req.URL.Path, "secrets") && v != "7.6" {
					t.Errorf("asked for version %q: %s", v, req.URL)
				}
				return nil
			}
			p := s.provider(t, func(cfg *azure.Config) { cfg.SecretVersion, cfg.MaxAttempts = c.version, 1 })
			f := look(t.Context(), p, "store.secret")
			want{inspect.Fail, asked, nil, c.fix}.check(t, "store.secret", f, hidden)
			if f.Cause != at+c.cause {
				t.Errorf("cause %q, want %q", f.Cause, at+c.cause)
			}
			if c.requests != 0 && s.reads() != c.requests {
				t.Errorf("%d requests, want %d: %q", s.reads(), c.requests, s.requests)
			}
			if s.count("GET evil") != 0 {
				t.Errorf("the token went elsewhere: %q", s.requests)
			}
		})
	}
}

func TestInspectNamesAddressAndTransport(t *testing.T) {
	t.Parallel()
	s := newStandin()
	s.put(ourSecret)
	if store := s.provider(t).Inspect(inspect.Options{}); store.Address != vaultURL || store.Transport != nil || len(store.Steps) != 2 {
		t.Errorf("%+v", store)
	}
	own := &http.Transport{}
	if store := s.provider(t, func(c *azure.Config) { c.HTTPClient = &http.Client{Transport: own} }).Inspect(inspect.Options{}); store.Transport != own {
		t.Error("not the transport of the caller's client")
	}
	for _, client := range []*http.Client{nil, {}} {
		store := s.provider(t, func(c *azure.Config) { c.HTTPClient = client }).Inspect(inspect.Options{})
		if store.Transport == nil || store.Transport == http.DefaultTransport || store.Transport.Proxy == nil {
			t.Error("not the transport of this package")
		}
	}
	// An emulator, on plain http.
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	p := newProvider(t, azure.Config{VaultURL: server.URL, SecretName: "mlflow-auth"})
	if f := look(t.Context(), p, "store.auth"); f.Status != inspect.Pass || p.Inspect(inspect.Options{}).Address != server.URL {
		t.Errorf("%+v", f)
	}
}

// A caller's own error is no cause to panic, and its text is not shown.
func TestInspectAnUnknownFailure(t *testing.T) {
	t.Parallel()
	s := newStandin()
	s.before = func(*http.Request) *reply { return &reply{err: errors.New(ourSecret)} }
	p := s.provider(t, func(c *azure.Config) { c.MaxAttempts = 1 })
	failed("not logged in to Azure", "cannot reach Key Vault at "+vaultURL+": *errors.errorString", "curl").check(t, "store.auth", look(t.Context(), p, "store.auth"), ourSecret)
}
