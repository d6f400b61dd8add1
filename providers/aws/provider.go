package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// name is the provider's slug.
const name = "aws-secrets-manager"

// Provider reads one secret from Secrets Manager. It is safe for concurrent use.
// It prints as its key.
type Provider struct {
	target target
	region string
	role   string // to assume, or ""
	ttl    time.Duration
	mode   secretsauth.AuthMode

	client   atomic.Pointer[secretsmanager.Client] // nil: none had credentials
	renewing sync.Mutex
	connect  func() (*secretsmanager.Client, error) // with credentials looked for anew
}

var _ secretsauth.Provider = (*Provider)(nil)

// New checks cfg and returns a provider. It reads the SDK's environment variables
// and shared files, and sends nothing. An error wraps [secretsauth.ErrConfig].
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
	sdk, err := cfg.load(t)
	if err != nil {
		return nil, err
	}
	t.region = sdk.Region // for good, whatever the profile says later
	via := cfg.httpClient(sdk)
	p := &Provider{target: t, region: t.region, role: strings.TrimSpace(cfg.RoleARN), ttl: cfg.TTL, mode: mode}
	p.connect = func() (*secretsmanager.Client, error) {
		sdk, err := cfg.load(t)
		if err != nil {
			return nil, err
		}
		return cfg.connect(sdk, via), nil
	}
	p.client.Store(cfg.connect(sdk, via))
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
	client, err := p.current()
	if err != nil {
		return secretsauth.Secret{}, err
	}
	out, err := p.get(ctx, client)
	if err != nil && rejected[codeOf(err)] && ctx.Err() == nil {
		// Credentials can be revoked before the time they were given, and files be
		// renewed by other programs.
		if fresh, failed := p.renew(client); failed == nil {
			client = fresh
			out, err = p.get(ctx, client)
		}
	}
	if err != nil {
		if _, none := errors.AsType[*sourceError](err); none {
			p.client.CompareAndSwap(client, nil) // look again at the next read
		}
		return secretsauth.Secret{}, p.explain(ctx, err)
	}
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
	secret, err := secretsauth.ParseSecret(raw)
	if err != nil {
		summary := secretsauth.ErrInvalidSecret.Error()
		if cause, ok := errors.AsType[*secretsauth.Error](err); ok {
			summary = cause.Summary
		}
		return secretsauth.Secret{}, p.failure(secretsauth.ErrInvalidSecret, summary, p.putFix("store it again"), nil)
	}
	return secret.WithTTL(p.ttl).WithMode(p.mode), nil
}

func (p *Provider) current() (*secretsmanager.Client, error) {
	if client := p.client.Load(); client != nil {
		return client, nil
	}
	return p.renew(nil)
}

// renew looks for credentials anew, once for all whose client was used.
func (p *Provider) renew(used *secretsmanager.Client) (*secretsmanager.Client, error) {
	p.renewing.Lock()
	defer p.renewing.Unlock()
	if client := p.client.Load(); client != used && client != nil {
		return client, nil
	}
	fresh, err := p.connect()
	if err != nil {
		return nil, err
	}
	p.client.Store(fresh)
	return fresh, nil
}

func (p *Provider) get(ctx context.Context, client *secretsmanager.Client) (*secretsmanager.GetSecretValueOutput, error) {
	in := &secretsmanager.GetSecretValueInput{SecretId: &p.target.name}
	switch {
	case p.target.byID:
		in.VersionId = &p.target.version
	case p.target.version != "":
		in.VersionStage = &p.target.version
	}
	return client.GetSecretValue(ctx, in)
}
