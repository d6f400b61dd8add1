package providers_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// setenv makes pairs of "NAME=value" the only variables that matter here.
func setenv(t *testing.T, pairs ...string) {
	t.Helper()
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "VAULT_") || strings.HasPrefix(name, "MLFLOW_") || strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "AZURE_") {
			t.Setenv(name, "") // restored at the end
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
}

// captureLog returns what slog.Default gets until the end of the test.
func captureLog(t *testing.T) *bytes.Buffer {
	t.Helper()
	var lines bytes.Buffer
	canary.DefaultLog(t, &lines)
	return &lines
}

const (
	list     = "MLFLOW_SECRETS_AUTH_ENABLE="
	onVault  = "MLFLOW_SECRETS_AUTH_ENABLE_VAULT="
	onAWS    = "MLFLOW_SECRETS_AUTH_ENABLE_AWS_SECRETS_MANAGER="
	onAzure  = "MLFLOW_SECRETS_AUTH_ENABLE_AZURE_KEY_VAULT="
	address  = "VAULT_ADDR=https://vault.company.com"
	path     = "MLFLOW_VAULT_SECRET_PATH=secret/mlflow/auth"
	token    = "VAULT_TOKEN=s.not-to-be-shown"
	vaultKey = "vault:https://vault.company.com:secret/mlflow/auth"
)

func TestFromEnvUsesVault(t *testing.T) {
	tests := map[string]struct {
		env  []string
		warn string // empty: nothing is logged
	}{
		"list":                     {env: []string{list + "vault"}},
		"spaces, case, repetition": {env: []string{list + " , Vault ,VAULT,"}},
		"switch":                   {env: []string{onVault + "true"}},
		"switch, spaces":           {env: []string{onVault + " On "}},
		"empty switch is unset":    {env: []string{list + "vault", onVault + ""}},
		"AWS listed, switched off": {env: []string{list + "aws-secrets-manager,vault", onAWS + "no"}},
		"Azure as well":            {env: []string{list + "azure-key-vault,vault"}, warn: "azure-key-vault: MLFLOW_AZURE_KEY_VAULT_URL"},
		"AWS as well, by switches": {env: []string{onVault + "1", onAWS + "yes"}, warn: "aws-secrets-manager: MLFLOW_AWS_SECRET_NAME"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			lines := captureLog(t)
			setenv(t, append(test.env, address, path, token)...)
			p, err := providers.FromEnv(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if p.Name() != "vault" {
				t.Errorf("name %q", p.Name())
			}
			if key := p.(interface{ Key() string }).Key(); key != vaultKey {
				t.Errorf("key %q, want %q", key, vaultKey)
			}
			switch {
			case test.warn == "" && lines.Len() > 0:
				t.Errorf("logged %s", lines)
			case !strings.Contains(lines.String(), test.warn):
				t.Errorf("logged %q, want %q", lines, test.warn)
			}
		})
	}
}

