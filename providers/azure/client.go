package azure

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

// link is what every client of a Provider has in common.
type link struct {
	target      target
	attempts    int
	noDiscovery bool
	http        *http.Client      // for Key Vault and the login
	base        http.RoundTripper // of it, which the doctor looks at
}

func newLink(t target, cfg Config) *link {
	var client http.Client
	if cfg.HTTPClient != nil {
		client = *cfg.HTTPClient // the caller's stays as it is
	}
	single := store.NewSingle(client.Transport)
	client.Transport = httpanswer.Limited{Base: single}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &link{
		target:      t,
		attempts:    env.BoundAttempts(cfg.MaxAttempts),
		noDiscovery: cfg.DisableInstanceDiscovery || t.local,
		http:        &client,
		base:        single.Base(),
	}
}

// session is a client of the vault and the login that it has.
type session struct {
	vault *azsecrets.Client
	login *chain
}

// connect makes a session with a login of its own.
func (l *link) connect() (*session, error) {
	login, err := l.newChain()
	if err != nil {
		return nil, err
	}
	guarded := *l.http
	guarded.Transport = guard{base: l.http.Transport, host: hostOf(l.target.address), plain: strings.HasPrefix(l.target.address, "http://")}
	options := azsecrets.ClientOptions{ClientOptions: l.options()}
	options.Transport = &guarded
	options.APIVersion = apiVersion
	options.DisableChallengeResourceVerification = l.target.loopback // S132: an emulator's resource is nowhere in its name
	// The SDK sends tokens by https alone; guard takes that back for an emulator.
	client, err := azsecrets.NewClient("https://"+hostOf(l.target.address), login, &options)
	if err != nil {
		return nil, badConfig("the Azure SDK refuses its configuration", "check MLFLOW_AZURE_KEY_VAULT_URL and the AZURE_ variables")
	}
	return &session{client, login}, nil
}

// get asks for the secret.
func (s *session) get(ctx context.Context, t target, anew bool) (azsecrets.Secret, *record, error) {
	ctx, seen := withRecord(ctx, anew)
	answer, err := s.vault.GetSecret(ctx, t.name, t.version, nil)
	return answer.Secret, seen, err
}

// apiVersion is older than the SDK's, which sovereign and private clouds and
// emulators do not all know yet; what it says of a secret is the same.
const apiVersion = "7.6"

// options are those of the vault's client and the login's. The SDK could log
// bodies, and is not told to (S133).
func (l *link) options() azcore.ClientOptions {
	retries := int32(l.attempts - 1) //nolint:gosec // at most env.MaxAttempts
	if retries == 0 {
		retries = -1 // 0 is the SDK's default
	}
	return azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: l.target.authority},
		Telemetry: policy.TelemetryOptions{ApplicationID: "mlflow-secrets-auth"},
		Transport: l.http,
		Retry: policy.RetryOptions{
			MaxRetries:    retries,
			RetryDelay:    httpanswer.FirstPause,
			MaxRetryDelay: httpanswer.MaxPause,
			ShouldRetry:   mayPass,
		},
		PerRetryPolicies: []policy.Policy{recorder{}},
	}
}

// mayPass reports whether asking again soon may bring another answer.
func mayPass(resp *http.Response, err error) bool {
	if err != nil {
		_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
		return !certificate && !errors.Is(err, http.ErrSchemeMismatch) && !errors.Is(err, errNotKeyVault) && !errors.Is(err, errElsewhere)
	}
	return slices.Contains([]int{
		http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
	}, resp.StatusCode)
}

// hostOf is the host and port of an address that was checked.
func hostOf(address string) string {
	_, host, _ := strings.Cut(address, "://")
	return host
}
