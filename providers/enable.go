package providers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/nearest"
)

// enableList is the variable that names providers.
const enableList = "MLFLOW_SECRETS_AUTH_ENABLE"

// enabledStores are those that the environment enables: at least one, or an error.
func enabledStores() ([]store, error) {
	listed, err := listedSlugs()
	if err != nil {
		return nil, err
	}
	var enabled []store
	for _, s := range stores {
		on := slices.Contains(listed, s.slug)
		if env.Get(s.enable) != "" { // the switch is nearer than the list
			if on, err = env.Bool(s.enable); err != nil {
				return nil, badConfig(err.Error(), "export "+s.enable+"=true")
			}
		}
		if on {
			enabled = append(enabled, s)
		}
	}
	if len(enabled) == 0 {
		return nil, badConfig("no provider is enabled", "export "+enableList+"=vault")
	}
	return enabled, nil
}

// listedSlugs reads the comma list. A name that is not known may be the one that
// was meant to hold the credential, so it is never skipped.
func listedSlugs() ([]string, error) {
	var listed []string
	for name := range strings.SplitSeq(env.Get(enableList), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" {
			continue
		}
		if !slices.Contains(Names(), name) {
			fix := "use one or more of " + strings.Join(Names(), ", ")
			if near := nearest.Of(name, Names()); near != "" {
				fix = fmt.Sprintf("did you mean %s? The choices are %s", near, strings.Join(Names(), ", "))
			}
			return nil, badConfig(fmt.Sprintf("%s names an unknown provider %.60q", enableList, name), fix)
		}
		listed = append(listed, name)
	}
	return listed, nil
}

// Names are the slugs of all providers, in order of priority. The slice is the
// caller's.
func Names() []string {
	all := make([]string, len(stores))
	for i, s := range stores {
		all[i] = s.slug
	}
	return all
}

func badConfig(summary, fix string) error {
	return &secretsauth.Error{Kind: secretsauth.ErrConfig, Summary: summary, Fix: fix}
}
