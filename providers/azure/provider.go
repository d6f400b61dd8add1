package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/fields"
)

// name is the provider's slug.
const name = "azure-key-vault"

// Provider reads one secret from Key Vault. It is safe for concurrent use and
// starts no goroutine of its own. It prints as its key.
type Provider struct {
	target  target
	link    *link
	session atomic.Pointer[session] // with the login in use; nil: to be made anew
	fields  secretsauth.Fields
	ttl     time.Duration
	mode    secretsauth.AuthMode
}

var _ secretsauth.Provider = (*Provider)(nil)

// New checks cfg and returns a provider. It reads the environment variables of
// the login, named in the package's comment, and sends nothing. An error wraps
// [secretsauth.ErrConfig] and names every problem.
func New(cfg Config) (*Provider, error) {
	t, err := cfg.check()
	if err != nil {
		return nil, err
	}
	p := &Provider{target: t, link: newLink(t, cfg), fields: cfg.Fields, ttl: cfg.TTL, mode: cfg.Mode}
	if _, err := p.current(); err != nil {
		return nil, err
	}
	return p, nil
}

// Name returns "azure-key-vault".
func (p *Provider) Name() string { return name }

// Key returns "azure-key-vault:VAULT_URL:NAME", with "?version=…" where it is set.
func (p *Provider) Key() string { return p.target.key() }

// String is the key.
func (p *Provider) String() string { return p.Key() }

// Format writes the key for every verb.
func (p *Provider) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.Key()) }

// Fetch logs in if need be and reads the secret. Every error is a
// [*secretsauth.Error].
func (p *Provider) Fetch(ctx context.Context) (secretsauth.Secret, error) {
	r := p.read(ctx)
	if r.err != nil {
		return secretsauth.Secret{}, r.err
	}
	if err := p.usable(r.answer.Attributes, time.Now()); err != nil {
		return secretsauth.Secret{}, err
	}
	return p.credential(r.answer)
}

// reading is what came of a read.
type reading struct {
	session *session // nil: none could be made
	grant   *grant   // of the token, as far as Key Vault does not refuse it
	answer  azsecrets.Secret
	err     error // a [*secretsauth.Error]
}

// read logs in if need be and asks for the secret.
func (p *Provider) read(ctx context.Context) reading {
	s, err := p.current()
	if err != nil {
		return reading{err: err}
	}
	answer, seen, err := s.get(ctx, p.target, false)
	if stale(err) && ctx.Err() == nil {
		// A token can be revoked before its time, and a certificate's file be
		// replaced: one new login and one more read, and no more than that.
		p.session.CompareAndSwap(s, nil)
		if s, err = p.current(); err != nil {
			return reading{err: err}
		}
		answer, seen, err = s.get(ctx, p.target, true)
	}
	failed, atLogin := errors.AsType[*loginError](err)
	if atLogin && !errors.Is(failed.kind(), secretsauth.ErrUnavailable) {
		p.session.CompareAndSwap(s, nil) // the next read looks at environment and files anew
	}
	r := reading{session: s, answer: answer}
	if !atLogin && !stale(err) {
		r.grant = s.login.granted.Load()
	}
	if err != nil {
		r.err = p.explain(ctx, seen, err)
	}
	return r
}

// stale reports whether a new login may help.
func stale(err error) bool {
	if failed, ok := errors.AsType[*loginError](err); ok {
		return errors.Is(failed.kind(), secretsauth.ErrDenied)
	}
	answered, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && answered.StatusCode == http.StatusUnauthorized
}

// current is the session in use, or a new one.
func (p *Provider) current() (*session, error) {
	if s := p.session.Load(); s != nil {
		return s, nil
	}
	s, err := p.link.connect()
	if err != nil {
		return nil, p.named(err)
	}
	if !p.session.CompareAndSwap(nil, s) {
		return p.current()
	}
	return s, nil
}

// usable refuses a secret by its attributes, whatever Key Vault itself does: it
// gives out expired ones.
func (p *Provider) usable(a *azsecrets.SecretAttributes, now time.Time) error {
	switch {
	case a == nil:
	case a.Enabled != nil && !*a.Enabled:
		return p.disabled()
	case a.NotBefore != nil && now.Before(*a.NotBefore):
		return p.invalid("is not valid before "+stamp(*a.NotBefore),
			"wait, check the machine's clock, or "+p.setAttributes("--not-before DATE"))
	case a.Expires != nil && !now.Before(*a.Expires):
		return p.invalid("expired at "+stamp(*a.Expires), p.setSecret())
	}
	return nil
}

// credential makes of the value what goes to the server.
func (p *Provider) credential(answer azsecrets.Secret) (secretsauth.Secret, error) {
	if answer.Value == nil {
		return secretsauth.Secret{}, p.invalid("has no value", p.setSecret())
	}
	secret, err := p.fields.Parse([]byte(*answer.Value))
	if err != nil {
		summary, fix := fields.Explain(p.fields, err, p.setSecret())
		return secretsauth.Secret{}, p.failure(secretsauth.ErrInvalidSecret, summary, fix, nil)
	}
	if a := answer.Attributes; a != nil && a.Expires != nil {
		secret = secret.WithExpiry(*a.Expires)
	}
	return secret.WithTTL(p.ttl).WithMode(p.mode), nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
