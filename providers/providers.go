// Package providers chooses the secret manager by the environment, which is the
// same as that of the Python plugin mlflow-secrets-auth.
//
//	export MLFLOW_SECRETS_AUTH_ENABLE=vault
//
// or, for one provider at a time,
//
//	export MLFLOW_SECRETS_AUTH_ENABLE_VAULT=true
//
// The first variable is a comma list of slugs: vault, aws-secrets-manager,
// azure-key-vault. The switches MLFLOW_SECRETS_AUTH_ENABLE_VAULT,
// …_AWS_SECRETS_MANAGER and …_AZURE_KEY_VAULT add to it; a switch that is set to
// false takes its provider out of the list. Each provider has variables of its
// own, described by its package.
//
// Several enabled providers form a chain, in the order above whatever the order
// of the list. At every read the first that answers is used: if a read of one
// fails the next is tried, and the first again at the next refresh. Each has its
// own time for a read, its own mode and its own TTL. For a provider that is
// enabled and not configured there is a warning in the log of [log/slog.Default],
// as long as another is.
//
// A program that wants one particular store imports its package instead, such as
// providers/vault, and links no other store's SDK.
package providers

import (
	"context"
	"net/http"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

// store is one secret manager that the environment may enable.
type store struct {
	slug   string
	enable string // the variable that switches it on or off
	build  func(context.Context) (secretsauth.Provider, error)
}

// stores are all there are, in order of priority.
var stores = []store{
	{"vault", "MLFLOW_SECRETS_AUTH_ENABLE_VAULT", newVault},
	{"aws-secrets-manager", "MLFLOW_SECRETS_AUTH_ENABLE_AWS_SECRETS_MANAGER", newAWS},
	{"azure-key-vault", "MLFLOW_SECRETS_AUTH_ENABLE_AZURE_KEY_VAULT", newAzure},
}

func newVault(context.Context) (secretsauth.Provider, error) {
	cfg, err := vault.ConfigFromEnv()
	if err != nil {
		return nil, err
	}
	return made(vault.New(cfg))
}

func newAWS(context.Context) (secretsauth.Provider, error) {
	cfg, err := aws.ConfigFromEnv()
	if err != nil {
		return nil, err
	}
	return made(aws.New(cfg))
}

func newAzure(context.Context) (secretsauth.Provider, error) {
	cfg, err := azure.ConfigFromEnv()
	if err != nil {
		return nil, err
	}
	return made(azure.New(cfg))
}

// made keeps a nil pointer from becoming a provider that is not nil.
func made[P secretsauth.Provider](p P, err error) (secretsauth.Provider, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}

// FromEnv returns the provider that the environment enables, or the chain of them. It
// is safe for concurrent use. Variables are read, and what files a vendor's client
// needs; no secret is fetched and nothing is sent. An error wraps
// [secretsauth.ErrConfig]: none is enabled, or none of those enabled can be used, with
// all that is wrong.
func FromEnv(ctx context.Context) (secretsauth.Provider, error) {
	enabled, err := enabledStores()
	if err != nil {
		return nil, err
	}
	var usable []secretsauth.Provider
	var unusable []error
	for _, s := range enabled {
		if p, err := s.build(ctx); err != nil {
			unusable = append(unusable, err)
		} else {
			usable = append(usable, p)
		}
	}
	if len(usable) == 0 {
		return nil, env.Problems(unusable...)
	}
	for _, err := range unusable {
		env.Logger().WarnContext(ctx, "Provider enabled but not usable", "used", usable[0].Name(), "error", err.Error())
	}
	if len(usable) == 1 {
		return usable[0], nil
	}
	return &chain{stores: usable, log: env.Logger()}, nil
}

// TransportFromEnv returns a transport around base (nil: [http.DefaultTransport])
// with the provider of [FromEnv] and the settings of
// [secretsauth.ConfigFromEnv]. No secret is fetched yet: see
// [secretsauth.Transport.Warm]. An error wraps [secretsauth.ErrConfig].
func TransportFromEnv(ctx context.Context, base http.RoundTripper) (*secretsauth.Transport, error) {
	p, err := FromEnv(ctx)
	if err != nil {
		return nil, err
	}
	cfg, err := secretsauth.ConfigFromEnv()
	if err != nil {
		return nil, err
	}
	cfg.Base = base
	return secretsauth.NewTransport(p, cfg)
}

// Enabled is one secret manager that the environment enables.
type Enabled struct {
	Name     string               // slug
	Provider secretsauth.Provider // nil, if it cannot be used
	Err      error                // why not; wraps [secretsauth.ErrConfig]
}

// EachFromEnv returns every provider that the environment enables, in order of
// priority and each on its own, those included that cannot be used as configured: for
// programs that look at them one by one. An error wraps [secretsauth.ErrConfig]: none
// is enabled, or what enables them cannot be read.
func EachFromEnv(ctx context.Context) ([]Enabled, error) {
	enabled, err := enabledStores()
	if err != nil {
		return nil, err
	}
	each := make([]Enabled, len(enabled))
	for i, s := range enabled {
		p, err := s.build(ctx)
		each[i] = Enabled{Name: s.slug, Provider: p, Err: err}
	}
	return each, nil
}
