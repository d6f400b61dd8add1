// Package settings lists the environment variables that the module reads, for the
// command, which shows and checks them, and for the documentation.
package settings

import (
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// Kind is what a variable holds, and so how much of it may be shown.
type Kind int

// The kinds of variables.
const (
	Text   Kind = iota // a name or path
	Number             // shown if it is one
	Choice             // shown if it is one of Choices
	URL                // shown without userinfo, query and fragment
	Hidden             // a secret, or close to one
)

// Variable is one environment variable.
type Variable struct {
	Name     string
	Alias    string // another name, read where Name is not set
	Provider string // slug of the provider that reads it, or "" for all
	Kind     Kind
	Choices  []string
	Default  string // in words, or ""
	Example  string
	Meaning  string
}

var (
	switches = []string{"1", "true", "yes", "on", "0", "false", "no", "off"}
	modes    = []string{"bearer", "basic"}
)

// All are the variables of this module's own, and those of the vendors' clients
// that most often matter, in the order of the documentation.
var All = []Variable{
	{Name: "MLFLOW_SECRETS_AUTH_ENABLE", Kind: Text, Example: "vault", Meaning: "comma list of providers: vault, aws-secrets-manager, azure-key-vault"},
	{Name: "MLFLOW_SECRETS_AUTH_ENABLE_VAULT", Kind: Choice, Choices: switches, Example: "true", Meaning: "enables Vault; false disables it even if it is in the list"},
	{Name: "MLFLOW_SECRETS_AUTH_ENABLE_AWS_SECRETS_MANAGER", Kind: Choice, Choices: switches, Example: "true", Meaning: "enables AWS Secrets Manager; false disables it even if it is in the list"},
	{Name: "MLFLOW_SECRETS_AUTH_ENABLE_AZURE_KEY_VAULT", Kind: Choice, Choices: switches, Example: "true", Meaning: "enables Azure Key Vault; false disables it even if it is in the list"},
	{Name: "MLFLOW_SECRETS_ALLOWED_HOSTS", Kind: Text, Default: "every host, with a warning", Example: "mlflow.company.com", Meaning: "comma list of the hosts that get the credential"},
	{Name: "MLFLOW_AUTH_HEADER_NAME", Kind: Text, Default: "Authorization", Example: "X-Api-Key", Meaning: "the header that carries the credential"},
	{Name: "MLFLOW_SECRETS_FIELD_TOKEN", Kind: Text, Default: "token", Example: "api_key", Meaning: "the field of the stored JSON that holds the token; if set, it must be there"},
	{Name: "MLFLOW_SECRETS_FIELD_USERNAME", Kind: Text, Default: "username", Example: "user", Meaning: "the same for the username"},
	{Name: "MLFLOW_SECRETS_FIELD_PASSWORD", Kind: Text, Default: "password", Example: "pass", Meaning: "the same for the password"},
	{Name: "MLFLOW_SECRETS_HEADERS", Kind: Text, Example: "CF-Access-Client-Id=id,CF-Access-Client-Secret=secret", Meaning: "comma list of Header-Name=field: further headers that carry a part of the credential, and the fields of the stored JSON that hold their values"},
	{Name: "MLFLOW_WORKSPACE", Kind: Text, Example: "team-a", Meaning: "sent as X-MLFLOW-WORKSPACE with the credential, unless the client sets that header itself"},
	{Name: "MLFLOW_SECRETS_LOG_LEVEL", Kind: Choice, Choices: []string{"debug", "info", "warning", "warn", "error"}, Default: "INFO", Example: "DEBUG", Meaning: "what is logged"},
	{Name: "MLFLOW_SECRETS_MAX_RETRIES", Kind: Number, Default: "3", Example: "5", Meaning: "attempts per read of a store, including the first, from 1 to 100"},
	{Name: "MLFLOW_SECRETS_MAX_STALE_SEC", Kind: Number, Default: "3600", Example: "600", Meaning: "how long past its TTL a value is served while the store is unreachable, in seconds; 0: not at all"},
	{Name: "MLFLOW_SECRETS_ROTATION_WAIT_SEC", Kind: Number, Default: "0", Example: "30", Meaning: "how long a rejected request waits for the store to follow a server that was changed first, in seconds, at most 3600"},
	{Name: "MLFLOW_SECRETS_IGNORE_403", Kind: Choice, Choices: switches, Default: "false", Example: "true", Meaning: "takes a 403 as an answer, never as a reason to read the store"},
	{Name: "MLFLOW_SECRETS_REQUIRE_TLS", Kind: Choice, Choices: switches, Default: "false", Example: "true", Meaning: "refuses plain http to allowed hosts, loopback excepted"},

	{Provider: vault, Name: "VAULT_ADDR", Kind: URL, Example: "https://vault.company.com:8200", Meaning: "Vault's URL"},
	{Provider: vault, Name: "MLFLOW_VAULT_SECRET_PATH", Kind: Text, Example: "secret/mlflow/auth", Meaning: "the secret's path, mount and name"},
	{Provider: vault, Name: "VAULT_TOKEN", Kind: Hidden, Default: "~/.vault-token, where no other login is set", Example: "…", Meaning: "logs in by a token"},
	{Provider: vault, Name: "VAULT_ROLE_ID", Kind: Hidden, Example: "…", Meaning: "logs in by AppRole"},
	{Provider: vault, Name: "VAULT_SECRET_ID", Kind: Hidden, Example: "…", Meaning: "logs in by AppRole"},
	{Provider: vault, Name: "MLFLOW_VAULT_K8S_ROLE", Kind: Text, Example: "mlflow", Meaning: "logs in with the pod's service account"},
	{Provider: vault, Name: "MLFLOW_VAULT_K8S_TOKEN_PATH", Kind: Text, Default: "/var/run/secrets/kubernetes.io/serviceaccount/token", Example: "/var/run/secrets/vault/token", Meaning: "the service account's token"},
	{Provider: vault, Name: "MLFLOW_VAULT_AUTH_MOUNT", Kind: Text, Default: "approle or kubernetes", Example: "team-approle", Meaning: "where the login is mounted"},
	{Provider: vault, Name: "MLFLOW_VAULT_SECRET_VERSION", Kind: Number, Default: "the latest", Example: "3", Meaning: "the version of a KV version 2 secret"},
	{Provider: vault, Name: "MLFLOW_VAULT_TTL_SEC", Kind: Number, Default: "300", Example: "900", Meaning: "how long a value is kept, in seconds"},
	{Provider: vault, Name: "MLFLOW_VAULT_AUTH_MODE", Kind: Choice, Choices: modes, Default: "depends on what the secret holds", Example: "basic", Meaning: "how the secret is sent"},
	{Provider: vault, Name: "VAULT_NAMESPACE", Kind: Text, Example: "admin/team", Meaning: "namespace of the secret and of the login"},
	{Provider: vault, Name: "VAULT_CACERT", Kind: Text, Example: "/etc/ssl/vault-ca.pem", Meaning: "certificate of Vault's authority"},
	{Provider: vault, Name: "VAULT_CAPATH", Kind: Text, Example: "/etc/ssl/vault", Meaning: "folder of such certificates"},
	{Provider: vault, Name: "VAULT_CLIENT_CERT", Kind: Text, Example: "/etc/ssl/client.pem", Meaning: "client certificate"},
	{Provider: vault, Name: "VAULT_CLIENT_KEY", Kind: Text, Example: "/etc/ssl/client.key", Meaning: "its key's file"},
	{Provider: vault, Name: "VAULT_TLS_SERVER_NAME", Kind: Text, Example: "vault.company.com", Meaning: "the name that Vault's certificate must have"},
	{Provider: vault, Name: "VAULT_SKIP_VERIFY", Kind: Choice, Choices: []string{"1", "t", "true", "0", "f", "false"}, Default: "false", Example: "false", Meaning: "accepts any certificate: not for production"},
	{Provider: vault, Name: "VAULT_PROXY_ADDR", Kind: URL, Example: "http://proxy.company.com:3128", Meaning: "proxy for Vault alone"},
	{Provider: vault, Name: "VAULT_CLIENT_TIMEOUT", Kind: Text, Default: "60s", Example: "10s", Meaning: "time for one request"},

	{Provider: aws, Name: "MLFLOW_AWS_SECRET_NAME", Alias: "MLFLOW_AWS_SECRET_ID", Kind: Text, Example: "mlflow/auth", Meaning: "the secret's name or ARN"},
	{Provider: aws, Name: "AWS_REGION", Alias: "AWS_DEFAULT_REGION", Kind: Text, Default: "the ARN's, then the profile's", Example: "eu-central-1", Meaning: "where the secret lies"},
	{Provider: aws, Name: "MLFLOW_AWS_SECRET_VERSION", Kind: Text, Default: "AWSCURRENT", Example: "AWSPREVIOUS", Meaning: "a stage or a version id"},
	{Provider: aws, Name: "MLFLOW_AWS_TTL_SEC", Kind: Number, Default: "300", Example: "900", Meaning: "how long a value is kept, in seconds"},
	{Provider: aws, Name: "MLFLOW_AWS_AUTH_MODE", Kind: Choice, Choices: modes, Default: "depends on what the secret holds", Example: "basic", Meaning: "how the secret is sent"},
	{Provider: aws, Name: "AWS_PROFILE", Kind: Text, Default: "default", Example: "team", Meaning: "profile of the shared files"},
	{Provider: aws, Name: "AWS_ACCESS_KEY_ID", Kind: Hidden, Example: "…", Meaning: "credentials"},
	{Provider: aws, Name: "AWS_SECRET_ACCESS_KEY", Kind: Hidden, Example: "…", Meaning: "credentials"},
	{Provider: aws, Name: "AWS_SESSION_TOKEN", Kind: Hidden, Example: "…", Meaning: "credentials"},
	{Provider: aws, Name: "AWS_ROLE_ARN", Kind: Text, Example: "arn:aws:iam::123456789012:role/mlflow-reader", Meaning: "a role to assume"},
	{Provider: aws, Name: "AWS_ROLE_SESSION_NAME", Kind: Text, Default: "mlflow-secrets-auth", Example: "training", Meaning: "the session's name"},
	{Provider: aws, Name: "AWS_EXTERNAL_ID", Kind: Hidden, Example: "…", Meaning: "what the role's trust policy may ask for"},
	{Provider: aws, Name: "AWS_WEB_IDENTITY_TOKEN_FILE", Kind: Text, Example: "/var/run/secrets/eks.amazonaws.com/serviceaccount/token", Meaning: "web identity, with AWS_ROLE_ARN"},
	{Provider: aws, Name: "AWS_ENDPOINT_URL", Kind: URL, Default: "AWS's own", Example: "https://vpce-….amazonaws.com", Meaning: "another endpoint"},
	{Provider: aws, Name: "AWS_CA_BUNDLE", Kind: Text, Example: "/etc/ssl/proxy-ca.pem", Meaning: "certificates to trust"},

	{Provider: azure, Name: "MLFLOW_AZURE_KEY_VAULT_URL", Alias: "AZURE_KEY_VAULT_URL", Kind: URL, Example: "https://my-vault.vault.azure.net", Meaning: "Key Vault's URL"},
	{Provider: azure, Name: "MLFLOW_AZURE_SECRET_NAME", Kind: Text, Example: "mlflow-auth", Meaning: "the secret's name"},
	{Provider: azure, Name: "MLFLOW_AZURE_SECRET_VERSION", Kind: Text, Default: "the latest", Example: "4387e9f3d6e14c459867679a90fd0f79", Meaning: "the secret's version"},
	{Provider: azure, Name: "MLFLOW_AZURE_TTL_SEC", Kind: Number, Default: "300", Example: "900", Meaning: "how long a value is kept, in seconds"},
	{Provider: azure, Name: "MLFLOW_AZURE_AUTH_MODE", Kind: Choice, Choices: modes, Default: "depends on what the secret holds", Example: "basic", Meaning: "how the secret is sent"},
	{Provider: azure, Name: "AZURE_TENANT_ID", Kind: Text, Example: "11111111-2222-3333-4444-555555555555", Meaning: "the tenant to log in to"},
	{Provider: azure, Name: "AZURE_CLIENT_ID", Kind: Text, Example: "11111111-2222-3333-4444-555555555555", Meaning: "the application or managed identity"},
	{Provider: azure, Name: "AZURE_CLIENT_SECRET", Kind: Hidden, Example: "…", Meaning: "logs in by a client secret"},
	{Provider: azure, Name: "AZURE_CLIENT_CERTIFICATE_PATH", Kind: Text, Example: "/etc/azure/client.pem", Meaning: "logs in by a certificate"},
	{Provider: azure, Name: "AZURE_FEDERATED_TOKEN_FILE", Kind: Text, Example: "/var/run/secrets/azure/tokens/azure-identity-token", Meaning: "workload identity"},
	{Provider: azure, Name: "AZURE_AUTHORITY_HOST", Kind: URL, Default: "https://login.microsoftonline.com", Example: "https://login.microsoftonline.us", Meaning: "where to log in"},
	{Provider: azure, Name: "AZURE_TOKEN_CREDENTIALS", Kind: Text, Default: "all", Example: "prod", Meaning: "which credentials are tried"},
	{Provider: azure, Name: "IDENTITY_ENDPOINT", Kind: URL, Example: "http://127.0.0.1:41432/msi/token", Meaning: "managed identity, set by the platform"},
	{Provider: azure, Name: "IDENTITY_HEADER", Kind: Hidden, Example: "…", Meaning: "goes with it"},
}

const (
	vault = "vault"
	aws   = "aws-secrets-manager"
	azure = "azure-key-vault"
)

// Of are the variables of one provider, or with "" of none in particular.
func Of(provider string) []Variable {
	return slices.DeleteFunc(slices.Clone(All), func(v Variable) bool { return v.Provider != provider })
}

// Find is the variable with that name or alias.
func Find(name string) (Variable, bool) {
	for _, v := range All {
		if v.Name == name || v.Alias == name {
			return v, true
		}
	}
	return Variable{}, false
}

// Source is the name it is set by, or "". A blank value counts as unset, except for
// the allow-list.
func (v Variable) Source() string {
	for _, name := range []string{v.Name, v.Alias} {
		if name == "" {
			continue
		}
		if env.Get(name) != "" {
			return name
		}
	}
	if _, set := os.LookupEnv(v.Name); set && v.Name == "MLFLOW_SECRETS_ALLOWED_HOSTS" {
		return v.Name
	}
	return ""
}

// masked stands for a value that is not shown.
const masked = "****"

// Shown is its value as far as it can be shown: a secret may have been put in the
// place of anything, so what is not of its kind is not.
func (v Variable) Shown() string {
	value := env.Get(v.Source())
	switch v.Kind {
	case Text:
		return inspect.Printable(value)
	case Number:
		if n, err := strconv.Atoi(value); err == nil {
			return strconv.Itoa(n)
		}
		return "(not a number)"
	case Choice:
		if slices.Contains(v.Choices, strings.ToLower(value)) {
			return value
		}
		return "(none of " + strings.Join(v.Choices, ", ") + ")"
	case URL:
		u, err := url.Parse(value)
		if err != nil || u.Scheme == "" || u.Host == "" {
			return "(not a URL)"
		}
		user := ""
		if u.User != nil {
			user = masked + "@"
		}
		return inspect.Printable(u.Scheme + "://" + user + u.Host + u.EscapedPath())
	case Hidden:
	}
	return masked
}
