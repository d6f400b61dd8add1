package aws_test

import (
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
)

func TestConfigFromEnv(t *testing.T) {
	profiles := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(profiles, []byte("[profile team]\nregion = ap-south-1\n[profile bare]\noutput = json\n"+
		"[profile bad]\nregion = Frankfurt!\n[profile mfa]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = source\nmfa_serial = arn:aws:iam::123456789012:mfa/u\n[profile source]\naws_access_key_id = a\naws_secret_access_key = b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:secretsmanager:us-west-2:123456789012:secret:mlflow/auth-AbCdEf"
	for _, test := range []struct {
		name string
		env  map[string]string // over a secret's name and a region; "" unsets
		want func(aws.Config) bool
		says string // else: ErrConfig that says this
	}{
		{"name and region", nil, func(c aws.Config) bool { return c.SecretName == "mlflow/auth" && c.Region == "eu-central-1" }, ""},
		{"spaces", map[string]string{"MLFLOW_AWS_SECRET_NAME": " a ", "AWS_REGION": " us-east-1 "}, func(c aws.Config) bool { return c.SecretName == "a" && c.Region == "us-east-1" }, ""},
		{"alias of the name", map[string]string{"MLFLOW_AWS_SECRET_NAME": "", "MLFLOW_AWS_SECRET_ID": "b"}, func(c aws.Config) bool { return c.SecretName == "b" }, ""},
		{"the name wins over its alias", map[string]string{"MLFLOW_AWS_SECRET_ID": "b"}, func(c aws.Config) bool { return c.SecretName == "mlflow/auth" }, ""},
		{"no name", map[string]string{"MLFLOW_AWS_SECRET_NAME": ""}, nil, "MLFLOW_AWS_SECRET_NAME"},
		{"bad name", map[string]string{"MLFLOW_AWS_SECRET_NAME": "a b"}, nil, "MLFLOW_AWS_SECRET_NAME"},
		{"ARN of another service", map[string]string{"MLFLOW_AWS_SECRET_NAME": "arn:aws:ssm:us-west-2:123456789012:parameter/x"}, nil, "not of a secret"},
		{"default region", map[string]string{"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-east-2"}, func(c aws.Config) bool { return c.Region == "us-east-2" }, ""},
		{"AWS_REGION wins", map[string]string{"AWS_DEFAULT_REGION": "us-east-2"}, func(c aws.Config) bool { return c.Region == "eu-central-1" }, ""},
		{"no region", map[string]string{"AWS_REGION": ""}, nil, "AWS_REGION"},
		{"bad region", map[string]string{"AWS_REGION": "Frankfurt!"}, nil, "AWS_REGION"},
		{"the ARN's region", map[string]string{"AWS_REGION": "", "MLFLOW_AWS_SECRET_NAME": arn}, func(c aws.Config) bool { return c.Region == "" }, ""},
		{"the profile's region", map[string]string{"AWS_REGION": "", "AWS_PROFILE": "team"}, func(c aws.Config) bool { return c.Profile == "team" }, ""},
		{"a profile without region", map[string]string{"AWS_REGION": "", "AWS_PROFILE": "bare"}, nil, "AWS_REGION"},
		{"a profile that is not there", map[string]string{"AWS_PROFILE": "nobody"}, nil, "AWS_PROFILE"},
		{"version", map[string]string{"MLFLOW_AWS_SECRET_VERSION": " AWSPENDING "}, func(c aws.Config) bool { return c.SecretVersion == "AWSPENDING" }, ""},
		{"bad version", map[string]string{"MLFLOW_AWS_SECRET_VERSION": "a b"}, nil, "MLFLOW_AWS_SECRET_VERSION"},
		{"role", map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r", "AWS_ROLE_SESSION_NAME": " session ", "AWS_EXTERNAL_ID": "id"},
			func(c aws.Config) bool {
				return strings.HasSuffix(c.RoleARN, "role/r") && c.RoleSessionName == "session" && c.ExternalID == "id"
			}, ""},
		{"role by web identity is the SDK's", map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token"},
			func(c aws.Config) bool { return c.RoleARN == "" }, ""},
		{"bad role", map[string]string{"AWS_ROLE_ARN": "reader"}, nil, "AWS_ROLE_ARN"},
		{"TTL", map[string]string{"MLFLOW_AWS_TTL_SEC": "60"}, func(c aws.Config) bool { return c.TTL == time.Minute }, ""},
		{"TTL, bad: the default", map[string]string{"MLFLOW_AWS_TTL_SEC": "1m"}, func(c aws.Config) bool { return c.TTL == 0 }, ""},
		{"TTL, not positive: the default", map[string]string{"MLFLOW_AWS_TTL_SEC": "0"}, func(c aws.Config) bool { return c.TTL == 0 }, ""},
		{"TTL, clamped", map[string]string{"MLFLOW_AWS_TTL_SEC": "999999"}, func(c aws.Config) bool { return c.TTL == 24*time.Hour }, ""},
		{"mode", map[string]string{"MLFLOW_AWS_AUTH_MODE": "Basic"}, func(c aws.Config) bool { return c.Mode == secretsauth.AuthBasic }, ""},
		{"mode, bad", map[string]string{"MLFLOW_AWS_AUTH_MODE": "digest"}, nil, "MLFLOW_AWS_AUTH_MODE"},
		{"attempts", map[string]string{"MLFLOW_SECRETS_MAX_RETRIES": "5"}, func(c aws.Config) bool { return c.MaxAttempts == 5 }, ""},
		{"attempts, bad: the default", map[string]string{"MLFLOW_SECRETS_MAX_RETRIES": "0"}, func(c aws.Config) bool { return c.MaxAttempts == 0 }, ""},
		{"fields", map[string]string{"MLFLOW_SECRETS_FIELD_TOKEN": " key ", "MLFLOW_SECRETS_FIELD_USERNAME": "user", "MLFLOW_SECRETS_FIELD_PASSWORD": "pass", "MLFLOW_SECRETS_HEADERS": " X-Gate=gate\t"},
			func(c aws.Config) bool {
				return c.Fields == secretsauth.Fields{Token: "key", Username: "user", Password: "pass", Headers: "X-Gate=gate"}
			}, ""},
		{"fields, empty", map[string]string{"MLFLOW_SECRETS_FIELD_TOKEN": "", "MLFLOW_SECRETS_FIELD_USERNAME": " ", "MLFLOW_SECRETS_FIELD_PASSWORD": "", "MLFLOW_SECRETS_HEADERS": " "},
			func(c aws.Config) bool { return c.Fields == secretsauth.Fields{} }, ""},
		{"headers from fields, bad", map[string]string{"MLFLOW_SECRETS_HEADERS": "CANARY"}, nil, "MLFLOW_SECRETS_HEADERS (Config.Fields.Headers)"},
		{"a key with a newline", map[string]string{"AWS_SECRET_ACCESS_KEY": "CANARY-key\n"}, nil, "AWS_SECRET_ACCESS_KEY"},
		{"a token file with a space", map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": " "}, nil, "AWS_WEB_IDENTITY_TOKEN_FILE"},
		{"an endpoint with a space", map[string]string{"AWS_ENDPOINT_URL": " http://127.0.0.1:1"}, func(aws.Config) bool { return true }, ""},
		{"a blank endpoint", map[string]string{"AWS_ENDPOINT_URL_SECRETS_MANAGER": "  "}, func(aws.Config) bool { return true }, ""},
		{"an endpoint without scheme", map[string]string{"AWS_ENDPOINT_URL": "localhost:CANARY"}, nil, "AWS_ENDPOINT_URL"},
		{"an endpoint with a password", map[string]string{"AWS_ENDPOINT_URL_SECRETS_MANAGER": "https://u:CANARY@127.0.0.1"}, nil, "AWS_ENDPOINT_URL_SECRETS_MANAGER"},
		{"a blank region", map[string]string{"AWS_REGION": "  "}, nil, "AWS_REGION"},
		{"a blank region, and the profile's", map[string]string{"AWS_REGION": "  ", "AWS_PROFILE": "team"}, func(c aws.Config) bool { return strings.Contains(c.String(), "mlflow/auth") }, ""},
		{"a blank region, and the default one", map[string]string{"AWS_REGION": "  ", "AWS_DEFAULT_REGION": " us-east-2 "}, func(c aws.Config) bool { return c.Region == "us-east-2" }, ""},
		{"a bad region of the profile", map[string]string{"AWS_REGION": "", "AWS_PROFILE": "bad"}, nil, "region"},
		{"a profile with spaces", map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_REGION": "", "AWS_PROFILE": " team "}, func(c aws.Config) bool { return c.Profile == "team" }, ""},
		{"a profile with spaces, and keys", map[string]string{"AWS_PROFILE": " team "}, nil, "AWS_PROFILE has white space"},
		{"a profile that wants an MFA code", map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "mfa"}, nil, "MFA"},
		{"ARN without a region", map[string]string{"MLFLOW_AWS_SECRET_NAME": "arn:aws:secretsmanager::123456789012:secret:a"}, nil, "not of a secret"},
		{"ARN without an account", map[string]string{"MLFLOW_AWS_SECRET_NAME": "arn:aws:secretsmanager:us-west-2::secret:a"}, nil, "not of a secret"},
		{"ARN of nothing", map[string]string{"MLFLOW_AWS_SECRET_NAME": "arn:"}, nil, "not of a secret"},
		{"ARN of another partition", map[string]string{"AWS_REGION": "", "MLFLOW_AWS_SECRET_NAME": "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a"}, func(aws.Config) bool { return true }, ""},
		{"a name with spaces in front and at the end", map[string]string{"MLFLOW_AWS_SECRET_NAME": "\tmlflow/auth\n"}, func(c aws.Config) bool { return c.SecretName == "mlflow/auth" }, ""},
		{"a blank name", map[string]string{"MLFLOW_AWS_SECRET_NAME": "  "}, nil, "MLFLOW_AWS_SECRET_NAME"},
		{"a blank version", map[string]string{"MLFLOW_AWS_SECRET_VERSION": "  "}, func(c aws.Config) bool { return c.SecretVersion == "" }, ""},
		{"a blank role", map[string]string{"AWS_ROLE_ARN": "  "}, func(c aws.Config) bool { return c.RoleARN == "" }, ""},
		{"a bad session name", map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r", "AWS_ROLE_SESSION_NAME": "CANARY CANARY"}, nil, "AWS_ROLE_SESSION_NAME"},
		{"a bad external id", map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r", "AWS_EXTERNAL_ID": "CANARY!"}, nil, "AWS_EXTERNAL_ID"},
		{"web identity without a role", map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token"}, nil, "AWS_ROLE_ARN is not"},
		{"a bad setting of the SDK's", map[string]string{"AWS_MAX_ATTEMPTS": "CANARY"}, nil, "aws configure list"},
		{"what would ask the network", map[string]string{"AWS_DEFAULTS_MODE": "auto"}, func(aws.Config) bool { return true }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := map[string]string{"MLFLOW_AWS_SECRET_NAME": "mlflow/auth", "AWS_REGION": "eu-central-1", "AWS_CONFIG_FILE": profiles}
			maps.Copy(set, test.env)
			secret := canary.New()
			for name, value := range set {
				t.Setenv(name, strings.ReplaceAll(value, "CANARY", secret))
			}
			cfg, err := aws.ConfigFromEnv()
			if test.want == nil {
				if !errors.Is(err, secretsauth.ErrConfig) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "fix: ") {
					t.Errorf("%v, want ErrConfig that says %s, with a fix", err, test.says)
				}
				canary.AbsentFrom(t, "the error", err, secret)
				return
			}
			if err != nil || !test.want(cfg) {
				t.Errorf("%+v: %v", cfg, err)
			}
			if _, err := aws.New(cfg); err != nil {
				t.Errorf("New refuses it: %v", err)
			}
		})
	}
}

// Each problem names its variable first, and none hides another.
func TestAllProblemsAtOnce(t *testing.T) {
	files := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(files, []byte("[profile bad]\nregion = CANARY!\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		env  map[string]string
		want []string // how the summaries begin
	}{
		{"nothing is set", nil, []string{"MLFLOW_AWS_SECRET_NAME (Config.SecretName) is not set", "AWS_REGION (Config.Region) is not set"}},
		{"everything is bad", map[string]string{
			"MLFLOW_AWS_SECRET_NAME": "the CANARY", "AWS_REGION": "CANARY!", "MLFLOW_AWS_SECRET_VERSION": "the CANARY", "MLFLOW_AWS_AUTH_MODE": "CANARY",
			"AWS_ROLE_ARN": "CANARY", "AWS_ROLE_SESSION_NAME": "the CANARY", "AWS_EXTERNAL_ID": "the CANARY",
			"AWS_ACCESS_KEY_ID": "CANARY ", "AWS_SECRET_ACCESS_KEY": "CANARY\n", "AWS_SESSION_TOKEN": " CANARY",
			"AWS_ENDPOINT_URL": "CANARY", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "CANARY:1", "AWS_ENDPOINT_URL_STS": "http://CANARY@a", "AWS_PROFILE": "CANARY",
		}, []string{"MLFLOW_AWS_SECRET_NAME (", "AWS_REGION (", "MLFLOW_AWS_SECRET_VERSION (", "AWS_ROLE_ARN (", "AWS_ROLE_SESSION_NAME (", "AWS_EXTERNAL_ID (", "MLFLOW_AWS_AUTH_MODE (",
			"AWS_ACCESS_KEY_ID has white space", "AWS_SECRET_ACCESS_KEY has", "AWS_SESSION_TOKEN has",
			"AWS_ENDPOINT_URL is not", "AWS_ENDPOINT_URL_SECRETS_MANAGER is not", "AWS_ENDPOINT_URL_STS is not", "AWS_PROFILE (Config.Profile) names a profile that is not"}},
		{"a bad region of the profile", map[string]string{"AWS_PROFILE": "bad"}, []string{"MLFLOW_AWS_SECRET_NAME (", "AWS_PROFILE (Config.Profile) has a region that is none"}},
		{"files, and what comes of them", map[string]string{"AWS_CONFIG_FILE": " CANARY", "AWS_CA_BUNDLE": "CANARY ", "AWS_PROFILE": "CANARY", "MLFLOW_AWS_SECRET_NAME": "a"},
			[]string{"AWS_CONFIG_FILE has white space", "AWS_CA_BUNDLE has white space"}},
		{"a setting of the SDK's", map[string]string{"AWS_USE_FIPS_ENDPOINT": "CANARY", "AWS_REGION": "eu-central-1"}, []string{"MLFLOW_AWS_SECRET_NAME (", "AWS_USE_FIPS_ENDPOINT has a value"}},
		{"a file of the SDK's", map[string]string{"AWS_CA_BUNDLE": "/CANARY", "MLFLOW_AWS_SECRET_NAME": "a", "AWS_REGION": "eu-central-1"}, []string{"AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE, AWS_CA_BUNDLE or"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("AWS_CONFIG_FILE", files)
			secret := canary.New()
			for name, value := range test.env {
				t.Setenv(name, strings.ReplaceAll(value, "CANARY", secret))
			}
			_, err := aws.ConfigFromEnv()
			if !errors.Is(err, secretsauth.ErrConfig) || strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "\n") {
				t.Error("not ErrConfig on one line, without the values")
			}
			canary.AbsentFrom(t, "the error", err, secret)
			var got []string
			for _, one := range env.Each(err) {
				e, ok := one.(*secretsauth.Error) //nolint:errorlint // the error itself
				if !ok || e.Fix == "" {
					t.Fatalf("%T without a fix", one)
				}
				got = append(got, e.Summary)
			}
			if !slices.EqualFunc(got, test.want, strings.HasPrefix) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}

	t.Setenv("AWS_REGION", "")
	_, err := aws.New(aws.Config{TTL: -1, Mode: "digest", Endpoint: "localhost"})
	for _, want := range []string{"MLFLOW_AWS_SECRET_NAME (", "MLFLOW_AWS_TTL_SEC (Config.TTL)", "MLFLOW_AWS_AUTH_MODE (Config.Mode)", "AWS_ENDPOINT_URL (Config.Endpoint)", "AWS_REGION (Config.Region) is not set"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New does not say %s: %v", want, err)
		}
	}
}

func TestTheEndpointOfTheEnvironment(t *testing.T) {
	s, endpoint := newStandin(t)
	s.putText("token")
	t.Setenv("AWS_ENDPOINT_URL", endpoint)
	p, err := aws.New(aws.Config{SecretName: "mlflow/auth", Region: "eu-central-1", RoleARN: "arn:aws:iam::123456789012:role/r"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Fetch(t.Context()); err != nil || s.reads != 1 || len(s.roles) != 1 {
		t.Errorf("%d reads, %d roles, %v", s.reads, len(s.roles), err)
	}
}

func TestAClientOfOnesOwnBesideACABundle(t *testing.T) {
	s, endpoint := newStandin(t)
	s.putText("token")
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	if _, err := provider(t, endpoint, func(c *aws.Config) { c.HTTPClient = &http.Client{} }).Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	t.Setenv("AWS_CA_BUNDLE", filepath.Join(t.TempDir(), "nothing"))
	if _, err := aws.New(aws.Config{SecretName: "a", Region: "eu-central-1"}); !errors.Is(err, secretsauth.ErrConfig) {
		t.Errorf("a bundle that is not there: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	secret := canary.New()
	for name, change := range map[string]func(*aws.Config){
		"negative TTL":       func(c *aws.Config) { c.TTL = -1 },
		"unknown mode":       func(c *aws.Config) { c.Mode = "digest" },
		"endpoint, no URL":   func(c *aws.Config) { c.Endpoint = "localhost" },
		"endpoint, userinfo": func(c *aws.Config) { c.Endpoint = "http://u:" + secret + "@localhost" },
		"no name":            func(c *aws.Config) { c.SecretName = "" },
		"ARN with a bad region": func(c *aws.Config) {
			c.SecretName = "arn:aws:secretsmanager:X:1:secret:n"
		},
	} {
		cfg := aws.Config{SecretName: "mlflow/auth", Region: "eu-central-1"}
		change(&cfg)
		if _, err := aws.New(cfg); !errors.Is(err, secretsauth.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		} else {
			canary.AbsentFrom(t, name, err, secret)
		}
	}
}
