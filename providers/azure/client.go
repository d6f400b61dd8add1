package azure

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
)

// link is what every client of a Provider has in common.
type link struct {
	target      target
	attempts    int
	noDiscovery bool
	http        *http.Client // for Key Vault and the login
}

func newLink(t target, cfg Config) *link {
	var client http.Client
	if cfg.HTTPClient != nil {
		client = *cfg.HTTPClient // the caller's stays as it is
	}
	if client.Transport == nil {
		client.Transport = newTransport()
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &link{
		target:      t,
		attempts:    env.BoundAttempts(cfg.MaxAttempts),
		noDiscovery: cfg.DisableInstanceDiscovery || t.local,
		http:        &client,
	}
}

// newTransport is not [http.DefaultTransport], which may lead through a Transport
// of this library that waits for this very secret.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 10,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
		// As the SDK does: a dead connection is noticed.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
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
			RetryDelay:    firstPause,
			MaxRetryDelay: maxPause,
			ShouldRetry:   mayPass,
		},
		PerRetryPolicies: []policy.Policy{recorder{}},
	}
}

const (
	firstPause = 100 * time.Millisecond
	// maxPause also caps Retry-After: a longer one is for the cache to obey, not for
	// a request that waits (S121).
	maxPause = 2 * time.Second
)

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

// record keeps what became of the last request of a Fetch: the login's errors are
// text alone by the time that they arrive.
type record struct {
	anew bool // the token before was not accepted: none of a cache will do
	mu   sync.Mutex
	err  error
}

type recordKey struct{}

func withRecord(ctx context.Context, anew bool) (context.Context, *record) {
	r := &record{anew: anew}
	return context.WithValue(ctx, recordKey{}, r), r
}

func recordOf(ctx context.Context) *record {
	if r, ok := ctx.Value(recordKey{}).(*record); ok {
		return r
	}
	return new(record)
}

func (r *record) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *record) last() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// recorder is the policy that fills the record.
type recorder struct{}

func (recorder) Do(req *policy.Request) (*http.Response, error) {
	resp, err := req.Next()
	recordOf(req.Raw().Context()).set(err)
	return resp, err
}

// guard stands between the SDK and the vault.
type guard struct {
	base  http.RoundTripper
	host  string
	plain bool // an emulator on the loopback interface, without TLS
}

var (
	errNotKeyVault = errors.New("the challenge is not one of Key Vault")
	errElsewhere   = errors.New("the request leads elsewhere")
)

func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	// A list names the address of its next page, where the SDK would send the token.
	if !strings.EqualFold(withoutPort(req.URL.Host), withoutPort(g.host)) {
		return nil, errElsewhere
	}
	if g.plain {
		req = req.Clone(req.Context())
		req.URL.Scheme = "http"
	}
	resp, err := g.base.RoundTrip(req)
	if err != nil || resp == nil {
		return resp, err
	}
	if resp.StatusCode == http.StatusUnauthorized && !readable(resp.Header.Get("WWW-Authenticate")) {
		_ = resp.Body.Close()
		return nil, errNotKeyVault
	}
	resp.Body = httpanswer.Limit(resp.Body)
	return resp, nil
}

// authorization is where the SDK looks for the tenant.
var authorization = regexp.MustCompile(`(?:^| )authorization="?([^" ]*)`)

// readable reports whether the SDK can read a challenge: it panics over one whose
// address has no path.
func readable(header string) bool {
	for _, found := range authorization.FindAllStringSubmatch(header, -1) {
		if found[1] != "" && found[1] != "," && strings.Count(found[1], "/") < 3 {
			return false
		}
	}
	return true
}

// hostOf is the host and port of an address that was checked.
func hostOf(address string) string {
	_, host, _ := strings.Cut(address, "://")
	return host
}

// withoutPort leaves out the port of https, which Key Vault names.
func withoutPort(host string) string { return strings.TrimSuffix(host, ":443") }
