package faults_test

import (
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

func TestEveryProviderIsInTheMatrix(t *testing.T) {
	t.Parallel()
	for _, slug := range providers.Names() {
		if stores[slug] == nil {
			t.Errorf("%s goes through no fault", slug)
		}
	}
}
