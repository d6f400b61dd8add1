package settings_test

import (
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/settings"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// A provider that is forgotten here has no line in info, in the reference of the
// variables, and among the names that doctor knows.
func TestEveryProviderIsInTheTable(t *testing.T) {
	t.Parallel()
	slugs := map[string]bool{"": true}
	list, _ := settings.Find("MLFLOW_SECRETS_AUTH_ENABLE")
	for _, slug := range providers.Names() {
		slugs[slug] = true
		if !strings.Contains(list.Meaning, slug) {
			t.Errorf("%s: MLFLOW_SECRETS_AUTH_ENABLE does not name it", slug)
		}
		name := "MLFLOW_SECRETS_AUTH_ENABLE_" + strings.ToUpper(strings.ReplaceAll(slug, "-", "_"))
		if _, ok := settings.Find(name); !ok {
			t.Errorf("%s: no %s", slug, name)
		}
		for _, end := range []string{"_TTL_SEC", "_AUTH_MODE"} {
			count := 0
			for _, v := range settings.Of(slug) {
				if strings.HasPrefix(v.Name, "MLFLOW_") && strings.HasSuffix(v.Name, end) {
					count++
				}
			}
			if count != 1 {
				t.Errorf("%s: %d variables MLFLOW_…%s, want 1", slug, count, end)
			}
		}
	}
	for _, v := range settings.All {
		if !slugs[v.Provider] {
			t.Errorf("%s is of %q, which is no provider", v.Name, v.Provider)
		}
	}
}
