package providers_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// awsStandin answers GetSecretValue with value, or with a failure.
type awsStandin struct {
	value atomic.Pointer[string]
	fail  atomic.Pointer[string] // an error code of AWS's
	hang  atomic.Bool
}

func (s *awsStandin) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body) // or the server does not see the client go
	if s.hang.Load() {
		<-req.Context().Done()
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if code := s.fail.Load(); code != nil {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": *code})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"SecretString": *s.value.Load()})
}

func startAWS(t *testing.T, value string) (*awsStandin, []string) {
	s := &awsStandin{}
	s.value.Store(&value)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, []string{
		onAWS + "1", "MLFLOW_AWS_SECRET_NAME=mlflow/auth", "AWS_REGION=eu-central-1", "AWS_ENDPOINT_URL=" + server.URL,
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=example",
	}
}

func startVault(t *testing.T, value string) (*devstack.Vault, []string) {
	v, err := devstack.StartVault("root")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	v.Write("mlflow/auth", map[string]string{"token": value})
	return v, []string{onVault + "1", "VAULT_ADDR=" + v.URL(), path, "VAULT_TOKEN=root"}
}

func fromEnv(t *testing.T) secretsauth.Provider {
	t.Helper()
	p, err := providers.FromEnv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// served tells which store's secret p returns.
func served(t *testing.T, p secretsauth.Provider) string {
	t.Helper()
	secret, err := p.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, _ := secret.Token()
	return token
}

func TestAChainUsesTheFirstThatAnswers(t *testing.T) {
	vault, vaultEnv := startVault(t, "of-vault")
	aws, awsEnv := startAWS(t, "of-aws")
	log := captureLog(t)
	setenv(t, append(append(awsEnv, vaultEnv...), "MLFLOW_SECRETS_MAX_RETRIES=1")...)
	p := fromEnv(t)
	if p.Name() != "vault,aws-secrets-manager" {
		t.Errorf("name %q: not in order of priority", p.Name())
	}
	if got := served(t, p); got != "of-vault" {
		t.Errorf("served %s", got)
	}
	if log.Len() > 0 {
		t.Errorf("logged %s", log)
	}

	vault.Close()
	if got := served(t, p); got != "of-aws" {
		t.Errorf("with Vault down, served %s", got)
	}
	if !strings.Contains(log.String(), "Secret served by aws-secrets-manager: vault failed") {
		t.Errorf("the log does not say which served: %s", log)
	}

	code := "AccessDeniedException"
	aws.fail.Store(&code)
	_, err := p.Fetch(t.Context())
	if !errors.Is(err, secretsauth.ErrUnavailable) || !errors.Is(err, secretsauth.ErrDenied) {
		t.Errorf("all failed: %v, want one that wraps every store's own and counts as unavailable", err)
	}
	for _, want := range []string{"vault:http://", "aws-secrets-manager:eu-central-1:mlflow/auth"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

func TestAChainOfStoresThatHaveSpokenIsNotUnavailable(t *testing.T) {
	v, vaultEnv := startVault(t, "x")
	aws, awsEnv := startAWS(t, "x")
	code := "ResourceNotFoundException"
	aws.fail.Store(&code)
	setenv(t, append(append(awsEnv, vaultEnv...), "VAULT_TOKEN=wrong")...)
	_ = v
	_, err := fromEnv(t).Fetch(t.Context())
	if errors.Is(err, secretsauth.ErrUnavailable) || !errors.Is(err, secretsauth.ErrDenied) {
		t.Errorf("%v, want ErrDenied", err)
	}
}

func TestTheFirstStoreIsAskedAgainAtTheNextRead(t *testing.T) {
	vault, vaultEnv := startVault(t, "of-vault")
	_, awsEnv := startAWS(t, "of-aws")
	captureLog(t)
	setenv(t, append(append(awsEnv, vaultEnv...), "MLFLOW_VAULT_SECRET_VERSION=2")...)
	p := fromEnv(t)
	if got := served(t, p); got != "of-aws" { // version 2 is not there yet
		t.Errorf("served %s", got)
	}
	vault.Write("mlflow/auth", map[string]string{"token": "of-vault-2"})
	if got := served(t, p); got != "of-vault-2" {
		t.Errorf("served %s", got)
	}
}

func TestEachStoreHasItsOwnTime(t *testing.T) {
	hanging, awsEnv := startAWS(t, "x")
	hanging.hang.Store(true)
	_, vaultEnv := startVault(t, "x")
	captureLog(t)
	setenv(t, append(append(awsEnv, vaultEnv...), "VAULT_TOKEN=wrong", "MLFLOW_SECRETS_MAX_RETRIES=1")...)
	p := fromEnv(t)
	c := secretsauth.NewCache(p, secretsauth.Config{FetchTimeout: 500 * time.Millisecond})
	begun := time.Now()
	_, err := c.Fetch(t.Context())
	if !errors.Is(err, secretsauth.ErrUnavailable) || !strings.Contains(err.Error(), "vault:") {
		t.Errorf("%v, want both stores' errors", err)
	}
	if took := time.Since(begun); took < 500*time.Millisecond {
		t.Errorf("the second store had %v, want its own 500 ms at least", took)
	}
}

func TestModeAndTTLAreTheStoresOwn(t *testing.T) {
	v, vaultEnv := startVault(t, "u:p")
	_, awsEnv := startAWS(t, `{"token":"u:p"}`)
	captureLog(t)
	setenv(t, append(append(awsEnv, vaultEnv...), "MLFLOW_VAULT_AUTH_MODE=bearer", "MLFLOW_AWS_AUTH_MODE=basic", "MLFLOW_SECRETS_MAX_RETRIES=1")...)
	p := fromEnv(t)
	sent := func() (header string) {
		rt, err := secretsauth.NewTransport(p, secretsauth.Config{
			AllowedHosts: []string{"mlflow.test"},
			Base: roundTripper(func(req *http.Request) (*http.Response, error) {
				header = req.Header.Get("Authorization")
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		req, _ := http.NewRequest(http.MethodGet, "https://mlflow.test/", nil)
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return header
	}
	if got := sent(); got != "Bearer u:p" {
		t.Error("Vault's mode does not count")
	}
	v.Close()
	if got := sent(); !strings.HasPrefix(got, "Basic ") {
		t.Error("AWS's mode does not count")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
