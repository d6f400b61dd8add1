package aws

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

// requestTimeout bounds one request, inside the context. Requests for credentials
// need a bound of their own: they are shared, and so outlive the context of the
// Fetch that began them.
const requestTimeout = 5 * time.Second

// endpoint is Config.Endpoint, or what the SDK knows, trimmed; nil for AWS's own.
func (c Config) endpoint(known *string) *string {
	text := strings.TrimSpace(c.Endpoint)
	if text == "" && known != nil {
		text = strings.TrimSpace(*known)
	}
	if text == "" {
		return nil
	}
	return &text
}

// atEndpoint is for the SDK's own calls of STS, by web identity and for the roles
// of profiles, which do not hear of AWS_ENDPOINT_URL.
func (c Config) atEndpoint(o *sts.Options) {
	if general := env.Get("AWS_ENDPOINT_URL"); o.BaseEndpoint == nil && !strings.EqualFold(env.Get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		o.BaseEndpoint = &general
	}
	o.BaseEndpoint = c.endpoint(o.BaseEndpoint)
}

type roleAt struct {
	stscreds.AssumeRoleAPIClient
	at func(*sts.Options)
}

func (r roleAt) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, more ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	return r.AssumeRoleAPIClient.AssumeRole(ctx, in, append(more, r.at)...)
}

type webIdentityAt struct {
	stscreds.AssumeRoleWithWebIdentityAPIClient
	at func(*sts.Options)
}

func (w webIdentityAt) AssumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleWithWebIdentityInput, more ...func(*sts.Options)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	return w.AssumeRoleWithWebIdentityAPIClient.AssumeRoleWithWebIdentity(ctx, in, append(more, w.at)...)
}

// session is one set of credentials, and what uses them.
type session struct {
	credentials aws.CredentialsProvider
	secrets     *secretsmanager.Client
	sts         *sts.Client
}

// connect makes a session that has not asked for its credentials yet.
func (c Config) connect(sdk aws.Config, via *http.Client) *session {
	sdk.HTTPClient = via
	sdk.APIOptions = append(slices.Clone(sdk.APIOptions), leave)
	sdk.Credentials = source{sdk.Credentials}
	atSTS := func(o *sts.Options) { o.BaseEndpoint = c.endpoint(o.BaseEndpoint) }
	if role := strings.TrimSpace(c.RoleARN); role != "" {
		sdk.Credentials = source{aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(sdk, atSTS), role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "mlflow-secrets-auth"
			if session := strings.TrimSpace(c.RoleSessionName); session != "" {
				o.RoleSessionName = session
			}
			if id := strings.TrimSpace(c.ExternalID); id != "" {
				o.ExternalID = &id
			}
		}), func(o *aws.CredentialsCacheOptions) {
			// Credentials must not expire on their way to AWS.
			o.ExpiryWindow, o.ExpiryWindowJitterFrac = time.Minute, 0.5
		})}
	}
	return &session{
		credentials: sdk.Credentials,
		secrets:     secretsmanager.NewFromConfig(sdk, func(o *secretsmanager.Options) { o.BaseEndpoint = c.endpoint(o.BaseEndpoint) }),
		sts:         sts.NewFromConfig(sdk, atSTS),
	}
}

// httpClient is a copy of the caller's client, or the SDK's, that follows no
// redirect and reads no endless answer.
func (c Config) httpClient(sdk aws.Config) *http.Client {
	var client http.Client
	if c.HTTPClient != nil {
		client = *c.HTTPClient
	}
	if own, ok := sdk.HTTPClient.(*awshttp.BuildableClient); ok && client.Transport == nil {
		client.Transport = own.GetTransport()
	}
	if client.Timeout == 0 {
		client.Timeout = requestTimeout
	}
	client.Transport = httpanswer.Limited{Base: store.NewSingle(client.Transport)}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}
