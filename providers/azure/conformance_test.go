package azure_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
	"github.com/mlflow-secrets-auth/secretsauth/providers/providertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, func(t *testing.T, client *http.Client) providertest.Fixture {
		s := newStandin()
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		p, err := azure.New(azure.Config{VaultURL: server.URL, SecretName: "mlflow-auth", HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		return providertest.Fixture{
			Provider: p,
			PutFields: func(fields map[string]string) {
				text, err := json.Marshal(fields)
				if err != nil {
					t.Fatal(err)
				}
				s.put(string(text))
			},
			PutText: s.put,
			Deny: func() {
				s.set(func(s *standin) { r := forbiddenByRBAC; s.refuse = &r })
			},
		}
	})
}
