package vault

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/fields"
)

// Config says which secret, of which Vault, and how to log in. Address,
// SecretPath and one way to log in are required. It prints without its secrets,
// but not from an unexported field of another struct, where fmt calls no method:
// hand it to [New] rather than keep it.
type Config struct {
	// Address is Vault's URL, such as "https://vault.company.com:8200". A path
	// in front of Vault's own is kept. VAULT_ADDR.
	Address string

	// Namespace is the namespace of the secret and of the login. Default: the
	// root namespace. VAULT_NAMESPACE.
	Namespace string

	// SecretPath is mount and name, such as "secret/mlflow/auth".
	// MLFLOW_VAULT_SECRET_PATH.
	SecretPath string

	// SecretVersion is the version of a KV version 2 secret. Default: the latest.
	// MLFLOW_VAULT_SECRET_VERSION.
	SecretVersion int

	// Token is a Vault token. VAULT_TOKEN. Default: one of the logins below or, if
	// none is configured, the file ~/.vault-token of "vault login".
	Token string

	// RoleID and SecretID log in by AppRole. VAULT_ROLE_ID, VAULT_SECRET_ID.
	RoleID   string
	SecretID string

	// KubernetesRole logs in with the pod's service account.
	// MLFLOW_VAULT_K8S_ROLE.
	KubernetesRole string

	// KubernetesTokenPath is the file of the service account's token. Default
	// /var/run/secrets/kubernetes.io/serviceaccount/token.
	// MLFLOW_VAULT_K8S_TOKEN_PATH.
	KubernetesTokenPath string

	// AuthMount is where the login is mounted below auth/. Default "approle" or
	// "kubernetes". MLFLOW_VAULT_AUTH_MOUNT.
	AuthMount string

	// Fields are the names of the fields in the stored JSON, where they are not token,
	// username and password. MLFLOW_SECRETS_FIELD_TOKEN, …_USERNAME, …_PASSWORD,
	// MLFLOW_SECRETS_HEADERS.
	Fields secretsauth.Fields

	// TTL and Mode go with the secret, as hints for a cache
	// ([secretsauth.Secret.WithTTL], WithMode). Default: no hint; a negative TTL is
	// refused. MLFLOW_VAULT_TTL_SEC, MLFLOW_VAULT_AUTH_MODE.
	TTL  time.Duration
	Mode secretsauth.AuthMode

	// MaxAttempts is how often one Fetch tries, in all, what fails for a reason
	// that may pass. Default 3, at most 100. MLFLOW_SECRETS_MAX_RETRIES.
	MaxAttempts int

	// HTTPClient sends the requests; it and its [http.Transport] are copied, and the
	// copy follows no redirect and keeps no connection. Default, and in place of a
	// nil Transport: one with the TLS and proxy settings of Vault's environment
	// variables.
	HTTPClient *http.Client
}

// ConfigFromEnv reads the variables named in [Config]. Values are trimmed, an
// empty one counts as unset. An error wraps [secretsauth.ErrConfig] and names
// every variable that is missing or cannot be used, those of Vault's own client
// too, never a value.
func ConfigFromEnv() (Config, error) {
	log := env.Logger()
	cfg := Config{
		Address:             env.Get("VAULT_ADDR"),
		Namespace:           env.Get("VAULT_NAMESPACE"),
		SecretPath:          env.Get("MLFLOW_VAULT_SECRET_PATH"),
		Token:               env.Get("VAULT_TOKEN"),
		RoleID:              env.Get("VAULT_ROLE_ID"),
		SecretID:            env.Get("VAULT_SECRET_ID"),
		KubernetesRole:      env.Get("MLFLOW_VAULT_K8S_ROLE"),
		KubernetesTokenPath: env.Get("MLFLOW_VAULT_K8S_TOKEN_PATH"),
		AuthMount:           env.Get("MLFLOW_VAULT_AUTH_MOUNT"),
		TTL:                 env.TTL("MLFLOW_VAULT_TTL_SEC", log),
		Mode:                secretsauth.AuthMode(env.Get("MLFLOW_VAULT_AUTH_MODE")),
		MaxAttempts:         env.Attempts(log),
		Fields:              fields.FromEnv(),
	}
	var badVersion error
	// Another version than the one that was asked for would be another secret,
	// so this one is not guessed.
	if text := env.Get("MLFLOW_VAULT_SECRET_VERSION"); text != "" {
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			cfg.SecretVersion = n
		} else {
			badVersion = badConfig("MLFLOW_VAULT_SECRET_VERSION is not a version number",
				"use a number from `vault kv metadata get PATH`, or unset it for the latest version")
		}
	}
	_, _, err := cfg.check()
	if err = env.Problems(err, badVersion); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// check returns what c points at and how it logs in, or all that is wrong with it
// and with the environment of Vault's client. It brings Mode into one form.
func (c *Config) check() (target, login, error) {
	t, unresolved := c.resolve()
	how, noLogin := c.newLogin()
	var badMode, badTTL error
	mode, err := secretsauth.ParseAuthMode(string(c.Mode))
	if err != nil {
		badMode = badConfig("MLFLOW_VAULT_AUTH_MODE (Config.Mode) is not an auth mode",
			"use bearer or basic, or leave it unset to go by what the secret holds")
	}
	c.Mode = mode
	if c.TTL < 0 {
		badTTL = badConfig("MLFLOW_VAULT_TTL_SEC (Config.TTL) is negative", "leave it zero for the default")
	}
	return t, how, env.Problems(unresolved, noLogin, badMode, badTTL, fields.Check(name, &c.Fields), badVariables())
}

// String names address, path and way to log in. Of a Config that does not resolve it
// shows nothing: the address may hold userinfo.
func (c Config) String() string {
	t, err := c.resolve()
	if err != nil {
		return "vault.Config(incomplete)"
	}
	return fmt.Sprintf("vault.Config(%s, login %s)", t.key(), c.loginName())
}

// GoString is String.
func (c Config) GoString() string { return c.String() }

// Format writes String for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText is String; it serves JSON, XML and YAML alike.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
