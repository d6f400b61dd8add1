package aws_test

import (
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
)

func TestFieldsOfOtherNames(t *testing.T) {
	t.Parallel()
	faults.RenamedFields(t, func(t *testing.T, stored string, names secretsauth.Fields) secretsauth.Provider {
		s, endpoint := newStandin(t)
		s.putText(stored)
		return provider(t, endpoint, func(c *aws.Config) { c.Fields = names })
	})
}
