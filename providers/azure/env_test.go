package azure_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

// setenv gives the test an environment of its own, without an identity and without
// programs, and returns what is logged.
func setenv(t *testing.T, vars map[string]string) *bytes.Buffer {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); azureVariable(name) {
			t.Setenv(name, "") // restores it
			_ = os.Unsetenv(name)
		}
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	for name, value := range vars {
		t.Setenv(name, value)
	}
	var log bytes.Buffer
	canary.DefaultLog(t, &log)
	return &log
}

func with(vars map[string]string, more ...string) map[string]string {
	for i := 0; i < len(more); i += 2 {
		vars[more[i]] = more[i+1]
	}
	return vars
}

func minimal(more ...string) map[string]string {
	return with(map[string]string{"MLFLOW_AZURE_KEY_VAULT_URL": vaultURL, "MLFLOW_AZURE_SECRET_NAME": "mlflow-auth"}, more...)
}

func servicePrincipal(more ...string) map[string]string {
	return with(minimal("AZURE_TENANT_ID", tenant, "AZURE_CLIENT_ID", "app"), more...)
}

func TestConfigFromEnv(t *testing.T) {
	for _, c := range []struct {
		name string
		vars map[string]string
		want azure.Config
		log  string
	}{
		{name: "least", vars: minimal()},
		{name: "alias", vars: minimal("MLFLOW_AZURE_KEY_VAULT_URL", " ", "AZURE_KEY_VAULT_URL", vaultURL)},
		{name: "the first name wins", vars: minimal("AZURE_KEY_VAULT_URL", "https://other.vault.azure.net")},
		{name: "spaces", vars: minimal("MLFLOW_AZURE_KEY_VAULT_URL", " "+vaultURL+"\n", "MLFLOW_AZURE_SECRET_NAME", "\tmlflow-auth ")},
		{name: "everything", vars: minimal(
			"MLFLOW_AZURE_SECRET_VERSION", " 0a1b ", "AZURE_AUTHORITY_HOST", " https://login.microsoftonline.us/ ", "MLFLOW_AZURE_TTL_SEC", " 60",
			"MLFLOW_AZURE_AUTH_MODE", " Basic", "MLFLOW_SECRETS_MAX_RETRIES", "5 ", "AZURE_TOKEN_CREDENTIALS", " prod ",
			"MLFLOW_SECRETS_FIELD_TOKEN", " key ", "MLFLOW_SECRETS_FIELD_USERNAME", "user", "MLFLOW_SECRETS_FIELD_PASSWORD", "pass", "MLFLOW_SECRETS_HEADERS", " X-Gate=gate\t"),
			want: azure.Config{SecretVersion: "0a1b", AuthorityHost: "https://login.microsoftonline.us/", TTL: time.Minute, Mode: secretsauth.AuthBasic, MaxAttempts: 5,
				Fields: secretsauth.Fields{Token: "key", Username: "user", Password: "pass", Headers: "X-Gate=gate"}}},
		{name: "empty", vars: minimal(
			"MLFLOW_AZURE_SECRET_VERSION", "", "AZURE_AUTHORITY_HOST", " ", "MLFLOW_AZURE_TTL_SEC", "", "MLFLOW_AZURE_AUTH_MODE", " ",
			"MLFLOW_SECRETS_MAX_RETRIES", "", "AZURE_TOKEN_CREDENTIALS", "", "AZURE_CLIENT_ID", "", "AZURE_TENANT_ID", " ",
			"MLFLOW_SECRETS_FIELD_TOKEN", "", "MLFLOW_SECRETS_FIELD_USERNAME", " ", "MLFLOW_SECRETS_FIELD_PASSWORD", "", "MLFLOW_SECRETS_HEADERS", " ")},
		{name: "attempts: text", vars: minimal("MLFLOW_SECRETS_MAX_RETRIES", "many"), log: "MLFLOW_SECRETS_MAX_RETRIES"},
		{name: "attempts: zero", vars: minimal("MLFLOW_SECRETS_MAX_RETRIES", "0"), log: "MLFLOW_SECRETS_MAX_RETRIES"},
		{name: "ttl: text", vars: minimal("MLFLOW_AZURE_TTL_SEC", "5m"), log: "MLFLOW_AZURE_TTL_SEC"},
		{name: "ttl: negative", vars: minimal("MLFLOW_AZURE_TTL_SEC", "-5"), log: "MLFLOW_AZURE_TTL_SEC"},
		{name: "ttl: too long", vars: minimal("MLFLOW_AZURE_TTL_SEC", "90000"), want: azure.Config{TTL: 24 * time.Hour}, log: "MLFLOW_AZURE_TTL_SEC"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := setenv(t, c.vars)
			got, err := azure.ConfigFromEnv()
			if err != nil {
				t.Fatal(err)
			}
			c.want.VaultURL, c.want.SecretName = vaultURL, "mlflow-auth"
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

// fields shows what Config's own format hides.
func fields(c azure.Config) []any {
	return []any{c.VaultURL, c.SecretName, c.SecretVersion, c.AuthorityHost, c.TTL, c.Mode, c.MaxAttempts, c.Fields}
}

func TestBadEnvironment(t *testing.T) {
	hidden := canary.New()
	vault := func(url string) map[string]string { return minimal("MLFLOW_AZURE_KEY_VAULT_URL", url) }
	secret := func(name string) map[string]string { return minimal("MLFLOW_AZURE_SECRET_NAME", name) }
	const URL, NAME = "MLFLOW_AZURE_KEY_VAULT_URL", "MLFLOW_AZURE_SECRET_NAME"
	for _, c := range []struct {
		name string
		vars map[string]string
		says string
	}{
		{"no vault", vault(" "), URL + " (Config.VaultURL) is not set"},
		{"a vault's bare name", vault(hidden), "bare name"},
		{"a vault without scheme", vault(hidden + ".vault.azure.net"), "has no scheme"},
		{"a vault of another scheme", vault("ftp://" + hidden + ".vault.azure.net"), "https://NAME.vault.azure.net"},
		{"plain http", vault("http://" + hidden + ".vault.azure.net"), "in the clear"},
		{"userinfo", vault("https://" + hidden + ":p@v.vault.azure.net"), "username or password"},
		{"a bad escape", vault("https://user:" + hidden + "%zz@v"), URL},
		{"a line end", vault("https://v\n" + hidden), URL},
		{"no host", vault("https://"), URL},
		{"a query", vault(vaultURL + "?" + hidden), "query"},
		{"a fragment", vault(vaultURL + "#" + hidden), "fragment"},
		{"a secret's identifier", vault(vaultURL + "/secrets/" + hidden), NAME},
		{"a path", vault(vaultURL + "/" + hidden), "has a path"},
		{"a port", vault(vaultURL + ":8443"), "port"},
		{"a managed HSM", vault("https://" + hidden + ".managedhsm.azure.net"), "managed HSM"},
		{"the inner name of a private endpoint", vault("https://" + hidden + ".privatelink.vaultcore.azure.net"), "private endpoint"},
		{"a host elsewhere", vault("https://" + hidden + ".example.com"), "vault.azure.net, vault.azure.cn or vault.usgovcloudapi.net"},
		{"a host that ends alike", vault("https://" + hidden + "vault.azure.net"), "no address of Key Vault"},
		{"a host that goes on", vault("https://v.vault.azure.net.example.com"), "no address of Key Vault"},
		{"a host elsewhere and the authority of a cloud", minimal(URL, "https://v.example.com", "AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"), "no address of Key Vault"},
		{"no vault in front of the suffix", vault("https://vault.azure.net"), URL},
		{"two labels in front of the suffix", vault("https://a." + hidden + ".vault.azure.net"), URL},
		{"an address", vault("https://10.0.0.1"), "no address of Key Vault"},
		{"a host beyond ASCII", vault("https://vä.vault.azure.net"), URL},
		{"no secret", secret(""), NAME + " (Config.SecretName) is not set"},
		{"an identifier for a name", secret(vaultURL + "/secrets/" + hidden + "/1"), "split"},
		{"a name with a version", secret("mlflow-auth/" + hidden), "MLFLOW_AZURE_SECRET_VERSION"},
		{"a name with an underscore", secret(hidden + "_x"), "1 to 127"},
		{"a name with dots", secret(".."), "1 to 127"},
		{"a long name", secret(strings.Repeat("x", 128)), "1 to 127"},
		{"version", minimal("MLFLOW_AZURE_SECRET_VERSION", hidden+"/.."), "MLFLOW_AZURE_SECRET_VERSION"},
		{"mode", minimal("MLFLOW_AZURE_AUTH_MODE", hidden), "MLFLOW_AZURE_AUTH_MODE"},
		{"authority without TLS", minimal("AZURE_AUTHORITY_HOST", "http://"+hidden), "AZURE_AUTHORITY_HOST"},
		{"authority with userinfo", minimal("AZURE_AUTHORITY_HOST", "https://"+hidden+"@login"), "AZURE_AUTHORITY_HOST"},
		{"authority with a tenant", minimal("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"+hidden), "AZURE_AUTHORITY_HOST"},
		{"credentials", minimal("AZURE_TOKEN_CREDENTIALS", hidden), "AZURE_TOKEN_CREDENTIALS"},
		{"headers from fields", minimal("MLFLOW_SECRETS_HEADERS", hidden), "MLFLOW_SECRETS_HEADERS (Config.Fields.Headers)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, c.vars)
			cfg, err := azure.ConfigFromEnv()
			e := wantFailure(t, err, secretsauth.ErrConfig, c.says)
			if fields(cfg)[0] != "" || cfg.HTTPClient != nil {
				t.Error("there is a Config beside the error")
			}
			if each := env.Each(err); len(each) != 1 || !azureVariable(e.Summary) {
				t.Errorf("want one error that begins with a variable: %v", each)
			}
			for inner := error(e); inner != nil; inner = errors.Unwrap(inner) {
				if strings.Contains(inner.Error(), hidden) {
					t.Errorf("error quotes the value: %v", inner)
				}
			}
		})
	}
}

func TestProblemsComeAllAtOnce(t *testing.T) {
	hidden := canary.New()
	const URL, NAME, VERSION = "MLFLOW_AZURE_KEY_VAULT_URL (Config.VaultURL) ", "MLFLOW_AZURE_SECRET_NAME (Config.SecretName) ", "MLFLOW_AZURE_SECRET_VERSION (Config.SecretVersion) "
	const MODE, TTL, AUTHORITY = "MLFLOW_AZURE_AUTH_MODE (Config.Mode) ", "MLFLOW_AZURE_TTL_SEC (Config.TTL) ", "AZURE_AUTHORITY_HOST (Config.AuthorityHost) "
	for _, c := range []struct {
		name string
		vars map[string]string
		cfg  *azure.Config // nil: that of the environment
		want []string
	}{
		{"nothing set", nil, nil, []string{URL + "is not set", NAME + "is not set"}},
		{"everything wrong", minimal("MLFLOW_AZURE_KEY_VAULT_URL", "ftp://"+hidden, "MLFLOW_AZURE_SECRET_NAME", hidden+"_", "MLFLOW_AZURE_SECRET_VERSION", hidden+"/..",
			"AZURE_AUTHORITY_HOST", "http://"+hidden, "MLFLOW_AZURE_AUTH_MODE", hidden, "AZURE_TOKEN_CREDENTIALS", hidden), nil,
			[]string{URL, NAME, VERSION + "is not a version", AUTHORITY, MODE + "is not an auth mode", "AZURE_TOKEN_CREDENTIALS names no credential"}},
		{"an authority that is wrong says nothing of the vault", minimal("MLFLOW_AZURE_KEY_VAULT_URL", "https://"+hidden+".example.com", "AZURE_AUTHORITY_HOST", "http://"+hidden), nil, []string{AUTHORITY}},
		{"the zero Config", minimal(), &azure.Config{}, []string{URL + "is not set", NAME + "is not set"}},
		{"a Config", minimal("AZURE_TOKEN_CREDENTIALS", hidden), &azure.Config{VaultURL: vaultURL + "/" + hidden, SecretName: "mlflow-auth", Mode: secretsauth.AuthMode(hidden), TTL: -time.Second},
			[]string{URL + "has a path", MODE, TTL + "is negative", "AZURE_TOKEN_CREDENTIALS "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, c.vars)
			_, err := azure.ConfigFromEnv()
			if c.cfg != nil {
				_, err = azure.New(*c.cfg)
			}
			each := env.Each(err)
			if len(each) != len(c.want) || strings.Contains(fmt.Sprint(err), hidden) {
				t.Fatalf("error %v, want %d problems", err, len(c.want))
			}
			for i, one := range each {
				if e := wantFailure(t, one, secretsauth.ErrConfig); !strings.HasPrefix(e.Summary, c.want[i]) || !strings.Contains(err.Error(), one.Error()) {
					t.Errorf("problem %q, want %q", e.Summary, c.want[i])
				}
			}
		})
	}
}

// What a program sets itself is checked too, and what New reads.
func TestNewReadsTheEnvironmentOfTheLogin(t *testing.T) {
	setenv(t, minimal())
	s := newStandin()
	s.put(ourSecret)
	p := s.provider(t)
	_, err := p.Fetch(t.Context())
	wantError(t, err, secretsauth.ErrConfig, "no credential is available")
	t.Setenv("AZURE_TOKEN_CREDENTIALS", ourSecret)
	for range 2 {
		_, err = p.Fetch(t.Context())
		if e := wantFailure(t, err, secretsauth.ErrConfig, "AZURE_TOKEN_CREDENTIALS names no credential"); e.Key != p.Key() || strings.Contains(e.Error(), ourSecret) {
			t.Errorf("%v", e)
		}
	}
	_, err = azure.New(s.config())
	wantError(t, err, secretsauth.ErrConfig, "AZURE_TOKEN_CREDENTIALS names no credential")
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "dev")
	_, err = p.Fetch(t.Context())
	if e := wantFailure(t, err, secretsauth.ErrConfig, "AzureCLICredential: az is not installed"); strings.Contains(e.Error(), "EnvironmentCredential") {
		t.Errorf("%v", e)
	}
	t.Setenv("AZURE_AUTHORITY_HOST", "ftp://x")
	_, err = azure.New(s.config())
	wantError(t, err, secretsauth.ErrConfig, "AZURE_AUTHORITY_HOST")
}

