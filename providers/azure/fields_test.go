package azure_test

import (
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

func TestFieldsOfOtherNames(t *testing.T) {
	t.Parallel()
	faults.RenamedFields(t, func(t *testing.T, stored string, names secretsauth.Fields) secretsauth.Provider {
		s := newStandin()
		s.put(stored)
		return s.provider(t, func(c *azure.Config) { c.Fields = names })
	})
}
