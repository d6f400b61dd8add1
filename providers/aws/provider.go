package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
)

// name is the provider's slug.
const name = "aws-secrets-manager"

// Provider reads one secret from Secrets Manager. It is safe for concurrent use.
// It prints as its key.
type Provider struct {
	target  target
	region  string
	role    string // to assume, or ""
	client  *secretsmanager.Client
	expired interface{ Invalidate() } // the credentials, to be fetched anew
	ttl     time.Duration
	mode    secretsauth.AuthMode
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
	endpoint := strings.TrimSpace(cfg.Endpoint)
	p := &Provider{target: t, region: sdk.Region, role: strings.TrimSpace(cfg.RoleARN), ttl: cfg.TTL, mode: mode}
	if p.role != "" {
		client := sts.NewFromConfig(sdk, func(o *sts.Options) { o.BaseEndpoint = orElse(endpoint, o.BaseEndpoint) })
		sdk.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(client, p.role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "mlflow-secrets-auth"
			if session := strings.TrimSpace(cfg.RoleSessionName); session != "" {
				o.RoleSessionName = session
			}
			if id := strings.TrimSpace(cfg.ExternalID); id != "" {
				o.ExternalID = &id
			}
		}), func(o *aws.CredentialsCacheOptions) {
			// Credentials must not expire on their way to AWS.
			o.ExpiryWindow, o.ExpiryWindowJitterFrac = time.Minute, 0.5
		})
	}
	p.expired, _ = sdk.Credentials.(interface{ Invalidate() })
	p.client = secretsmanager.NewFromConfig(sdk, func(o *secretsmanager.Options) { o.BaseEndpoint = orElse(endpoint, o.BaseEndpoint) })
	return p, nil
}

func orElse(text string, other *string) *string {
	if text == "" {
		return other
	}
	return &text
}

// load brings together what the SDK needs. Its own errors quote files.
func (c Config) load(t target) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = env.BoundAttempts(c.MaxAttempts)
				o.Backoff = retry.BackoffDelayerFunc(backoff)
			})
		}),
		config.WithLogger(logging.Nop{}),
		config.WithClientLogMode(0), // it can log bodies (S133)
	}
	if t.region != "" {
		options = append(options, config.WithRegion(t.region))
	}
	if profile := strings.TrimSpace(c.Profile); profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	sdk, err := config.LoadDefaultConfig(context.Background(), options...)
	if err != nil {
		if missing, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
			return aws.Config{}, badConfig(fmt.Sprintf("there is no profile %q in the shared AWS files", missing.Profile),
				"see those there are with `aws configure list-profiles` and correct AWS_PROFILE")
		}
		return aws.Config{}, badConfig("the AWS SDK refuses its environment or shared files",
			"check ~/.aws/config, ~/.aws/credentials, AWS_CA_BUNDLE and the other AWS_ variables with `aws configure list`")
	}
	if sdk.Region == "" {
		return aws.Config{}, badConfig("AWS_REGION is not set, and neither the secret's name nor the profile has a region", "export AWS_REGION=eu-central-1")
	}
	if c.HTTPClient != nil {
		// Not before: the SDK refuses a client of ours where AWS_CA_BUNDLE is set.
		client := *c.HTTPClient
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		sdk.HTTPClient = &client
	}
	return sdk, nil
}

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 2 * time.Second
)

// backoff is half to one and a half of a pause that doubles.
func backoff(attempt int, _ error) (time.Duration, error) {
	pause := min(firstPause<<min(max(attempt-1, 0), 10), maxPause)
	return pause/2 + rand.N(pause), nil
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
	out, err := p.get(ctx)
	if err != nil && stale(err) && p.expired != nil {
		// Credentials can be revoked before the time they were given.
		p.expired.Invalidate()
		out, err = p.get(ctx)
	}
	if err != nil {
		return secretsauth.Secret{}, p.explain(ctx, err)
	}
	var raw []byte
	switch {
	case out.SecretString != nil:
		raw = []byte(*out.SecretString)
	case out.SecretBinary != nil:
		raw = out.SecretBinary // decoded by the SDK
	default:
		return secretsauth.Secret{}, p.failure(secretsauth.ErrInvalidSecret, "the secret has no value", p.putFix(), nil)
	}
	secret, err := secretsauth.ParseSecret(raw)
	if cause, ok := errors.AsType[*secretsauth.Error](err); ok {
		return secretsauth.Secret{}, p.failure(secretsauth.ErrInvalidSecret, cause.Summary, p.putFix(), nil)
	}
	return secret.WithTTL(p.ttl).WithMode(p.mode), nil
}

func (p *Provider) get(ctx context.Context) (*secretsmanager.GetSecretValueOutput, error) {
	in := &secretsmanager.GetSecretValueInput{SecretId: &p.target.name}
	switch {
	case p.target.byID:
		in.VersionId = &p.target.version
	case p.target.version != "":
		in.VersionStage = &p.target.version
	}
	return p.client.GetSecretValue(ctx, in)
}

func (p *Provider) putFix() string {
	return fmt.Sprintf(`store it again: aws secretsmanager put-secret-value --region %s --secret-id %s --secret-string '{"token":"…"}'`, p.region, p.target.name)
}