func TestFromEnvErrors(t *testing.T) {
	choices := "vault, aws-secrets-manager, azure-key-vault"
	tests := map[string]struct {
		env  []string
		want []string
	}{
		"nothing":          {nil, []string{"no provider is enabled", "export MLFLOW_SECRETS_AUTH_ENABLE=vault"}},
		"empty list":       {[]string{list + " , "}, []string{"no provider is enabled"}},
		"switched off":     {[]string{list + "vault", onVault + "false"}, []string{"no provider is enabled"}},
		"bad switch":       {[]string{list + "vault", onAzure + "maybe"}, []string{"MLFLOW_SECRETS_AUTH_ENABLE_AZURE_KEY_VAULT is neither true nor false"}},
		"unknown":          {[]string{list + "vault,kubernetes"}, []string{`"kubernetes"`, "use one or more of " + choices}},
		"slip":             {[]string{list + "vualt"}, []string{`"vualt"`, "did you mean vault?", choices}},
		"underscores":      {[]string{list + "aws_secrets_manager"}, []string{"did you mean aws-secrets-manager?"}},
		"part":             {[]string{list + "azure"}, []string{"did you mean azure-key-vault?"}},
		"short part":       {[]string{list + "AWS"}, []string{"did you mean aws-secrets-manager?"}},
		"part of two":      {[]string{list + "key-vault"}, []string{"did you mean azure-key-vault?"}},
		"more than enough": {[]string{list + "hashicorp-vault"}, []string{"did you mean vault?"}},
		"no letters":       {[]string{list + "1"}, []string{`"1"`, "use one or more of"}},
		"AWS":              {[]string{list + "aws-secrets-manager"}, []string{"aws-secrets-manager: MLFLOW_AWS_SECRET_NAME", "; fix: "}},
		"Azure":            {[]string{onAzure + "1"}, []string{"azure-key-vault: MLFLOW_AZURE_KEY_VAULT_URL"}},
		"two, none usable": {[]string{list + "vault,azure-key-vault"}, []string{"VAULT_ADDR", "; and azure-key-vault: MLFLOW_AZURE_KEY_VAULT_URL"}},
		"no address":       {[]string{list + "vault", path, token}, []string{"vault", "VAULT_ADDR"}},
		"no path":          {[]string{list + "vault", address, token}, []string{"vault", "MLFLOW_VAULT_SECRET_PATH"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			setenv(t, test.env...)
			p, err := providers.FromEnv(t.Context())
			if p != nil || !errors.Is(err, secretsauth.ErrConfig) {
				t.Fatalf("got %v, %v, want ErrConfig", p, err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "not-to-be-shown") {
				t.Errorf("%q", err)
			}
		})
	}
}

func TestTransportFromEnvErrors(t *testing.T) {
	tests := map[string]struct {
		env  []string
		want string
	}{
		"no provider":    {nil, "no provider is enabled"},
		"empty hosts":    {[]string{list + "vault", address, path, token, "MLFLOW_SECRETS_ALLOWED_HOSTS="}, "MLFLOW_SECRETS_ALLOWED_HOSTS"},
		"bad host":       {[]string{list + "vault", address, path, token, "MLFLOW_SECRETS_ALLOWED_HOSTS=a b"}, "a b"},
		"bad TLS switch": {[]string{list + "vault", address, path, token, "MLFLOW_SECRETS_REQUIRE_TLS=tls"}, "MLFLOW_SECRETS_REQUIRE_TLS"},
		"bad header":     {[]string{list + "vault", address, path, token, "MLFLOW_AUTH_HEADER_NAME=Host"}, "Host"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			setenv(t, test.env...)
			rt, err := providers.TransportFromEnv(t.Context(), nil)
			if rt != nil || !errors.Is(err, secretsauth.ErrConfig) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v, want ErrConfig and %q", rt, err, test.want)
			}
		})
	}
}

// base counts the requests that pass through it.
type base struct{ requests int }

func (b *base) RoundTrip(req *http.Request) (*http.Response, error) {
	b.requests++
	return http.DefaultTransport.RoundTrip(req)
}

func TestTransportFromEnv(t *testing.T) {
	lines := captureLog(t)
	store, err := devstack.StartVault("s.not-to-be-shown")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	server, err := devstack.StartMLflow("admin", "first-password")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	store.Write("mlflow/auth", map[string]string{"username": "admin", "password": "first-password"})

	setenv(t, list+"vault", "VAULT_ADDR="+store.URL(), path, token, "MLFLOW_SECRETS_ALLOWED_HOSTS=127.0.0.1")
	b := &base{}
	rt, err := providers.TransportFromEnv(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if store.Reads() != 0 {
		t.Error("the secret was read before it was needed")
	}
	client := &http.Client{Transport: rt}
	search := func() {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL()+"/api/2.0/mlflow/experiments/search", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", resp.Status, body)
		}
	}
	search()
	search()

	store.Write("mlflow/auth", map[string]string{"username": "admin", "password": "second-password"})
	server.Rotate("second-password")
	search()

	if store.Reads() != 2 || b.requests != 4 { // the third request was sent twice
		t.Errorf("%d reads, %d requests through the base; want 2, 4", store.Reads(), b.requests)
	}
	for _, want := range []string{"Secret fetched successfully (provider=vault", "Authentication successful (provider=vault, auth_mode=basic)"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, lines)
		}
	}
	if strings.Contains(lines.String(), "password\"") || strings.Contains(lines.String(), "-password") {
		t.Errorf("the log shows the password:\n%s", lines)
	}
}

// Unset, the allow-list is every host, and the log says how to narrow it.
func TestTransportFromEnvWithoutHosts(t *testing.T) {
	lines := captureLog(t)
	setenv(t, list+"vault", address, path, token)
	if _, err := providers.TransportFromEnv(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(lines.String(), "MLFLOW_SECRETS_ALLOWED_HOSTS") || strings.Count(lines.String(), "\n") != 1 {
		t.Errorf("logged %q, want one warning", lines)
	}
}
