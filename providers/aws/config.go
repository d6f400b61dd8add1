package aws

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/fields"
)

// Config says which secret, where, and as whom. SecretName is required, and a
// region from somewhere. It holds no secret but ExternalID, which AWS does not
// treat as one; it prints without it all the same.
type Config struct {
	// SecretName is the secret's name or ARN. MLFLOW_AWS_SECRET_NAME
	// (MLFLOW_AWS_SECRET_ID).
	SecretName string

	// SecretVersion is a version stage, such as AWSPREVIOUS, or a version id: 32
	// to 64 letters, digits and dashes, as in a UUID. Default: AWSCURRENT.
	// MLFLOW_AWS_SECRET_VERSION.
	SecretVersion string

	// Region is where the secret lies; an ARN's own region wins. Default: the
	// profile's. AWS_REGION, AWS_DEFAULT_REGION.
	Region string

	// Profile is a profile of the shared files. Default: AWS_PROFILE, or
	// "default". As in the SDK, AWS_PROFILE comes after the keys and the web
	// identity of the environment, and another Profile before them.
	Profile string

	// Endpoint replaces AWS's own. Default: AWS_ENDPOINT_URL and what the SDK
	// knows.
	Endpoint string

	// RoleARN is a role to assume with the credentials of the default chain.
	// AWS_ROLE_ARN, unless AWS_WEB_IDENTITY_TOKEN_FILE is set: then the SDK's
	// chain assumes it by web identity.
	RoleARN string

	// RoleSessionName and ExternalID go with RoleARN. AWS_ROLE_SESSION_NAME
	// (default: "mlflow-secrets-auth"), AWS_EXTERNAL_ID.
	RoleSessionName string
	ExternalID      string

	// Fields are the names of the fields in the stored JSON, where they are not token,
	// username and password. MLFLOW_SECRETS_FIELD_TOKEN, …_USERNAME, …_PASSWORD,
	// MLFLOW_SECRETS_HEADERS.
	Fields secretsauth.Fields

	// TTL and Mode go with the secret, as hints for a cache
	// ([secretsauth.Secret.WithTTL], WithMode). Default: no hint; a negative TTL is
	// refused. MLFLOW_AWS_TTL_SEC, MLFLOW_AWS_AUTH_MODE.
	TTL  time.Duration
	Mode secretsauth.AuthMode

	// MaxAttempts is how often a request is tried, in all, that fails for a
	// reason that may pass. Default 3, at most 100. MLFLOW_SECRETS_MAX_RETRIES.
	MaxAttempts int

	// HTTPClient sends the requests to Secrets Manager and to assume RoleARN; it and
	// its [http.Transport] are copied, and the copy follows no redirect, keeps no
	// connection, and ends a request after 5 s where it has no Timeout. Default, and
	// in place of a nil Transport: the SDK's, to which AWS_CA_BUNDLE applies.
	HTTPClient *http.Client
}

// ConfigFromEnv reads the variables named in [Config]. Values are trimmed, an
// empty one counts as unset. An error wraps [secretsauth.ErrConfig] and names every
// variable that is missing or of no use, never its value.
func ConfigFromEnv() (Config, error) {
	log := env.Logger()
	cfg := Config{
		SecretName:    env.Get("MLFLOW_AWS_SECRET_NAME", "MLFLOW_AWS_SECRET_ID"),
		SecretVersion: env.Get("MLFLOW_AWS_SECRET_VERSION"),
		Region:        env.Get("AWS_REGION", "AWS_DEFAULT_REGION"),
		Profile:       env.Get("AWS_PROFILE"),
		TTL:           env.TTL("MLFLOW_AWS_TTL_SEC", log),
		Mode:          secretsauth.AuthMode(env.Get("MLFLOW_AWS_AUTH_MODE")),
		MaxAttempts:   env.Attempts(log),
		Fields:        fields.FromEnv(),
	}
	if env.Get("AWS_WEB_IDENTITY_TOKEN_FILE") == "" {
		cfg.RoleARN = env.Get("AWS_ROLE_ARN")
		cfg.RoleSessionName = env.Get("AWS_ROLE_SESSION_NAME")
		cfg.ExternalID = env.Get("AWS_EXTERNAL_ID")
	}
	if _, _, err := cfg.check(); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

// check says everything that is wrong with c and with what the SDK reads besides.
// It leaves c with the mode by its proper name.
func (c *Config) check() (target, aws.Config, error) {
	var badMode, badTTL error
	mode, err := secretsauth.ParseAuthMode(string(c.Mode))
	if err != nil {
		badMode = badConfig("MLFLOW_AWS_AUTH_MODE (Config.Mode) is not an auth mode", "use bearer or basic, or leave it unset to go by what the secret holds")
	}
	c.Mode = mode
	if c.TTL < 0 {
		badTTL = badConfig("MLFLOW_AWS_TTL_SEC (Config.TTL) is negative", "leave it zero for the default")
	}
	t, badTarget := c.resolve()
	sdk, badSDK := c.load(t)
	return t, sdk, env.Problems(badTarget, badMode, badTTL, fields.Check(name, &c.Fields), badSDK)
}

// String names the secret.
func (c Config) String() string {
	t, err := c.resolve()
	if err != nil {
		return "aws.Config(incomplete)"
	}
	return fmt.Sprintf("aws.Config(%s)", t.key(t.region))
}

// GoString is String.
func (c Config) GoString() string { return c.String() }

// Format writes String for every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText is String; it serves JSON, XML and YAML alike.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
