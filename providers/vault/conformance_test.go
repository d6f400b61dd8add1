package vault_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/providertest"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, func(t *testing.T, client *http.Client) providertest.Fixture {
		token := canary.New()
		s := &standin{
			mounts:  map[string]string{"secret": "2"},
			secrets: map[string]reply{},
			tokens:  map[string][]string{token: {"*"}},
		}
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		p, err := vault.New(vault.Config{Address: server.URL, SecretPath: "secret/mlflow/auth", Token: token, HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		return providertest.Fixture{
			Provider: p,
			PutFields: func(fields map[string]string) {
				data, err := json.Marshal(fields)
				if err != nil {
					t.Fatal(err)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				s.secrets["secret/data/mlflow/auth"] = kv2(string(data))
			},
			Deny: func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.tokens[token] = []string{"another/path"}
			},
		}
	})
}
