package aws_test

import (
	"crypto/sha1" //nolint:gosec // the SDK names its files by it
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
)

// giver gives credentials as the SDK's sources do: IMDS, the agents of containers and
// pods, and SSO.
func giver(key, token string) http.Handler {
	credentials := fmt.Sprintf(`{"Code":"Success","Type":"AWS-HMAC","LastUpdated":"2026-01-01T00:00:00Z","AccessKeyId":"ASIAGIVEN","SecretAccessKey":%q,"Token":%q,"Expiration":"2099-01-01T00:00:00Z"}`, key, token)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
			_, _ = io.WriteString(w, token)
		case "/latest/meta-data/iam/security-credentials/":
			_, _ = io.WriteString(w, "trainer")
		case "/federation/credentials":
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"roleCredentials":{"accessKeyId":"ASIAGIVEN","secretAccessKey":%q,"sessionToken":%q,"expiration":4070908800000}}`, key, token)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, credentials)
		}
	})
}

// Whatever AWS, or what stands in front of it, sends besides its answers: Secrets
// Manager, STS, and each source of credentials that the SDK asks with clients of its own.
// Not parallel: the sources are set by the environment.
func TestF2F3WhatAWSSendsUnaskedIsNotPrinted(t *testing.T) {
	const start = "https://company.awsapps.com/start"
	file := func(s *faults.Stage, text string) string { return write(s.T, filepath.Join(s.TempDir(), "file"), text) }
	everywhere, plain := []string{"TCP", "TLS 1.2", "TLS 1.3"}, []string{"TCP"}
	for _, source := range []struct {
		name  string
		links []string
		// set chooses the source, which is at address unless it is AWS itself.
		set func(s *faults.Stage, address string, cfg *aws.Config)
		aws bool // Secrets Manager and STS are odd
	}{
		{"keys", everywhere, func(s *faults.Stage, _ string, _ *aws.Config) {
			s.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
			s.Setenv("AWS_SECRET_ACCESS_KEY", keyOfTheTests)
		}, true},
		{"an assumed role", everywhere, func(s *faults.Stage, _ string, cfg *aws.Config) {
			s.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
			s.Setenv("AWS_SECRET_ACCESS_KEY", keyOfTheTests)
			cfg.RoleARN = "arn:aws:iam::123456789012:role/reader"
		}, true},
		{"a profile's role", everywhere, func(s *faults.Stage, _ string, _ *aws.Config) {
			s.Setenv("AWS_CONFIG_FILE", file(s, "[default]\nrole_arn = arn:aws:iam::123456789012:role/reader\nsource_profile = keys\n"+
				"[profile keys]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = "+keyOfTheTests+"\n"))
		}, true},
		{"a web identity", everywhere, func(s *faults.Stage, _ string, _ *aws.Config) {
			token := canary.New()
			s.Hide(token)
			s.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
			s.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file(s, token))
		}, true},
		{"SSO", everywhere, func(s *faults.Stage, address string, _ *aws.Config) {
			home, token := s.TempDir(), canary.New()
			s.Hide(token)
			s.Setenv("HOME", home)
			s.Setenv("AWS_ENDPOINT_URL_SSO", address)
			s.Setenv("AWS_CONFIG_FILE", file(s, "[default]\nsso_start_url = "+start+"\nsso_region = eu-central-1\nsso_account_id = 123456789012\nsso_role_name = reader\n"))
			sum := sha1.Sum([]byte(start)) //nolint:gosec // as above
			write(s.T, filepath.Join(home, ".aws/sso/cache", hex.EncodeToString(sum[:])+".json"),
				`{"startUrl":"`+start+`","region":"eu-central-1","accessToken":"`+token+`","expiresAt":"2099-01-01T00:00:00Z"}`)
		}, false},
		{"IMDS", plain, func(s *faults.Stage, address string, _ *aws.Config) {
			s.Setenv("AWS_EC2_METADATA_DISABLED", "")
			s.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", address)
		}, false},
		{"a container's agent (ECS)", plain, func(s *faults.Stage, address string, _ *aws.Config) {
			token := canary.New()
			s.Hide(token)
			s.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address+"/v2/credentials")
			s.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", token)
		}, false},
		{"a pod's agent (EKS)", plain, func(s *faults.Stage, address string, _ *aws.Config) {
			token := canary.New()
			s.Hide(token)
			s.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address+"/v1/credentials")
			s.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file(s, token))
		}, false},
	} {
		t.Run(source.name, func(t *testing.T) {
			faults.EverySurplus(t, source.links, faults.Surpluses(), func(stage *faults.Stage) {
				s, address := newStandin(stage.T)
				secret, key, token := canary.New(), canary.New(), canary.New()
				s.putText(secret)
				withoutKeys(stage.T)
				stage.Hide(keyOfTheTests, keyOfRoles, sessions)

				// One of the two is odd: the source, or all else.
				odd := http.Handler(s)
				if !source.aws {
					odd = giver(key, token)
				}
				peer := stage.Start(odd, secret, key, token)
				cfg := aws.Config{SecretName: "mlflow/auth", Region: "eu-central-1", Endpoint: address, MaxAttempts: 1}
				if source.aws {
					cfg.Endpoint = peer.URL
				}
				if peer.Certificate() != nil {
					stage.Setenv("AWS_CA_BUNDLE", write(stage.T, filepath.Join(stage.TempDir(), "ca.pem"),
						string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: peer.Certificate().Raw}))))
				}
				source.set(stage, peer.URL, &cfg)
				p, err := aws.New(cfg)
				if err != nil {
					stage.Fatal(err)
				}
				for range 3 {
					got, err := netted{p}.Fetch(faults.Hesitate(stage.Context()))
					if read, _ := got.Token(); !stage.Surplus.Spoils() && read != secret {
						stage.Errorf("the secret is not read: %v", err)
					}
				}
				for _, step := range p.Inspect(inspect.Options{Regions: []string{"us-east-1"}}).Steps {
					step.Look(faults.Hesitate(stage.Context()))
				}
			})
		})
	}
}

// A client that is handed in is used for Secrets Manager and STS, and keeps no
// connection either.
func TestF2AClientThatIsHandedInKeepsNoConnectionToAWS(t *testing.T) {
	t.Parallel()
	faults.EverySurplus(t, []string{"TCP"}, faults.Surpluses(), func(stage *faults.Stage) {
		stage.Parallel()
		s, _ := newStandin(stage.T)
		secret := canary.New()
		s.putText(secret)
		peer := stage.Start(s, secret, keyOfTheTests, keyOfRoles, sessions)
		handedIn := &http.Client{Transport: new(http.Transport)}
		p := provider(stage.T, peer.URL, func(c *aws.Config) {
			c.HTTPClient, c.MaxAttempts, c.RoleARN = handedIn, 1, "arn:aws:iam::123456789012:role/reader"
		})
		for range 3 {
			got, err := p.Fetch(faults.Hesitate(stage.Context()))
			if read, _ := got.Token(); !stage.Surplus.Spoils() && read != secret {
				stage.Errorf("the secret is not read: %v", err)
			}
		}
		if !strings.HasPrefix(fmt.Sprintf("%T", handedIn.Transport), "*http.") {
			stage.Error("the caller's client was changed")
		}
	})
}
