package vault_test

import (
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
)

func TestFieldsOfOtherNames(t *testing.T) {
	t.Parallel()
	faults.RenamedFields(t, func(t *testing.T, stored string, names secretsauth.Fields) secretsauth.Provider {
		s, _ := newStandin()
		s.secrets["secret/data/mlflow/auth"] = kv2(stored)
		cfg := s.config("secret/mlflow/auth")
		cfg.Fields = names
		return newProvider(t, cfg)
	})
}
