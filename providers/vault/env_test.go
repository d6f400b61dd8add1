package vault_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

// setenv gives the test an environment of its own and returns what is logged.
func setenv(t *testing.T, vars map[string]string) *bytes.Buffer {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "VAULT_") || strings.HasPrefix(name, "MLFLOW_") {
			t.Setenv(name, "") // restores it; empty counts as unset
		}
	}
	t.Setenv("HOME", t.TempDir())
	for name, value := range vars {
		t.Setenv(name, value)
	}
	var log bytes.Buffer
	canary.DefaultLog(t, &log)
	return &log
}

func minimal(more ...string) map[string]string {
	vars := map[string]string{
		"VAULT_ADDR": "https://vault.company.com", "MLFLOW_VAULT_SECRET_PATH": "secret/mlflow/auth", "VAULT_TOKEN": rootToken,
	}
	for i := 0; i < len(more); i += 2 {
		vars[more[i]] = more[i+1]
	}
	return vars
}

func TestConfigFromEnv(t *testing.T) {
	for _, c := range []struct {
		name string
		vars map[string]string
		want vault.Config
		log  string
	}{
		{name: "least", vars: minimal(), want: vault.Config{Token: rootToken}},
		{name: "spaces", vars: minimal("VAULT_ADDR", " https://vault.company.com\n", "VAULT_TOKEN", " "+rootToken+" ", "MLFLOW_VAULT_SECRET_PATH", " secret/mlflow/auth "),
			want: vault.Config{Token: rootToken}},
		{name: "everything", vars: minimal(
			"VAULT_NAMESPACE", " admin ", "VAULT_ROLE_ID", "r ", "VAULT_SECRET_ID", " s", "MLFLOW_VAULT_K8S_ROLE", "k",
			"MLFLOW_VAULT_K8S_TOKEN_PATH", "/tmp/t ", "MLFLOW_VAULT_AUTH_MOUNT", " m", "MLFLOW_VAULT_SECRET_VERSION", " 3 ",
			"MLFLOW_VAULT_TTL_SEC", "60", "MLFLOW_VAULT_AUTH_MODE", " Bearer", "MLFLOW_SECRETS_MAX_RETRIES", "5",
			"MLFLOW_SECRETS_FIELD_TOKEN", " key ", "MLFLOW_SECRETS_FIELD_USERNAME", "user", "MLFLOW_SECRETS_FIELD_PASSWORD", "pass", "MLFLOW_SECRETS_HEADERS", " X-Gate=gate\t"),
			want: vault.Config{
				Token: rootToken, Namespace: "admin", RoleID: "r", SecretID: "s", KubernetesRole: "k", KubernetesTokenPath: "/tmp/t",
				AuthMount: "m", SecretVersion: 3, TTL: time.Minute, Mode: secretsauth.AuthBearer, MaxAttempts: 5,
				Fields: secretsauth.Fields{Token: "key", Username: "user", Password: "pass", Headers: "X-Gate=gate"},
			}},
		{name: "empty", vars: minimal(
			"VAULT_NAMESPACE", "", "VAULT_ROLE_ID", " ", "VAULT_SECRET_ID", "", "MLFLOW_VAULT_K8S_ROLE", "", "MLFLOW_VAULT_K8S_TOKEN_PATH", "",
			"MLFLOW_VAULT_AUTH_MOUNT", "", "MLFLOW_VAULT_SECRET_VERSION", " ", "MLFLOW_VAULT_TTL_SEC", "", "MLFLOW_VAULT_AUTH_MODE", "",
			"MLFLOW_SECRETS_MAX_RETRIES", "", "MLFLOW_SECRETS_FIELD_TOKEN", "", "MLFLOW_SECRETS_FIELD_USERNAME", " ", "MLFLOW_SECRETS_FIELD_PASSWORD", "",
			"MLFLOW_SECRETS_HEADERS", " "),
			want: vault.Config{Token: rootToken}},
		{name: "approle", vars: minimal("VAULT_TOKEN", "", "VAULT_ROLE_ID", "r", "VAULT_SECRET_ID", "s"), want: vault.Config{RoleID: "r", SecretID: "s"}},
		{name: "kubernetes", vars: minimal("VAULT_TOKEN", "", "MLFLOW_VAULT_K8S_ROLE", "k"), want: vault.Config{KubernetesRole: "k"}},
		{name: "half an approle beside a token", vars: minimal("VAULT_ROLE_ID", "r"), want: vault.Config{Token: rootToken, RoleID: "r"}},
		{name: "attempts: text", vars: minimal("MLFLOW_SECRETS_MAX_RETRIES", "many"), want: vault.Config{Token: rootToken}, log: "MLFLOW_SECRETS_MAX_RETRIES"},
		{name: "attempts: zero", vars: minimal("MLFLOW_SECRETS_MAX_RETRIES", "0"), want: vault.Config{Token: rootToken}, log: "MLFLOW_SECRETS_MAX_RETRIES"},
		{name: "attempts: negative", vars: minimal("MLFLOW_SECRETS_MAX_RETRIES", "-1"), want: vault.Config{Token: rootToken}, log: "MLFLOW_SECRETS_MAX_RETRIES"},
		{name: "attempts: huge", vars: minimal("MLFLOW_SECRETS_MAX_RETRIES", "9999999999"), want: vault.Config{Token: rootToken}, log: "MLFLOW_SECRETS_MAX_RETRIES"},
		{name: "ttl: text", vars: minimal("MLFLOW_VAULT_TTL_SEC", "5m"), want: vault.Config{Token: rootToken}, log: "MLFLOW_VAULT_TTL_SEC"},
		{name: "ttl: negative", vars: minimal("MLFLOW_VAULT_TTL_SEC", "-5"), want: vault.Config{Token: rootToken}, log: "MLFLOW_VAULT_TTL_SEC"},
		{name: "ttl: too long", vars: minimal("MLFLOW_VAULT_TTL_SEC", "90000"), want: vault.Config{Token: rootToken, TTL: 24 * time.Hour}, log: "MLFLOW_VAULT_TTL_SEC"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := setenv(t, c.vars)
			got, err := vault.ConfigFromEnv()
			if err != nil {
				t.Fatal(err)
			}
			c.want.Address, c.want.SecretPath = "https://vault.company.com", "secret/mlflow/auth"
			if got != c.want {
				t.Errorf("got %+q, want %+q", fields(got), fields(c.want))
			}
			if (c.log != "") != strings.Contains(log.String(), "WARN") || !strings.Contains(log.String(), c.log) {
				t.Errorf("log: %s", log)
			}
			newProvider(t, got)
		})
	}
}