func TestVaultURLs(t *testing.T) {
	for _, c := range []struct{ url, authority, key string }{
		{"https://My-Vault.Vault.Azure.Net/", "", "https://my-vault.vault.azure.net"},
		{"https://my-vault.vault.azure.net:443", "", "https://my-vault.vault.azure.net"},
		{"https://my-vault.vault.azure.net.", "", "https://my-vault.vault.azure.net"},
		{"https://my-vault.vault.azure.cn", "", "https://my-vault.vault.azure.cn"},
		{"https://my-vault.vault.usgovcloudapi.net", "", "https://my-vault.vault.usgovcloudapi.net"},
		{"https://localhost:8443/", "", "https://localhost:8443"},
		{"http://127.0.0.1:8080", "", "http://127.0.0.1:8080"},
		{"https://v.vault.local.azurestack.external", "https://login.local.azurestack.external", "https://v.vault.local.azurestack.external"},
	} {
		setenv(t, minimal("MLFLOW_AZURE_KEY_VAULT_URL", c.url, "AZURE_AUTHORITY_HOST", c.authority))
		cfg, err := azure.ConfigFromEnv()
		if err != nil {
			t.Fatal(err)
		}
		if got := newProvider(t, cfg).Key(); got != "azure-key-vault:"+c.key+":mlflow-auth" {
			t.Errorf("key of %s is %q", c.url, got)
		}
	}
}

func writeFile(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return file
}
