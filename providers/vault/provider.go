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
	fields   secretsauth.Fields
	ttl      time.Duration
	mode     secretsauth.AuthMode

	// engine is where the secret was found, so that later reads need not ask.
	engine atomic.Pointer[engine]
}

var _ secretsauth.Provider = (*Provider)(nil)

// New checks cfg and returns a provider. It reads no environment variables but
// those of TLS, proxy and the like, named in the package's comment, and sends
// nothing. An error wraps [secretsauth.ErrConfig] and says all that is wrong.
func New(cfg Config) (*Provider, error) {
	t, how, err := cfg.check()
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
		fields:   cfg.Fields,
		ttl:      cfg.TTL,
		mode:     cfg.Mode,
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
	secret, err := p.newSession().fetch(ctx)
	if err != nil {
		return secretsauth.Secret{}, p.named(err)
	}
	return secret, nil
}

// session is one Fetch, or one look of a doctor.
type session struct {
	*Provider
	retries int // left, for all its requests

	checked *lease // the last token that was looked up, and what came out
	valid   bool

	last reading // for a doctor to tell
}

func (p *Provider) newSession() *session { return &session{Provider: p, retries: p.attempts - 1} }

func (s *session) fetch(ctx context.Context) (secretsauth.Secret, error) {
	var secret secretsauth.Secret
	err := s.withToken(ctx, func(token *lease) (err error) {
		secret, err = s.read(ctx, token)
		return err
	})
	if err != nil {
		return secretsauth.Secret{}, err
	}
	return secret.WithTTL(s.ttl).WithMode(s.mode), nil
}

// withToken does something with the token at hand. Vault says 403 to an expired
// token and to a missing policy alike, so a 403 is worth one new token and one
// more try, and no more than that (S126, S129).
func (s *session) withToken(ctx context.Context, do func(token *lease) error) error {
	token, err := s.login.token(ctx, s, nil)
	if err != nil {
		return err
	}
	err = do(token)
	if _, refused := errors.AsType[*refusal](err); !refused {
		return err
	}
	fresh, noLogin := s.login.token(ctx, s, token)
	if noLogin != nil {
		return noLogin
	}
	if fresh != token {
		err = do(fresh)
	}
	if refused, ok := errors.AsType[*refusal](err); ok {
		return s.denied(ctx, fresh, refused)
	}
	return err
}