// fields shows what Config's own format hides; the values are this test's.
func fields(c vault.Config) []any {
	return []any{c.Address, c.Namespace, c.SecretPath, c.SecretVersion, c.Token, c.RoleID, c.SecretID, c.KubernetesRole,
		c.KubernetesTokenPath, c.AuthMount, c.TTL, c.Mode, c.MaxAttempts, c.Fields}
}

func TestBadEnvironment(t *testing.T) {
	const hidden = "h1dden-value"
	missing := filepath.Join(t.TempDir(), hidden)
	for _, c := range []struct {
		name  string
		vars  map[string]string
		names string // in the error
	}{
		{name: "no address", vars: minimal("VAULT_ADDR", " "), names: "VAULT_ADDR"},
		{name: "address without scheme", vars: minimal("VAULT_ADDR", hidden+".company.com:8200"), names: "VAULT_ADDR"},
		{name: "address of another scheme", vars: minimal("VAULT_ADDR", "unix://"+hidden), names: "VAULT_ADDR"},
		{name: "address with userinfo", vars: minimal("VAULT_ADDR", "https://"+hidden+":p@vault"), names: "VAULT_ADDR"},
		{name: "address with a bad escape", vars: minimal("VAULT_ADDR", "https://user:"+hidden+"%zz@vault"), names: "VAULT_ADDR"},
		{name: "address with a line end", vars: minimal("VAULT_ADDR", "https://vault\n"+hidden), names: "VAULT_ADDR"},
		{name: "address without host", vars: minimal("VAULT_ADDR", "https://:8200"), names: "VAULT_ADDR"},
		{name: "address with query", vars: minimal("VAULT_ADDR", "https://vault?"+hidden), names: "VAULT_ADDR"},
		{name: "address with dots", vars: minimal("VAULT_ADDR", "https://vault/../"+hidden), names: "VAULT_ADDR"},
		{name: "no path", vars: minimal("MLFLOW_VAULT_SECRET_PATH", ""), names: "MLFLOW_VAULT_SECRET_PATH"},
		{name: "path of one segment", vars: minimal("MLFLOW_VAULT_SECRET_PATH", "/"+hidden+"/"), names: "MLFLOW_VAULT_SECRET_PATH"},
		{name: "path with dots", vars: minimal("MLFLOW_VAULT_SECRET_PATH", "secret/../"+hidden), names: "MLFLOW_VAULT_SECRET_PATH"},
		{name: "path with an empty segment", vars: minimal("MLFLOW_VAULT_SECRET_PATH", "secret//"+hidden), names: "MLFLOW_VAULT_SECRET_PATH"},
		{name: "path with a line end", vars: minimal("MLFLOW_VAULT_SECRET_PATH", "secret/\n"+hidden), names: "MLFLOW_VAULT_SECRET_PATH"},
		{name: "path with a query", vars: minimal("MLFLOW_VAULT_SECRET_PATH", "secret/x?version="+hidden), names: "MLFLOW_VAULT_SECRET_VERSION"},
		{name: "path that is a URL", vars: minimal("MLFLOW_VAULT_SECRET_PATH", "https://vault/v1/"+hidden), names: "VAULT_ADDR"},
		{name: "version: text", vars: minimal("MLFLOW_VAULT_SECRET_VERSION", hidden), names: "MLFLOW_VAULT_SECRET_VERSION"},
		{name: "version: zero", vars: minimal("MLFLOW_VAULT_SECRET_VERSION", "0"), names: "MLFLOW_VAULT_SECRET_VERSION"},
		{name: "version: negative", vars: minimal("MLFLOW_VAULT_SECRET_VERSION", "-1"), names: "MLFLOW_VAULT_SECRET_VERSION"},
		{name: "mode", vars: minimal("MLFLOW_VAULT_AUTH_MODE", hidden), names: "MLFLOW_VAULT_AUTH_MODE"},
		{name: "namespace", vars: minimal("VAULT_NAMESPACE", "a\n"+hidden), names: "VAULT_NAMESPACE"},
		{name: "auth mount", vars: minimal("MLFLOW_VAULT_AUTH_MOUNT", "../"+hidden), names: "MLFLOW_VAULT_AUTH_MOUNT"},
		{name: "token with a space", vars: minimal("VAULT_TOKEN", hidden+" x"), names: "VAULT_TOKEN"},
		{name: "token with a line end", vars: minimal("VAULT_TOKEN", hidden+"\nx"), names: "VAULT_TOKEN"},
		{name: "token beyond ASCII", vars: minimal("VAULT_TOKEN", hidden+"\u200b"), names: "VAULT_TOKEN"},
		{name: "no login", vars: minimal("VAULT_TOKEN", ""), names: "VAULT_TOKEN"},
		{name: "no role id", vars: minimal("VAULT_TOKEN", "", "VAULT_SECRET_ID", hidden), names: "VAULT_ROLE_ID (Config.RoleID) is not set"},
		{name: "no secret id", vars: minimal("VAULT_TOKEN", "", "VAULT_ROLE_ID", hidden), names: "VAULT_SECRET_ID (Config.SecretID) is not set"},
		{name: "half an approle beside kubernetes", vars: minimal("VAULT_TOKEN", "", "VAULT_ROLE_ID", hidden, "MLFLOW_VAULT_K8S_ROLE", "k"), names: "VAULT_SECRET_ID"},
		{name: "secret id with a line end", vars: minimal("VAULT_TOKEN", "", "VAULT_ROLE_ID", "r", "VAULT_SECRET_ID", hidden+"\nx"), names: "VAULT_SECRET_ID"},
		{name: "kubernetes role", vars: minimal("VAULT_TOKEN", "", "MLFLOW_VAULT_K8S_ROLE", hidden+"\nx"), names: "MLFLOW_VAULT_K8S_ROLE"},
		{name: "skip verify", vars: minimal("VAULT_SKIP_VERIFY", hidden), names: "VAULT_SKIP_VERIFY"},
		{name: "skip verify with spaces", vars: minimal("VAULT_SKIP_VERIFY", " true "), names: "VAULT_SKIP_VERIFY"},
		{name: "authority", vars: minimal("VAULT_CACERT", missing), names: "VAULT_CACERT"},
		{name: "authority, bytes", vars: minimal("VAULT_CACERT_BYTES", hidden), names: "VAULT_CACERT_BYTES"},
		{name: "authorities", vars: minimal("VAULT_CAPATH", missing), names: "VAULT_CAPATH"},
		{name: "certificate", vars: minimal("VAULT_CLIENT_CERT", missing), names: "VAULT_CLIENT_CERT"},
		{name: "key", vars: minimal("VAULT_CLIENT_KEY", missing), names: "VAULT_CLIENT_KEY"},
		{name: "proxy", vars: minimal("VAULT_PROXY_ADDR", "http://user:"+hidden+"%zz@proxy"), names: "VAULT_PROXY_ADDR"},
		{name: "retries", vars: minimal("VAULT_MAX_RETRIES", hidden), names: "VAULT_MAX_RETRIES"},
		{name: "timeout", vars: minimal("VAULT_CLIENT_TIMEOUT", hidden), names: "VAULT_CLIENT_TIMEOUT"},
		{name: "timeout: negative", vars: minimal("VAULT_CLIENT_TIMEOUT", "-5s"), names: "VAULT_CLIENT_TIMEOUT"},
		{name: "headers", vars: minimal("VAULT_HEADERS", hidden), names: "VAULT_HEADERS"},
		{name: "headers from fields", vars: minimal("MLFLOW_SECRETS_HEADERS", hidden), names: "MLFLOW_SECRETS_HEADERS (Config.Fields.Headers)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, c.vars)
			_, err := vault.ConfigFromEnv()
			e := wantFailure(t, err, secretsauth.ErrConfig, "")
			if !strings.Contains(e.Error(), c.names) {
				t.Errorf("error %q does not name %s", e.Error(), c.names)
			}
			for inner := error(e); inner != nil; inner = errors.Unwrap(inner) {
				if strings.Contains(inner.Error(), hidden) {
					t.Errorf("error quotes the value: %v", inner)
				}
			}
		})
	}
}

