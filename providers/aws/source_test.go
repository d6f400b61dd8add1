package aws_test

import (
	"crypto/sha1" //nolint:gosec // the SDK names its files by it
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
)

// withoutKeys leaves no credentials in the environment.
func withoutKeys(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
}

// answering is a service that says one thing.
func answering(t *testing.T, status int, header, body string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if name, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhyThereAreNoCredentials(t *testing.T) {
	hidden := canary.New()
	const start = "https://company.awsapps.com/start"
	sso := func(t *testing.T, session bool) {
		home := t.TempDir()
		t.Setenv("HOME", home)
		t.Setenv("AWS_CONFIG_FILE", write(t, filepath.Join(home, "config"), "[default]\nsso_start_url = "+start+
			"\nsso_region = eu-central-1\nsso_account_id = 123456789012\nsso_role_name = reader\n"))
		if session {
			sum := sha1.Sum([]byte(start)) //nolint:gosec // as above
			write(t, filepath.Join(home, ".aws/sso/cache", hex.EncodeToString(sum[:])+".json"),
				`{"startUrl":"`+start+`","region":"eu-central-1","accessToken":"`+hidden+`","expiresAt":"2099-01-01T00:00:00Z"}`)
		}
	}
	process := func(t *testing.T, command string) {
		t.Setenv("AWS_CONFIG_FILE", write(t, filepath.Join(t.TempDir(), "config"), "[default]\ncredential_process = "+command+"\n"))
	}
	web := func(t *testing.T) {
		t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write(t, filepath.Join(t.TempDir(), "token"), hidden))
	}
	for _, test := range []struct {
		name  string
		setup func(t *testing.T, s *standin)
		kind  error
		says  []string
	}{
		{"nothing is configured", func(*testing.T, *standin) {}, secretsauth.ErrConfig, []string{"no source of AWS credentials", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "aws sso login"}},
		{"half a key", func(t *testing.T, _ *standin) { t.Setenv("AWS_ACCESS_KEY_ID", hidden) }, secretsauth.ErrConfig, []string{"no source of AWS credentials"}},
		{"an instance without a role", func(t *testing.T, _ *standin) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", answering(t, 404, "", hidden))
		}, secretsauth.ErrConfig, []string{"no source of AWS credentials", "a role"}},
		{"an instance whose metadata service is not well", func(t *testing.T, _ *standin) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", answering(t, 503, "", hidden))
		}, secretsauth.ErrUnavailable, []string{"IMDS", "does not answer", "AWS_ACCESS_KEY_ID"}},
		{"no instance at all", func(t *testing.T, _ *standin) {
			t.Setenv("AWS_EC2_METADATA_DISABLED", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
		}, secretsauth.ErrUnavailable, []string{"no source of AWS credentials", "IMDS", "AWS_ACCESS_KEY_ID"}},
		{"SSO, never logged in", func(t *testing.T, _ *standin) { sso(t, false) }, secretsauth.ErrDenied, []string{"SSO session has expired", "aws sso login"}},
		{"SSO, session over", func(t *testing.T, _ *standin) {
			sso(t, true)
			t.Setenv("AWS_ENDPOINT_URL_SSO", answering(t, 401, "X-Amzn-ErrorType: UnauthorizedException", `{"message":"`+hidden+`"}`))
		}, secretsauth.ErrDenied, []string{"SSO session has expired", "aws sso login"}},
		{"SSO, no such role", func(t *testing.T, _ *standin) {
			sso(t, true)
			t.Setenv("AWS_ENDPOINT_URL_SSO", answering(t, 403, "X-Amzn-ErrorType: ForbiddenException", `{"message":"`+hidden+`"}`))
		}, secretsauth.ErrDenied, []string{"SSO, which gives the AWS credentials, refuses (403 Forbidden)"}},
		{"SSO, not well", func(t *testing.T, _ *standin) {
			sso(t, true)
			t.Setenv("AWS_ENDPOINT_URL_SSO", answering(t, 503, "", hidden))
		}, secretsauth.ErrUnavailable, []string{"SSO, which gives the AWS credentials, is not well (503)"}},
		{"SSO, an answer that holds nothing", func(t *testing.T, _ *standin) {
			sso(t, true)
			t.Setenv("AWS_ENDPOINT_URL_SSO", answering(t, 200, "Content-Type: application/json", `{}`))
		}, secretsauth.ErrUnavailable, []string{"SSO, which gives the AWS credentials,"}},
		{"a pod's agent refuses", func(t *testing.T, _ *standin) {
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", answering(t, 403, "", `{"code":"AccessDenied","message":"`+hidden+`"}`))
		}, secretsauth.ErrDenied, []string{"the source of the AWS credentials refuses (403 Forbidden)"}},
		{"a pod's agent is not there", func(t *testing.T, _ *standin) { t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/x") },
			secretsauth.ErrUnavailable, []string{"cannot reach the source of the AWS credentials"}},
		{"a process that fails", func(t *testing.T, _ *standin) { process(t, "sh -c 'echo "+hidden+"; exit 1'") }, secretsauth.ErrConfig, []string{"no source of AWS credentials"}},
		{"a process that talks", func(t *testing.T, _ *standin) { process(t, "echo "+hidden) }, secretsauth.ErrConfig, []string{"no source of AWS credentials"}},
		{"no web-identity token", func(t *testing.T, _ *standin) {
			web(t)
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", filepath.Join(t.TempDir(), "nothing"))
		}, secretsauth.ErrConfig, []string{"cannot be read", "AWS_WEB_IDENTITY_TOKEN_FILE"}},
		{"a web identity that is not trusted", func(t *testing.T, s *standin) {
			web(t)
			s.sts = &failure{status: 403, code: "AccessDenied", text: hidden}
		}, secretsauth.ErrDenied, []string{"sts:AssumeRoleWithWebIdentity", "trust policy"}},
		{"a web identity that has expired", func(t *testing.T, s *standin) {
			web(t)
			s.sts = &failure{status: 400, code: "ExpiredTokenException", text: hidden}
		}, secretsauth.ErrDenied, []string{"web-identity token has expired"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, endpoint := newStandin(t)
			s.putText(hidden)
			withoutKeys(t)
			t.Setenv("AWS_ENDPOINT_URL", endpoint)
			test.setup(t, s)
			p, err := aws.New(aws.Config{SecretName: "mlflow/auth", Region: "eu-central-1", MaxAttempts: 1})
			if err == nil {
				_, err = p.Fetch(t.Context())
			}
			if !errors.Is(err, test.kind) {
				t.Errorf("%s, want %v", strings.ReplaceAll(fmt.Sprint(err), hidden, "…"), test.kind)
			}
			canary.AbsentFrom(t, "the error", err, hidden)
			for _, want := range test.says {
				if err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", strings.ReplaceAll(err.Error(), hidden, "…"), want)
				}
			}
			if s.reads != 0 {
				t.Errorf("%d reads without credentials", s.reads)
			}
		})
	}
}

