package faults_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

// TestMain gives the process the logins that the stand-ins take.
func TestMain(m *testing.M) {
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		for _, prefix := range []string{"AWS_", "AZURE_", "IDENTITY_", "MSI_", "VAULT_", "MLFLOW_"} {
			if strings.HasPrefix(name, prefix) {
				_ = os.Unsetenv(name)
			}
		}
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": canary.New(),
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		_ = os.Setenv(name, value)
	}
	identity := canary.New()
	keyVault, err := devstack.StartKeyVault(identity)
	if err != nil {
		panic(err)
	}
	_ = os.Setenv("IDENTITY_ENDPOINT", keyVault.IdentityEndpoint())
	_ = os.Setenv("IDENTITY_HEADER", identity)
	theKeyVault = keyVault
	code := canary.Net(m).Run()
	keyVault.Close()
	os.Exit(code)
}

var theKeyVault *devstack.KeyVault // managed identities are a process's own

// store is a secret manager with one secret.
type store struct {
	url      string
	put      func(token string)
	provider func(address string) (secretsauth.Provider, error)
}

var stores = map[string]func(t *testing.T) store{
	"vault": func(t *testing.T) store {
		token := "hvs." + canary.New()
		s, err := devstack.StartVault(token)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return store{s.URL(), func(v string) { s.Write("mlflow/auth", map[string]string{"token": v}) }, func(address string) (secretsauth.Provider, error) {
			return vault.New(vault.Config{Address: address, Token: token, SecretPath: "secret/mlflow/auth", MaxAttempts: 2})
		}}
	},
	"aws-secrets-manager": func(t *testing.T) store {
		s, err := devstack.StartSecretsManager()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return store{s.URL(), func(v string) { s.Put("mlflow/auth", v) }, func(address string) (secretsauth.Provider, error) {
			return aws.New(aws.Config{SecretName: "mlflow/auth", Region: "eu-central-1", Endpoint: address, MaxAttempts: 2})
		}}
	},
	"azure-key-vault": func(*testing.T) store {
		name := "mlflow-" + strings.ToLower(rand.Text())
		return store{theKeyVault.URL(), func(v string) { theKeyVault.Put(name, v) }, func(address string) (secretsauth.Provider, error) {
			return azure.New(azure.Config{VaultURL: address, SecretName: name, MaxAttempts: 2})
		}}
	},
}