// What Vault's own client would take from the environment behind Config's back.
func TestNewReadsNoCredentialFromTheEnvironment(t *testing.T) {
	s, want := newStandin()
	setenv(t, map[string]string{
		"VAULT_TOKEN": "s.of-the-environment", "VAULT_NAMESPACE": "of-the-environment", "VAULT_ADDR": "https://elsewhere.example.com",
		"VAULT_AGENT_ADDR": "https://agent.example.com", "VAULT_WRAP_TTL": "60s", "VAULT_MAX_RETRIES": "9", "VAULT_SRV_LOOKUP": "true",
		"VAULT_DISABLE_REDIRECTS": "false", "VAULT_HEADERS": `{"X-Gateway":"mlflow"}`,
	})
	if fetchToken(t, newProvider(t, s.withAppRole(s.config("secret/mlflow/auth"), 60, "*"))) != want {
		t.Error("wrong secret")
	}
	for i, h := range s.headers {
		if h.Get("X-Vault-Token") == "s.of-the-environment" || h.Get("X-Vault-Namespace") != "" || h.Get("X-Vault-Wrap-TTL") != "" {
			t.Errorf("%s carries what the environment says: %q", s.requests[i], h)
		}
		if h.Get("X-Gateway") != "mlflow" || h.Get("X-Vault-Request") != "true" {
			t.Errorf("%s: headers %q", s.requests[i], h)
		}
	}
	for _, host := range s.hosts {
		if host != "vault.company.com" {
			t.Errorf("a request went to %q", host)
		}
	}
	if h := s.headers[0]; h.Get("X-Vault-Token") != "" {
		t.Error("the login carries a token")
	}
}

