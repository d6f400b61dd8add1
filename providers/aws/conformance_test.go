package aws_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
	"github.com/mlflow-secrets-auth/secretsauth/providers/providertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, func(t *testing.T, client *http.Client) providertest.Fixture {
		s, endpoint := newStandin(t)
		return providertest.Fixture{
			Provider: provider(t, endpoint, func(c *aws.Config) { c.HTTPClient = client }),
			PutFields: func(fields map[string]string) {
				text, err := json.Marshal(fields)
				if err != nil {
					t.Fatal(err)
				}
				s.putText(string(text))
			},
			PutText:   s.putText,
			PutBinary: s.putBinary,
			Deny: func() {
				s.set(func(s *standin) {
					s.fail = &failure{status: http.StatusBadRequest, code: "AccessDeniedException", text: deniedText}
				})
			},
		}
	})
}
