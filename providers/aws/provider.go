package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/fields"
)

// name is the provider's slug.
const name = "aws-secrets-manager"

// Provider reads one secret from Secrets Manager. It is safe for concurrent use.
// It prints as its key.
type Provider struct {
	target target
	region string
	role   string // to assume, or ""
	fields secretsauth.Fields
	ttl    time.Duration
	mode   secretsauth.AuthMode

	via      *http.Client
	session  atomic.Pointer[session] // nil: none had credentials
	renewing sync.Mutex
	connect  func() (*session, error) // with credentials looked for anew
}

var _ secretsauth.Provider = (*Provider)(nil)

// New checks cfg and returns a provider. It reads the SDK's environment variables
// and shared files, and sends nothing. An error wraps [secretsauth.ErrConfig].
func New(cfg Config) (*Provider, error) {
	t, sdk, err := cfg.check()
	if err != nil {
		return nil, err
	}
	t.region = sdk.Region // for good, whatever the profile says later
	via := cfg.httpClient(sdk)
	p := &Provider{target: t, region: t.region, role: strings.TrimSpace(cfg.RoleARN), fields: cfg.Fields, ttl: cfg.TTL, mode: cfg.Mode, via: via}
	p.connect = func() (*session, error) {
		sdk, err := cfg.load(t)
		if err != nil {
			return nil, err
		}
		return cfg.connect(sdk, via), nil
	}
	p.session.Store(cfg.connect(sdk, via))
	return p, nil
}

// Name returns "aws-secrets-manager".
func (p *Provider) Name() string { return name }

// Key returns "aws-secrets-manager:REGION:NAME", with "?version=…" where it is
// set.
func (p *Provider) Key() string { return p.target.key(p.region) }

// String is the key.
func (p *Provider) String() string { return p.Key() }

// Format writes the key for every verb.
func (p *Provider) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.Key()) }

// Fetch reads the secret. Every error is a [*secretsauth.Error].
func (p *Provider) Fetch(ctx context.Context) (secretsauth.Secret, error) {
	out, err := with(ctx, p, p.get)
	if err != nil {
		return secretsauth.Secret{}, p.explain(ctx, err)
	}
	return p.parse(out)
}

// with calls AWS. When AWS does not accept the credentials they are looked for
// anew, and it is called once more: they can be revoked before the time they were
// given, and files be renewed by other programs.
func with[T any](ctx context.Context, p *Provider, call func(context.Context, *session) (T, error)) (T, error) {
	s, err := p.current()
	if err != nil {
		var none T
		return none, err
	}
	out, err := call(ctx, s)
	if err != nil && rejected[codeOf(err)] && ctx.Err() == nil {
		if fresh, failed := p.renew(s); failed == nil {
			s = fresh
			out, err = call(ctx, s)
		}
	}
	if _, none := errors.AsType[*sourceError](err); none {
		p.session.CompareAndSwap(s, nil) // look again at the next call
	}
	return out, err
}

func (p *Provider) current() (*session, error) {
	if s := p.session.Load(); s != nil {
		return s, nil
	}
	return p.renew(nil)
}

// renew looks for credentials anew, once for all whose session was used.
func (p *Provider) renew(used *session) (*session, error) {
	p.renewing.Lock()
	defer p.renewing.Unlock()
	if s := p.session.Load(); s != used && s != nil {
		return s, nil
	}
	fresh, err := p.connect()
	if err != nil {
		return nil, err
	}
	p.session.Store(fresh)
	return fresh, nil
}

func (p *Provider) get(ctx context.Context, s *session) (*secretsmanager.GetSecretValueOutput, error) {
	in := &secretsmanager.GetSecretValueInput{SecretId: &p.target.name}
	switch {
	case p.target.byID:
		in.VersionId = &p.target.version
	case p.target.version != "":
		in.VersionStage = &p.target.version
	}
	return s.secrets.GetSecretValue(ctx, in)
}

// parse takes the credential from what was read.
func (p *Provider) parse(out *secretsmanager.GetSecretValueOutput) (secretsauth.Secret, error) {
	var raw []byte
	switch {
	case out.SecretString != nil:
		raw = []byte(*out.SecretString)
	case out.SecretBinary != nil:
		raw = out.SecretBinary // decoded by the SDK
	case out.ARN == nil && out.Name == nil:
		return secretsauth.Secret{}, p.noAnswer()
	default:
		return secretsauth.Secret{}, p.failure(secretsauth.ErrInvalidSecret, "the secret has no value", p.putFix("store it again"), nil)
	}
	secret, err := p.fields.Parse(raw)
	if err != nil {
		summary, fix := fields.Explain(p.fields, err, p.putFix("store it again"))
		return secretsauth.Secret{}, p.failure(secretsauth.ErrInvalidSecret, summary, fix, nil)
	}
	return secret.WithTTL(p.ttl).WithMode(p.mode), nil
}
