package doctor

import (
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/settings"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// The messages about a provider name the variables that are its.
func TestEveryProviderIsKnown(t *testing.T) {
	t.Parallel()
	for _, slug := range providers.Names() {
		if a := addresses[slug]; a.party == "" || a.address == "" || a.trust == "" {
			t.Errorf("%s: the variables of its address are missing: %+v", slug, a)
		}
		if ttlName(slug) == "" {
			t.Errorf("%s: the variable of its TTL is missing", slug)
		}
	}
	for _, v := range settings.All {
		if v.Name == "MLFLOW_WORKSPACE" {
			continue // MLflow has others of its own that begin so
		}
		for _, name := range []string{v.Name, v.Alias} {
			if strings.HasPrefix(name, "MLFLOW_") && !ours(name) {
				t.Errorf("a misspelt %s would not be noticed", name)
			}
		}
	}
}