func TestWhoseCredentialsAreUsed(t *testing.T) {
	files := write(t, filepath.Join(t.TempDir(), "config"), "[profile team]\naws_access_key_id = OFTEAM\naws_secret_access_key = x\n[profile reader]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = team\n[default]\naws_access_key_id = OFDEFAULT\naws_secret_access_key = x\n")
	for _, test := range []struct {
		name    string
		env     map[string]string // over keys AKIDEXAMPLE
		profile string
		want    string // access key
		roles   int
	}{
		{"the environment's keys", nil, "", "AKIDEXAMPLE", 0},
		{"keys go before AWS_PROFILE, as in the SDK", map[string]string{"AWS_PROFILE": "team"}, "", "AKIDEXAMPLE", 0},
		{"a profile in code goes before keys", nil, "team", "OFTEAM", 0},
		{"AWS_PROFILE", map[string]string{"AWS_PROFILE": "team", "AWS_ACCESS_KEY_ID": ""}, "", "OFTEAM", 0},
		{"AWS_PROFILE with spaces", map[string]string{"AWS_PROFILE": " team", "AWS_ACCESS_KEY_ID": ""}, "", "OFTEAM", 0},
		{"AWS_PROFILE blank", map[string]string{"AWS_PROFILE": "  ", "AWS_ACCESS_KEY_ID": ""}, "", "OFDEFAULT", 0},
		{"the default profile", map[string]string{"AWS_ACCESS_KEY_ID": ""}, "", "OFDEFAULT", 0},
		{"a role, with keys", map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r"}, "", "ASIAROLE1", 1},
		{"a role of a profile", map[string]string{"AWS_PROFILE": "reader", "AWS_ACCESS_KEY_ID": ""}, "", "ASIAROLE1", 1},
		{"web identity, and no second role", map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": files}, "", "ASIAROLE1", 1},
		{"web identity goes before AWS_PROFILE", map[string]string{"AWS_PROFILE": "team", "AWS_ACCESS_KEY_ID": "", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": files}, "", "ASIAROLE1", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, endpoint := newStandin(t)
			s.putText("token")
			s.set(func(s *standin) { s.reject = test.want }) // and so it shows
			for name, value := range map[string]string{"MLFLOW_AWS_SECRET_NAME": "mlflow/auth", "AWS_REGION": "eu-central-1", "AWS_CONFIG_FILE": files, "AWS_ENDPOINT_URL": " " + endpoint + " "} {
				t.Setenv(name, value)
			}
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			cfg, err := aws.ConfigFromEnv()
			if err != nil {
				t.Fatal(err)
			}
			if test.profile != "" {
				cfg.Profile = test.profile
			}
			cfg.MaxAttempts = 1
			p, err := aws.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Fetch(t.Context()); test.roles == 0 && !errors.Is(err, secretsauth.ErrDenied) {
				t.Errorf("other credentials than %s: %v", test.want, err)
			}
			// Rejected, a role is assumed anew; the second is accepted.
			if want := 2 * test.roles; len(s.roles) != want {
				t.Errorf("%d roles assumed, want %d", len(s.roles), want)
			}
		})
	}
}

// Programs such as saml2aws write new keys into the file while we run.
func TestAFileOfKeysThatWasRenewed(t *testing.T) {
	withoutKeys(t)
	keys := func(id string) string {
		return "[default]\naws_access_key_id = " + id + "\naws_secret_access_key = x\nregion = eu-central-1\n"
	}
	file := write(t, filepath.Join(t.TempDir(), "credentials"), keys("OLDKEY"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	s, endpoint := newStandin(t)
	s.putText("token")
	p := provider(t, endpoint, func(c *aws.Config) { c.Region = "" })
	if _, err := p.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.set(func(s *standin) { s.reject = "OLDKEY" })
	if _, err := p.Fetch(t.Context()); !errors.Is(err, secretsauth.ErrDenied) || s.reads != 3 {
		t.Errorf("%d reads, want 1 and 2: %v", s.reads, err)
	}
	write(t, file, strings.Replace(keys("NEWKEY"), "eu-central-1", "us-east-1", 1))
	if _, err := p.Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	if want := "aws-secrets-manager:eu-central-1:mlflow/auth"; p.Key() != want {
		t.Errorf("the key has become %s", p.Key())
	}
	// The file is being written: for a moment it holds nothing.
	s.set(func(s *standin) { s.reject = "NEWKEY" })
	write(t, file, "")
	if _, err := p.Fetch(t.Context()); !errors.Is(err, secretsauth.ErrConfig) {
		t.Error(err)
	}
	write(t, file, keys("NEWESTKEY"))
	if _, err := p.Fetch(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCredentialsAreRenewedOnceForAll(t *testing.T) {
	t.Parallel()
	s, endpoint := newStandin(t)
	s.putText("token")
	p := provider(t, endpoint, func(c *aws.Config) { c.RoleARN = "arn:aws:iam::123456789012:role/reader" })
	if _, err := p.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.set(func(s *standin) { s.reject = "ASIAROLE1" })
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := p.Fetch(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(s.roles) != 2 {
		t.Errorf("the role was assumed %d times", len(s.roles))
	}
}
