// Package fields reads the names of the fields in which a stored JSON object holds a
// secret. All stores have the same.
package fields

import (
	"errors"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/headers"
)

// FromEnv reads the variables. [Check] says whether they can be used.
func FromEnv() secretsauth.Fields {
	return secretsauth.Fields{
		Token:    env.Get("MLFLOW_SECRETS_FIELD_TOKEN"),
		Username: env.Get("MLFLOW_SECRETS_FIELD_USERNAME"),
		Password: env.Get("MLFLOW_SECRETS_FIELD_PASSWORD"),
		Headers:  env.Get("MLFLOW_SECRETS_HEADERS"),
	}
}

// Check brings f, of that provider's configuration, into one form. An error wraps
// [secretsauth.ErrConfig], names the variable and repeats no value.
func Check(provider string, f *secretsauth.Fields) error {
	for _, name := range []*string{&f.Token, &f.Username, &f.Password, &f.Headers} {
		*name = strings.TrimSpace(*name)
	}
	if _, why := headers.List(f.Headers); why != "" {
		return &secretsauth.Error{Provider: provider, Kind: secretsauth.ErrConfig,
			Summary: "MLFLOW_SECRETS_HEADERS (Config.Fields.Headers) cannot be used: " + why, Fix: headers.ListFix}
	}
	return nil
}

// Explain returns what is wrong with a secret and how to mend it. storeIt is the store's
// own command for storing a token again. It would be the wrong advice if the fields have
// names of the user's, or if the headers are wrong: then the fix is the one of
// [secretsauth.Fields.Parse], which knows them.
func Explain(f secretsauth.Fields, err error, storeIt string) (summary, fix string) {
	cause, ok := errors.AsType[*secretsauth.Error](err)
	switch {
	case !ok:
		return secretsauth.ErrInvalidSecret.Error(), storeIt
	case f == secretsauth.Fields{} && strings.HasPrefix(cause.Fix, `store {"token":`):
		return cause.Summary, storeIt
	}
	return cause.Summary, cause.Fix
}
