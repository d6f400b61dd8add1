package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/httptransport"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"golang.org/x/oauth2"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// store is where every contender reads the token.
type store struct {
	token atomic.Pointer[string]
	delay time.Duration // of one read
	reads atomic.Int64
}

func newStore(token string, delay time.Duration) *store {
	s := &store{delay: delay}
	s.token.Store(&token)
	return s
}

func (s *store) read() string {
	s.reads.Add(1)
	token := *s.token.Load()
	time.Sleep(s.delay)
	return token
}

// expiry is so late that nobody refreshes early.
func expiry() time.Time { return time.Now().Add(24 * time.Hour) }

// peer is a transport that takes its token from s, and keeps it.
type peer struct {
	name string
	wrap func(s *store, base http.RoundTripper) http.RoundTripper
}

var (
	ours   = peer{"secretsauth", wrapOurs}
	plain  = peer{"header set on req.Clone", wrapPlain}
	oauth  = peer{"oauth2", wrapOAuth}
	google = peer{"google auth", wrapGoogle}
	azure  = peer{"azcore", wrapAzure}
	mutex  = peer{"a mutex and a clear", wrapMutex}
)

func wrapOurs(s *store, base http.RoundTripper) http.RoundTripper {
	return newOurs(s, base, "mlflow.company.com", "127.0.0.1")
}

func newOurs(s *store, base http.RoundTripper, hosts ...string) *secretsauth.Transport {
	provider := secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) {
		return secretsauth.NewToken(s.read()), nil
	})
	rt, err := secretsauth.NewTransport(provider, secretsauth.Config{AllowedHosts: hosts, Base: base})
	if err != nil {
		panic(err) // a mistake of ours, as is every panic here
	}
	return rt
}

// plainTransport is what is written by hand where nothing ever changes.
type plainTransport struct {
	value string
	base  http.RoundTripper
}

func wrapPlain(s *store, base http.RoundTripper) http.RoundTripper {
	return &plainTransport{"Bearer " + s.read(), base}
}

func (t *plainTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.Header.Set("Authorization", t.value)
	return t.base.RoundTrip(out)
}

// wrapOAuth is the transport of oauth2.NewClient, which always puts a
// ReuseTokenSource around what it is given.
func wrapOAuth(s *store, base http.RoundTripper) http.RoundTripper {
	return &oauth2.Transport{Source: oauth2.ReuseTokenSource(nil, oauthSource{s}), Base: base}
}

type oauthSource struct{ *store }

func (s oauthSource) Token() (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: s.read(), Expiry: expiry()}, nil
}

// wrapGoogle is the leanest transport that httptransport offers: without
// telemetry, API keys and quota headers.
func wrapGoogle(s *store, base http.RoundTripper) http.RoundTripper {
	client := &http.Client{Transport: base}
	if err := httptransport.AddAuthorizationMiddleware(client, auth.NewCredentials(&auth.CredentialsOptions{
		TokenProvider: auth.NewCachedTokenProvider(googleProvider{s}, nil),
	})); err != nil {
		panic(err)
	}
	return client.Transport
}

type googleProvider struct{ *store }

func (p googleProvider) Token(context.Context) (*auth.Token, error) {
	return &auth.Token{Value: p.read(), Expiry: expiry()}, nil
}

// azureTransport sends requests through a pipeline with the bearer policy, which
// expires its token on 401 and, since it is told how, sends the request again.
type azureTransport struct{ pipeline runtime.Pipeline }

func wrapAzure(s *store, base http.RoundTripper) http.RoundTripper {
	bearer := runtime.NewBearerTokenPolicy(azureCredential{s}, nil, &policy.BearerTokenOptions{
		AuthorizationHandler: policy.AuthorizationHandler{
			OnChallenge: func(_ *policy.Request, _ *http.Response, authorize func(policy.TokenRequestOptions) error) error {
				return authorize(policy.TokenRequestOptions{})
			},
		},
		InsecureAllowCredentialWithHTTP: true,
	})
	return azureTransport{runtime.NewPipeline("bench", "", runtime.PipelineOptions{PerRetry: []policy.Policy{bearer}},
		&policy.ClientOptions{
			Retry:     policy.RetryOptions{MaxRetries: -1}, // none
			Telemetry: policy.TelemetryOptions{Disabled: true},
			Transport: azureSender{base},
		})}
}

func (t azureTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	out, err := runtime.NewRequestFromRequest(req.Clone(req.Context()))
	if err != nil {
		return nil, err
	}
	return t.pipeline.Do(out)
}

type azureSender struct{ http.RoundTripper }

func (s azureSender) Do(req *http.Request) (*http.Response, error) { return s.RoundTrip(req) }

type azureCredential struct{ *store }

func (c azureCredential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: c.read(), ExpiresOn: expiry()}, nil
}