func TestTLSFromTheEnvironment(t *testing.T) {
	s, want := newStandin()
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, vars := range map[string][]string{
		"VAULT_CACERT":       {"VAULT_CACERT", file},
		"VAULT_CACERT_BYTES": {"VAULT_CACERT_BYTES", string(authority)},
		"VAULT_CAPATH":       {"VAULT_CAPATH", filepath.Dir(file)},
		"VAULT_SKIP_VERIFY":  {"VAULT_SKIP_VERIFY", "true"},
		"server name":        {"VAULT_CACERT", file, "VAULT_TLS_SERVER_NAME", "example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, minimal(append(vars, "VAULT_ADDR", server.URL, "VAULT_TOKEN", rootToken)...))
			cfg, err := vault.ConfigFromEnv()
			if err != nil {
				t.Fatal(err)
			}
			if fetchToken(t, newProvider(t, cfg)) != want {
				t.Error("wrong secret")
			}
		})
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	const hidden = "h1dden-value"
	for _, c := range []struct {
		name string
		vars map[string]string
		want []string // how each begins
	}{
		{"nothing is set", nil, []string{"VAULT_ADDR (Config.Address) is not set", "MLFLOW_VAULT_SECRET_PATH (Config.SecretPath) is not set", "VAULT_TOKEN (Config.Token) is not set"}},
		{"all is wrong", map[string]string{
			"VAULT_ADDR": hidden, "MLFLOW_VAULT_SECRET_PATH": hidden, "VAULT_NAMESPACE": "a " + hidden, "VAULT_SECRET_ID": hidden + "\nx",
			"MLFLOW_VAULT_AUTH_MOUNT": "../" + hidden, "MLFLOW_VAULT_AUTH_MODE": hidden, "MLFLOW_VAULT_SECRET_VERSION": hidden,
			"VAULT_SKIP_VERIFY": hidden, "VAULT_CLIENT_TIMEOUT": hidden, "VAULT_HEADERS": hidden,
		}, []string{
			"VAULT_ADDR", "MLFLOW_VAULT_SECRET_PATH", "VAULT_NAMESPACE", "MLFLOW_VAULT_AUTH_MOUNT", "VAULT_ROLE_ID", "VAULT_SECRET_ID",
			"MLFLOW_VAULT_AUTH_MODE", "VAULT_SKIP_VERIFY", "VAULT_CLIENT_TIMEOUT", "VAULT_HEADERS", "MLFLOW_VAULT_SECRET_VERSION",
		}},
		{"one is wrong", minimal("VAULT_RATE_LIMIT", hidden), []string{"VAULT_RATE_LIMIT cannot be used"}},
		{"one of two", minimal("VAULT_CACERT_BYTES", hidden, "VAULT_CLIENT_TIMEOUT", "1d"), []string{"VAULT_CACERT_BYTES or VAULT_CLIENT_TIMEOUT cannot be used"}},
		{"times", minimal("VAULT_CLIENT_TIMEOUT", "1d"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, c.vars)
			_, err := vault.ConfigFromEnv()
			wantEach(t, err, c.want)
			if err != nil && (strings.Contains(err.Error(), hidden) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("error quotes a value, or is not one line: %v", err)
			}
		})
	}
}

