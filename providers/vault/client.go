package vault

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

// newClient returns a client of Vault's API for t without a token, and the bound
// on one request. [badVariables] has found none.
func newClient(t target, custom *http.Client) (*api.Client, time.Duration, error) {
	cfg := api.DefaultConfig()
	timeout := cfg.Timeout
	httpClient := *cfg.HttpClient
	if custom != nil {
		httpClient = *custom // the caller's stays as it is
	}
	if httpClient.Transport == nil {
		httpClient.Transport = cfg.HttpClient.Transport
	}
	httpClient.Transport = guard{store.NewSingle(httpClient.Transport)}
	httpClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	cfg.Address = t.address
	cfg.AgentAddress = ""
	cfg.HttpClient = &httpClient
	cfg.DisableRedirects = true // its own redirects carry the token to any host (S123)
	cfg.SRVLookup = false       // a look-up without a context, which moves the token to another host
	cfg.Timeout = 0             // ours, which is released when the request is over
	cfg.MaxRetries = 0          // ours, see retry.go
	cfg.CheckRetry = func(_ context.Context, _ *http.Response, err error) (bool, error) { return false, err }

	client, err := api.NewClient(cfg)
	if err != nil {
		// Its text may quote a variable (S160).
		return nil, 0, badConfig("VAULT_HEADERS or another VAULT_ variable is refused by Vault's client", "correct or unset it")
	}
	// NewClient took VAULT_TOKEN from the environment, and would take
	// VAULT_WRAP_TTL at every request; here Config decides. The namespace is set
	// with every request.
	client.ClearToken()
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	return client, timeout, nil
}

// badVariables are the environment variables that Vault's client would stumble
// over: its own errors quote values, or do not say which variable.
func badVariables() error {
	checks := []struct {
		name string
		ok   func(value string) bool
	}{
		{api.EnvVaultSkipVerify, func(v string) bool { _, err := strconv.ParseBool(v); return err == nil }},
		{api.EnvVaultSRVLookup, func(v string) bool { _, err := strconv.ParseBool(v); return err == nil }},
		{api.EnvVaultDisableRedirects, func(v string) bool { _, err := strconv.ParseBool(v); return err == nil }},
		{api.EnvVaultMaxRetries, func(v string) bool { _, err := strconv.ParseUint(v, 10, 32); return err == nil }},
		{api.EnvVaultClientTimeout, isTimeout},
		{api.EnvVaultProxyAddr, func(v string) bool { _, err := url.Parse(v); return err == nil }},
		{api.EnvHTTPProxy, func(v string) bool { _, err := url.Parse(v); return err == nil }},
		{api.EnvVaultCACert, func(v string) bool { _, err := os.ReadFile(v); return err == nil }}, //nolint:gosec // as Vault's client does
		{api.EnvVaultCAPath, func(v string) bool { _, err := os.ReadDir(v); return err == nil }},
		{api.EnvVaultClientCert, func(string) bool { return os.Getenv(api.EnvVaultClientKey) != "" && pair() }},
		{api.EnvVaultClientKey, func(string) bool { return os.Getenv(api.EnvVaultClientCert) != "" }},
		{api.EnvVaultHeaders, func(v string) bool { return json.Unmarshal([]byte(v), new(map[string]string)) == nil }},
	}
	var bad []error
	for _, c := range checks {
		if value := os.Getenv(c.name); value != "" && !c.ok(value) {
			bad = append(bad, badConfig(c.name+" cannot be used by Vault's client", "correct or unset "+c.name))
		}
	}
	if len(bad) == 0 && api.DefaultConfig().Error != nil {
		// It does not say which, but of those that are left few will be set.
		names := strings.Join(slices.DeleteFunc([]string{
			api.EnvVaultCACert, api.EnvVaultCACertBytes, api.EnvVaultCAPath, api.EnvVaultClientTimeout, api.EnvRateLimit,
		}, func(name string) bool { return os.Getenv(name) == "" }), " or ")
		bad = append(bad, badConfig(names+" cannot be used by Vault's client", "correct or unset "+names))
	}
	return env.Problems(bad...)
}

// isTimeout takes what Vault's client takes for a time: seconds, days ("1d") or
// Go's form.
func isTimeout(v string) bool {
	_, notSeconds := strconv.ParseUint(strings.TrimSuffix(v, "d"), 10, 64)
	d, notGos := time.ParseDuration(v)
	return notSeconds == nil || notGos == nil && d >= 0
}

func pair() bool {
	_, err := tls.LoadX509KeyPair(os.Getenv(api.EnvVaultClientCert), os.Getenv(api.EnvVaultClientKey))
	return err == nil
}

// guard stands below Vault's client. Redirects end here, before anyone can follow
// them or quote their Location, and answers end at 1 MiB, for Vault's client
// reads them whole. It does not pass on CloseIdleConnections, which Vault's client
// calls after every failure: the caller's transport may have other users.
type guard struct{ base *store.Single }

func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := g.base.RoundTrip(req)
	if err != nil || resp == nil {
		return resp, err
	}
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		_ = resp.Body.Close()
		to, _ := resp.Location() // nil if there is none
		return nil, &redirect{status: resp.StatusCode, from: req.URL, to: to}
	}
	resp.Body = httpanswer.Limit(resp.Body)
	return resp, nil
}

// redirect is an answer that would have sent the token elsewhere.
type redirect struct {
	status   int
	from, to *url.URL
}

func (r *redirect) Error() string { return "redirect refused" }
