package child_test

import (
	"encoding/base64"
	"slices"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/child"
)

func basic(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }

func TestEnvironment(t *testing.T) {
	t.Parallel()
	const server = "https://mlflow.company.com"
	vault := []string{"vault"}
	aws := []string{
		"AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=key", "AWS_SESSION_TOKEN=session", "AWS_PROFILE=team", "AWS_REGION=eu-central-1",
	}
	tests := map[string]struct {
		e              child.Environment
		ours           []string
		want, withheld []string
	}{
		"a username and password": {
			e:    child.Environment{Authorization: basic("trainer:pass:word ")},
			want: []string{"MLFLOW_TRACKING_USERNAME=trainer", "MLFLOW_TRACKING_PASSWORD=pass:word "},
		},
		"a token": {
			e:    child.Environment{Authorization: "Bearer tok en"},
			want: []string{"MLFLOW_TRACKING_TOKEN=tok en"},
		},
		"what is there stays": {
			e:    child.Environment{Authorization: "Bearer t", Stores: vault},
			ours: []string{"PATH=/bin", "EMPTY=", "TWO=a=b", "=C:=C:\\", "VAULT_ADDR=https://vault", "MLFLOW_EXPERIMENT_NAME=x", "MLFLOW_TRACKING_SERVER_CERT_PATH=/ca"},
			want: []string{"PATH=/bin", "EMPTY=", "TWO=a=b", "=C:=C:\\", "VAULT_ADDR=https://vault", "MLFLOW_EXPERIMENT_NAME=x", "MLFLOW_TRACKING_SERVER_CERT_PATH=/ca",
				"MLFLOW_TRACKING_TOKEN=t"},
		},
		"other credentials for MLflow": {
			e: child.Environment{Authorization: "Bearer t", KeepLogins: true},
			ours: []string{
				"MLFLOW_TRACKING_URI=https://u:p@other", "MLFLOW_TRACKING_USERNAME=u", "MLFLOW_TRACKING_PASSWORD=p", "MLFLOW_TRACKING_TOKEN=old",
				"MLFLOW_TRACKING_AUTH=mlflow_secrets_auth", "MLFLOW_TRACKING_AWS_SIGV4=true", "Mlflow_Tracking_Auth=x",
			},
			want:     []string{"MLFLOW_TRACKING_TOKEN=t"},
			withheld: []string{"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4", "Mlflow_Tracking_Auth"},
		},
		"logins to stores": {
			e: child.Environment{Authorization: "Bearer t", Stores: vault},
			ours: []string{
				"VAULT_TOKEN=a", "VAULT_ROLE_ID=b", "VAULT_SECRET_ID=c", "AZURE_CLIENT_SECRET=d", "AZURE_CLIENT_CERTIFICATE_PASSWORD=e", "VAULT_MFA=",
				"AZURE_CLIENT_ID=id", "IDENTITY_HEADER=h",
			},
			want:     []string{"AZURE_CLIENT_ID=id", "IDENTITY_HEADER=h", "MLFLOW_TRACKING_TOKEN=t"},
			withheld: []string{"VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD"},
		},
		"logins to stores, kept": {
			e:    child.Environment{Authorization: "Bearer t", Stores: append(vault, "aws-secrets-manager"), KeepLogins: true},
			ours: append([]string{"VAULT_TOKEN=a", "AZURE_CLIENT_SECRET=d"}, aws...),
			want: append([]string{"VAULT_TOKEN=a", "AZURE_CLIENT_SECRET=d", "MLFLOW_TRACKING_TOKEN=t"}, aws...),
		},
		"AWS's keys, which are for S3": {
			e:    child.Environment{Authorization: "Bearer t", Stores: vault},
			ours: aws,
			want: append([]string{"MLFLOW_TRACKING_TOKEN=t"}, aws...),
		},
		"AWS's keys, which open the store": {
			e:        child.Environment{Authorization: "Bearer t", Stores: []string{"vault", "aws-secrets-manager"}},
			ours:     aws,
			want:     []string{"MLFLOW_TRACKING_TOKEN=t", "AWS_PROFILE=team", "AWS_REGION=eu-central-1"},
			withheld: []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"},
		},
		"Azure's managed identity, which opens the store": {
			e:        child.Environment{Authorization: "Bearer t", Stores: []string{"azure-key-vault"}},
			ours:     []string{"IDENTITY_HEADER=h", "IDENTITY_ENDPOINT=http://127.0.0.1/msi"},
			want:     []string{"MLFLOW_TRACKING_TOKEN=t", "IDENTITY_ENDPOINT=http://127.0.0.1/msi"},
			withheld: []string{"IDENTITY_HEADER"},
		},
		"further variables": {
			e:    child.Environment{Authorization: "Bearer t", Also: []string{"MLFLOW_REGISTRY_URI=http://127.0.0.1:5001"}},
			ours: []string{"MLFLOW_REGISTRY_URI=https://mlflow.company.com/"},
			want: []string{"MLFLOW_REGISTRY_URI=http://127.0.0.1:5001", "MLFLOW_TRACKING_TOKEN=t"},
		},
		"no proxy to pass by": {
			e:    child.Environment{Authorization: "Bearer t", Direct: "127.0.0.1"},
			ours: []string{"NO_PROXY=.company.com"},
			want: []string{"MLFLOW_TRACKING_TOKEN=t", "NO_PROXY=.company.com"},
		},
		"past the proxy": {
			e:    child.Environment{Authorization: "Bearer t", Direct: "127.0.0.1"},
			ours: []string{"HTTP_PROXY=http://proxy:3128", "NO_PROXY=.company.com"},
			want: []string{
				"MLFLOW_TRACKING_TOKEN=t", "HTTP_PROXY=http://proxy:3128",
				"NO_PROXY=.company.com,127.0.0.1", "no_proxy=.company.com,127.0.0.1",
			},
		},
		"past the proxy, the first time": {
			e:    child.Environment{Authorization: "Bearer t", Direct: "127.0.0.1"},
			ours: []string{"all_proxy=http://proxy:3128", "no_proxy="},
			want: []string{"MLFLOW_TRACKING_TOKEN=t", "all_proxy=http://proxy:3128", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1"},
		},
		"past the proxy already": {
			e:    child.Environment{Authorization: "Bearer t", Direct: "127.0.0.1"},
			ours: []string{"http_proxy=http://proxy:3128", "no_proxy=*"},
			want: []string{"MLFLOW_TRACKING_TOKEN=t", "http_proxy=http://proxy:3128", "no_proxy=*"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.e.TrackingURI = server
			got, withheld, err := test.e.Of(test.ours)
			if err != nil {
				t.Fatal(err)
			}
			want := append(test.want, "MLFLOW_TRACKING_URI="+server)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if !slices.Equal(withheld, test.withheld) {
				t.Errorf("withheld %q, want %q", withheld, test.withheld)
			}
		})
	}
}

func TestEnvironmentOfNoCredential(t *testing.T) {
	t.Parallel()
	for _, authorization := range []string{"", "Bearer ", "Digest x", "Basic !", basic("no colon")} {
		if got, _, err := (child.Environment{Authorization: authorization}).Of(nil); err == nil {
			t.Errorf("%q gives %q, want an error", authorization, got)
		}
	}
}
