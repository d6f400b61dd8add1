package azure

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/fields"
)

// Config says which secret, of which vault. VaultURL and SecretName are required.
// How to log in comes from the environment, see the package's comment, so that
// Config holds no secret; it prints as what it points at all the same.
type Config struct {
	// VaultURL is the vault's address, such as "https://my-vault.vault.azure.net".
	// MLFLOW_AZURE_KEY_VAULT_URL (AZURE_KEY_VAULT_URL).
	VaultURL string

	// SecretName is the secret's name, such as "mlflow-auth".
	// MLFLOW_AZURE_SECRET_NAME.
	SecretName string

	// SecretVersion is the last part of a secret's identifier. Default: the latest.
	// MLFLOW_AZURE_SECRET_VERSION.
	SecretVersion string

	// AuthorityHost is where to log in, such as "https://login.microsoftonline.us".
	// Default: AZURE_AUTHORITY_HOST, or by the cloud in which the vault lies.
	AuthorityHost string

	// DisableInstanceDiscovery is for disconnected and private clouds: the authority
	// is not looked up at login.microsoft.com first. An authority on the loopback
	// interface never is.
	DisableInstanceDiscovery bool

	// Fields are the names of the fields in the stored JSON, where they are not token,
	// username and password. MLFLOW_SECRETS_FIELD_TOKEN, …_USERNAME, …_PASSWORD,
	// MLFLOW_SECRETS_HEADERS.
	Fields secretsauth.Fields

	// TTL and Mode go with the secret, as hints for a cache
	// ([secretsauth.Secret.WithTTL], WithMode). Default: no hint; a negative TTL is
	// refused. MLFLOW_AZURE_TTL_SEC, MLFLOW_AZURE_AUTH_MODE.
	TTL  time.Duration
	Mode secretsauth.AuthMode

	// MaxAttempts is how often a request is tried, in all, that fails for a reason
	// that may pass. Default 3, at most 100. MLFLOW_SECRETS_MAX_RETRIES.
	MaxAttempts int

	// HTTPClient sends the requests, those of the login too; it and its
	// [http.Transport] are copied, and the copy follows no redirect and keeps no
	// connection. Default, and in place of a nil Transport: one with the proxy of
	// the environment.
	HTTPClient *http.Client
}

// ConfigFromEnv reads the variables named in [Config]. Values are trimmed, an
// empty one counts as unset. An error wraps [secretsauth.ErrConfig] and names every
// variable that is wrong, never its value; missing ones are errors too, those of
// the login excepted: a managed identity needs none.
func ConfigFromEnv() (Config, error) {
	log := env.Logger()
	cfg := Config{
		VaultURL:      env.Get("MLFLOW_AZURE_KEY_VAULT_URL", "AZURE_KEY_VAULT_URL"),
		SecretName:    env.Get("MLFLOW_AZURE_SECRET_NAME"),
		SecretVersion: env.Get("MLFLOW_AZURE_SECRET_VERSION"),
		AuthorityHost: env.Get("AZURE_AUTHORITY_HOST"),
		Mode:          secretsauth.AuthMode(env.Get("MLFLOW_AZURE_AUTH_MODE")),
		TTL:           env.TTL("MLFLOW_AZURE_TTL_SEC", log),
		MaxAttempts:   env.Attempts(log),
		Fields:        fields.FromEnv(),
	}
	if _, err := cfg.check(); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// check brings Mode into one form and reports every problem, those of the
// environment of the login too.
func (c *Config) check() (target, error) {
	t, badTarget := c.resolve()
	mode, badMode := secretsauth.ParseAuthMode(string(c.Mode))
	if badMode != nil {
		badMode = badConfig("MLFLOW_AZURE_AUTH_MODE (Config.Mode) is not an auth mode", "use bearer or basic, or unset it to go by what the secret holds")
	}
	c.Mode = mode
	var badTTL error
	if c.TTL < 0 {
		badTTL = badConfig("MLFLOW_AZURE_TTL_SEC (Config.TTL) is negative", "unset it for the default")
	}
	_, badChoice := selectedCredentials()
	return t, env.Problems(badTarget, badMode, badTTL, fields.Check(name, &c.Fields), badChoice)
}

// String names the secret.
func (c Config) String() string {
	t, err := c.resolve()
	if err != nil {
		return "azure.Config(incomplete)"
	}
	return fmt.Sprintf("azure.Config(%s)", t.key())
}

// GoString is String.
func (c Config) GoString() string { return c.String() }

// Format writes String for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText is String; it serves JSON, XML and YAML alike.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