func TestNewReportsEveryProblem(t *testing.T) {
	setenv(t, map[string]string{"VAULT_SKIP_VERIFY": "maybe"})
	_, err := vault.New(vault.Config{SecretPath: "x", SecretVersion: -1, TTL: -1, Mode: "digest", AuthMount: "..", RoleID: "\x00", SecretID: "\x00"})
	wantEach(t, err, []string{
		"VAULT_ADDR (Config.Address)", "MLFLOW_VAULT_SECRET_PATH (Config.SecretPath)", "MLFLOW_VAULT_SECRET_VERSION (Config.SecretVersion)",
		"MLFLOW_VAULT_AUTH_MOUNT (Config.AuthMount)", "VAULT_ROLE_ID (Config.RoleID)", "VAULT_SECRET_ID (Config.SecretID)",
		"MLFLOW_VAULT_AUTH_MODE (Config.Mode)", "MLFLOW_VAULT_TTL_SEC (Config.TTL)", "VAULT_SKIP_VERIFY",
	})
}

// wantEach checks that err is those whose summaries begin as want says.
func wantEach(t *testing.T, err error, want []string) {
	t.Helper()
	each := env.Each(err)
	if len(each) != len(want) {
		t.Fatalf("%d problems, want %d: %v", len(each), len(want), err)
	}
	for i, one := range each {
		if e := wantFailure(t, one, secretsauth.ErrConfig, ""); !strings.HasPrefix(e.Summary, want[i]) {
			t.Errorf("problem %d is %q, want %q", i, e.Summary, want[i])
		}
	}
}
