package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
)

// name is the provider's slug.
const name = "vault"

// Provider reads one secret from Vault. It is safe for concurrent use and starts
// no goroutine of its own. It prints as its key.
type Provider struct {
	target   target
	client   *api.Client // holds no token: each request gets a copy that does
	timeout  time.Duration
	attempts int
	login    login
	ttl      time.Duration
	mode     secretsauth.AuthMode

	// engine is where the secret was found, so that later reads need not ask.
	engine atomic.Pointer[engine]
}

var _ secretsauth.Provider = (*Provider)(nil)

// New checks cfg and returns a provider. It reads no environment variables but
// those of TLS, proxy and the like, named in the package's comment, and sends
// nothing. An error wraps [secretsauth.ErrConfig].
func New(cfg Config) (*Provider, error) {
	t, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	mode, err := secretsauth.ParseAuthMode(string(cfg.Mode))
	if err != nil {
		return nil, badConfig("Config.Mode is not an auth mode", "use secretsauth.AuthBearer or AuthBasic, or leave it empty")
	}
	if cfg.TTL < 0 {
		return nil, badConfig("Config.TTL is negative", "leave it zero for the default")
	}
	how, err := cfg.newLogin()
	if err != nil {
		return nil, err
	}
	client, timeout, err := newClient(t, cfg.HTTPClient)
	if err != nil {
		return nil, err
	}
	return &Provider{
		target:   t,
		client:   client,
		timeout:  timeout,
		attempts: env.BoundAttempts(cfg.MaxAttempts),
		login:    how,
		ttl:      cfg.TTL,
		mode:     mode,
	}, nil
}

// Name returns "vault".
func (p *Provider) Name() string { return name }

// Key returns "vault:ADDRESS:PATH", with "?version=N" and "namespace=NS" where
// they are set.
func (p *Provider) Key() string { return p.target.key() }

// String is the key.
func (p *Provider) String() string { return p.Key() }

// Format writes the key for every verb.
func (p *Provider) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.Key()) }

// Fetch logs in if need be and reads the secret. Every error is a
// [*secretsauth.Error].
func (p *Provider) Fetch(ctx context.Context) (secretsauth.Secret, error) {
	secret, err := p.fetch(ctx)
	if err != nil {
		return secretsauth.Secret{}, p.named(err)
	}
	return secret.WithTTL(p.ttl).WithMode(p.mode), nil
}

// fetch reads with the token at hand. Vault says 403 to an expired token and to
// a missing policy alike, so a 403 is worth one new token and one more read, and
// no more than that (S126, S129).
func (p *Provider) fetch(ctx context.Context) (secretsauth.Secret, error) {
	s := &session{Provider: p, retries: p.attempts - 1}
	token, err := p.login.token(ctx, s, nil)
	if err != nil {
		return secretsauth.Secret{}, err
	}
	secret, err := s.read(ctx, token)
	if _, refused := errors.AsType[*refusal](err); !refused {
		return secret, err
	}
	fresh, err2 := p.login.token(ctx, s, token)
	if err2 != nil {
		return secretsauth.Secret{}, err2
	}
	if fresh != token {
		secret, err = s.read(ctx, fresh)
	}
	if refused, ok := errors.AsType[*refusal](err); ok {
		return secretsauth.Secret{}, s.denied(ctx, fresh, refused)
	}
	return secret, err
}

// session is one Fetch.
type session struct {
	*Provider
	retries int // left, for all its requests

	checked *lease // the last token that was looked up, and what came out
	valid   bool
}
