package child_test

import (
	"slices"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/child"
	"github.com/mlflow-secrets-auth/secretsauth/internal/settings"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// Whatever opens a provider's store, and so is hidden by info, a child does not get
// where the credential comes from that store.
func TestEveryProvidersLoginsAreWithheld(t *testing.T) {
	t.Parallel()
	for _, slug := range providers.Names() {
		var ours, hidden []string
		for _, v := range settings.Of(slug) {
			if v.Kind == settings.Hidden {
				ours, hidden = append(ours, v.Name+"=x"), append(hidden, v.Name)
			}
		}
		if len(hidden) == 0 {
			t.Errorf("%s: the table of variables has no login", slug)
		}
		_, withheld, err := child.Environment{Authorization: "Bearer t", Stores: []string{slug}}.Of(ours)
		if err != nil || !slices.Equal(withheld, hidden) {
			t.Errorf("%s: withheld are %q, want %q; %v", slug, withheld, hidden, err)
		}
	}
}