// behind is a provider whose store is behind a proxy, and the secret that it reads.
func behind(t *testing.T, start func(*testing.T) store, newProxy func(string) (*faults.Proxy, error)) (secretsauth.Provider, *faults.Proxy, string) {
	t.Helper()
	s, secret := start(t), canary.New()
	s.put(secret)
	proxy, err := newProxy(s.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	p, err := s.provider(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	return p, proxy, secret
}

// elsewhere is a host that must get nothing.
type elsewhere struct {
	*httptest.Server
	requests, credentials atomic.Int64
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	e := new(elsewhere)
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		e.requests.Add(1)
		for _, name := range []string{"Authorization", "X-Vault-Token", "X-Amz-Security-Token"} {
			if req.Header.Get(name) != "" {
				e.credentials.Add(1)
			}
		}
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(e.Close)
	return e
}

// patience is for a machine that is busy; impatience ends what would hang.
const (
	patience   = time.Minute
	impatience = 1500 * time.Millisecond
)

func endless(fault string) bool { return fault == "hangs" || fault == "stalls in the answer" }

// matrix runs cells side by side, more than there are cores: most of them wait.
type matrix struct {
	name  string
	wg    sync.WaitGroup
	slots chan struct{}

	cells, wrong atomic.Int64
}

func newMatrix(name string) *matrix { return &matrix{name: name, slots: make(chan struct{}, 24)} }

// cell is one combination; f tells what is wrong.
func (m *matrix) cell(t *testing.T, name string, f func(t *testing.T) []string) {
	m.wg.Go(func() {
		m.slots <- struct{}{}
		defer func() { <-m.slots }()
		t.Run(name, func(t *testing.T) {
			m.cells.Add(1)
			if problems := f(t); len(problems) > 0 {
				m.wrong.Add(1)
				t.Error(strings.Join(problems, "; "))
			}
		})
	})
}

func (m *matrix) end(t *testing.T) {
	m.wg.Wait()
	t.Logf("%s: %d cells, %d not as they should be", m.name, m.cells.Load(), m.wrong.Load())
}

// TestStoresThroughEveryFault: whatever happens between a provider and its store, a
// read ends in time, in an error that tells to wait or in the secret; no secret is
// in the error, none goes elsewhere, and once the fault is over the next read works.
func TestStoresThroughEveryFault(t *testing.T) {
	t.Parallel()
	m := newMatrix("providers through faults of their stores")
	defer m.end(t)
	for name, start := range stores {
		other := newElsewhere(t)
		for _, fault := range faults.All(other.URL) {
			m.cell(t, name+"/"+fault.Name, func(t *testing.T) []string {
				p, proxy, secret := behind(t, start, faults.New)
				proxy.Set(&fault)
				within := patience
				if endless(fault.Name) {
					within = impatience
				}
				ctx, cancel := context.WithTimeout(t.Context(), within)
				defer cancel()
				got, err := p.Fetch(ctx)
				var wrong []string
				token, _ := got.Token()
				switch {
				case err == nil && token == secret && fault.Name == "answers slowly":
				case err == nil:
					wrong = append(wrong, "a read succeeded that could not")
				case fault.Name == "answers slowly":
					wrong = append(wrong, "failed: "+hide(err, secret))
				case !errors.Is(err, secretsauth.ErrUnavailable) && !mayMeanDenied(fault.Name, err):
					wrong = append(wrong, "not unavailable: "+hide(err, secret))
				}
				wrong = append(wrong, leaks(err, secret)...)
				if e, ok := errors.AsType[*secretsauth.Error](err); err != nil && (!ok || e.Fix == "" || e.Summary == "") {
					wrong = append(wrong, "the error does not say what to do: "+hide(err, secret))
				}
				proxy.Set(nil)
				ctx, cancel = context.WithTimeout(t.Context(), patience)
				defer cancel()
				again, err := p.Fetch(ctx)
				if token, _ := again.Token(); err != nil || token != secret {
					wrong = append(wrong, "no recovery: "+hide(err, secret))
				}
				if n := other.requests.Load(); n > 0 {
					wrong = append(wrong, fmt.Sprintf("%d requests went elsewhere", n))
				}
				return wrong
			})
		}
		m.cell(t, name+"/presents a bad certificate", func(t *testing.T) []string {
			p, proxy, secret := behind(t, start, faults.NewUntrusted)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := p.Fetch(ctx)
			wrong := leaks(err, secret)
			if !errors.Is(err, secretsauth.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") || proxy.Seen.Load() > 0 {
				wrong = append(wrong, fmt.Sprintf("%d requests, %s", proxy.Seen.Load(), hide(err, secret)))
			}
			return wrong
		})
	}
}

// mayMeanDenied: a page with a 403 is a refusal by somebody, whoever it is.
func mayMeanDenied(fault string, err error) bool {
	return fault == "answers 403 with a page" && (errors.Is(err, secretsauth.ErrDenied) || errors.Is(err, secretsauth.ErrConfig))
}

func leaks(err error, secret string) []string {
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, form := range []string{secret, secret[:12], base64.StdEncoding.EncodeToString([]byte(secret))} {
		if strings.Contains(text, form) {
			return []string{"the error holds the secret"}
		}
	}
	return nil
}

func hide(err error, secret string) string {
	if err == nil {
		return "no error"
	}
	return strings.ReplaceAll(err.Error(), secret, "…")
}

// TestServersThroughEveryFault: whatever happens between a transport and the tracking
// server, the caller gets the server's answer or the base's error, as without us; the
// store is not read for it, the credential goes nowhere else, and afterwards all is
// as before.
func TestServersThroughEveryFault(t *testing.T) {
	t.Parallel()
	m := newMatrix("transports through faults of the tracking server")
	defer m.end(t)
	other := newElsewhere(t)
	for _, fault := range faults.All(other.URL) {
		m.cell(t, fault.Name, func(t *testing.T) []string {
			user, password := "trainer", canary.New()
			server, err := devstack.StartMLflow(user, password)
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			proxy, err := faults.New(server.URL())
			if err != nil {
				t.Fatal(err)
			}
			defer proxy.Close()
			rt, err := secretsauth.NewTransport(secretsauth.Static(secretsauth.NewUserPassword(user, password)),
				secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}, Base: &http.Transport{}})
			if err != nil {
				t.Fatal(err)
			}
			defer rt.CloseIdleConnections()
			client := &http.Client{Transport: rt}
			ask := func(within time.Duration) (int, error) {
				ctx, cancel := context.WithTimeout(t.Context(), within)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, proxy.URL+"/api/2.0/mlflow/experiments/search?max_results=1", nil)
				if err != nil {
					return 0, err
				}
				resp, err := client.Do(req)
				if err != nil {
					return 0, err
				}
				defer func() { _ = resp.Body.Close() }()
				_, err = io.Copy(io.Discard, resp.Body)
				return resp.StatusCode, err
			}
			var wrong []string
			if status, err := ask(patience); err != nil || status != http.StatusOK {
				t.Fatalf("before: %d, %v", status, err)
			}
			proxy.Set(&fault)
			within := patience
			if endless(fault.Name) {
				within = impatience
			}
			status, err := ask(within)
			if err == nil && status == http.StatusOK && !strings.HasPrefix(fault.Name, "answers slowly") && !strings.HasPrefix(fault.Name, "answers with a page") && !strings.HasPrefix(fault.Name, "redirects") {
				wrong = append(wrong, "200 in spite of the fault")
			}
			if endless(fault.Name) && !errors.Is(err, context.DeadlineExceeded) {
				wrong = append(wrong, "not the caller's own deadline: "+hide(err, password))
			}
			wrong = append(wrong, leaks(err, password)...)
			proxy.Set(nil)
			if status, err := ask(patience); err != nil || status != http.StatusOK {
				wrong = append(wrong, fmt.Sprintf("afterwards: %d, %s", status, hide(err, password)))
			}
			if n := other.credentials.Load(); n > 0 {
				wrong = append(wrong, fmt.Sprintf("%d credentials went elsewhere", n))
			}
			reads := uint64(1)
			if fault.Name == "answers 403 with a page" {
				reads = 2 // a 403 may mean an expired credential
			}
			if s := rt.Stats(); s.Fetches > reads {
				wrong = append(wrong, fmt.Sprintf("%d reads of the store", s.Fetches))
			}
			return wrong
		})
	}
}

