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
)

// name is the provider's slug.
const name = "azure-key-vault"

// Provider reads one secret from Key Vault. It is safe for concurrent use and
// starts no goroutine of its own. It prints as its key.
type Provider struct {
	target  target
	connect func() (*azsecrets.Client, error)
	client  atomic.Pointer[azsecrets.Client] // with the login in use; nil: to be made anew
	ttl     time.Duration
	mode    secretsauth.AuthMode
}

var _ secretsauth.Provider = (*Provider)(nil)

// New checks cfg and returns a provider. It reads the environment variables of
// the login, named in the package's comment, and sends nothing. An error wraps
// [secretsauth.ErrConfig].
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
	link := newLink(t, cfg)
	p := &Provider{target: t, connect: link.connect, ttl: cfg.TTL, mode: mode}
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
	client, err := p.current()
	if err != nil {
		return secretsauth.Secret{}, err
	}
	answer, seen, err := p.get(ctx, client)
	if stale(err) && ctx.Err() == nil {
		// A token can be revoked before its time, and a certificate's file be
		// replaced: one new login and one more read, and no more than that.
		p.client.CompareAndSwap(client, nil)
		if client, err = p.current(); err != nil {
			return secretsauth.Secret{}, err
		}
		answer, seen, err = p.get(ctx, client)
	}
	if failed, ok := errors.AsType[*loginError](err); ok && !errors.Is(failed.kind(), secretsauth.ErrUnavailable) {
		p.client.CompareAndSwap(client, nil) // the next Fetch looks at environment and files anew
	}
	if err != nil {
		return secretsauth.Secret{}, p.explain(ctx, seen, err)
	}
	secret, err := p.parse(answer, time.Now())
	if err != nil {
		return secretsauth.Secret{}, err
	}
	return secret.WithTTL(p.ttl).WithMode(p.mode), nil
}

func (p *Provider) get(ctx context.Context, client *azsecrets.Client) (azsecrets.Secret, *record, error) {
	ctx, seen := withRecord(ctx)
	answer, err := client.GetSecret(ctx, p.target.name, p.target.version, nil)
	return answer.Secret, seen, err
}

// stale reports whether a new login may help.
func stale(err error) bool {
	if failed, ok := errors.AsType[*loginError](err); ok {
		return errors.Is(failed.kind(), secretsauth.ErrDenied)
	}
	answered, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && answered.StatusCode == http.StatusUnauthorized
}

// current is the client in use, or a new one with a login of its own.
func (p *Provider) current() (*azsecrets.Client, error) {
	if client := p.client.Load(); client != nil {
		return client, nil
	}
	client, err := p.connect()
	if err != nil {
		return nil, p.named(err)
	}
	if !p.client.CompareAndSwap(nil, client) {
		return p.current()
	}
	return client, nil
}

// parse refuses a secret that must not be used by its attributes, whatever Key
// Vault itself does: it gives out expired ones.
func (p *Provider) parse(answer azsecrets.Secret, now time.Time) (secretsauth.Secret, error) {
	var expires time.Time
	if a := answer.Attributes; a != nil {
		if a.Enabled != nil && !*a.Enabled {
			return secretsauth.Secret{}, p.disabled()
		}
		if a.NotBefore != nil && now.Before(*a.NotBefore) {
			return secretsauth.Secret{}, p.invalid("is not valid before "+stamp(*a.NotBefore),
				"wait, check the machine's clock, or "+p.setAttributes("--not-before DATE"))
		}
		if a.Expires != nil {
			if expires = *a.Expires; !now.Before(expires) {
				return secretsauth.Secret{}, p.invalid("expired at "+stamp(expires), p.setSecret())
			}
		}
	}
	if answer.Value == nil {
		return secretsauth.Secret{}, p.invalid("has no value", p.setSecret())
	}
	secret, err := secretsauth.ParseSecret([]byte(*answer.Value))
	if cause, ok := errors.AsType[*secretsauth.Error](err); ok {
		return secretsauth.Secret{}, p.failure(secretsauth.ErrInvalidSecret, cause.Summary, p.setSecret(), nil)
	}
	return secret.WithExpiry(expires), nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