// TestTransportsWhoseStoreFails: a value that is there goes on being used through
// every fault of the store; without one the request is not sent.
func TestTransportsWhoseStoreFails(t *testing.T) {
	t.Parallel()
	m := newMatrix("transports through faults of their stores")
	defer m.end(t)
	for name, start := range stores {
		other := newElsewhere(t)
		for _, fault := range faults.All(other.URL) {
			if fault.Name == "answers slowly" {
				continue
			}
			m.cell(t, name+"/"+fault.Name, func(t *testing.T) []string {
				p, proxy, secret := behind(t, start, faults.New)
				var sent, with atomic.Int64
				cfg := secretsauth.Config{AllowedHosts: []string{"mlflow.test"}, TTL: time.Second, FetchTimeout: impatience,
					Base: roundTripper(func(req *http.Request) (*http.Response, error) {
						sent.Add(1)
						if req.Header.Get("Authorization") == "Bearer "+secret {
							with.Add(1)
						}
						return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
					})}
				rt, err := secretsauth.NewTransport(p, cfg)
				if err != nil {
					t.Fatal(err)
				}
				get := func() error {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://mlflow.test/", nil)
					if err != nil {
						return err
					}
					resp, err := rt.RoundTrip(req)
					if err == nil {
						_ = resp.Body.Close()
					}
					return err
				}
				var wrong []string
				proxy.Set(&fault) // cold
				if err := get(); err == nil || sent.Load() > 0 {
					wrong = append(wrong, fmt.Sprintf("cold: sent without a credential, %s", hide(err, secret)))
				} else {
					wrong = append(wrong, leaks(err, secret)...)
				}
				proxy.Set(nil)
				rt.ClearCache()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if err := rt.Warm(ctx); err != nil {
					t.Fatalf("no recovery: %s", hide(err, secret))
				}
				proxy.Set(&fault) // warm, until a read has failed after the TTL
				before := rt.Stats().FetchErrors
				for range 3 {
					if err := get(); err != nil && !mayMeanDenied(fault.Name, err) {
						wrong = append(wrong, "warm: "+hide(err, secret))
					}
					time.Sleep(cfg.TTL) // real time: the provider is real
				}
				if rt.Stats().FetchErrors == before {
					wrong = append(wrong, "no read met the fault")
				}
				if with.Load() != sent.Load() {
					wrong = append(wrong, "a request went without the credential")
				}
				return wrong
			})
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
