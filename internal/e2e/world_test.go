//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// world is an MLflow user whose password lies in a store, and a client that
// takes it from there.
type world struct {
	*testing.T
	ctx    context.Context
	store  store
	user   string
	old    string // the password
	fresh  string // the one to rotate to
	rt     *secretsauth.Transport
	client *client
}

// store is one secret of a secret manager.
type store interface {
	put(fields map[string]string)
	provider() (secretsauth.Provider, error)
	environ() map[string]string // the variables that make it the one to read
}

// putPassword is what a rotation does to a store.
func putPassword(s store, user, password string) {
	s.put(map[string]string{"username": user, "password": password})
}

func newWorld(t *testing.T, s store) *world {
	t.Helper()
	return newSoakWorld(t, s, 5*time.Minute)
}

// newSoakWorld is a world that lasts longer.
func newSoakWorld(t *testing.T, s store, length time.Duration) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	t.Cleanup(cancel)
	w := &world{T: t, ctx: ctx, store: s, old: canary.New(), fresh: canary.New()}
	var err error
	if w.user, err = mlflow.createUser(w.old); err != nil {
		t.Fatal(err)
	}
	putPassword(s, w.user, w.old)
	return w
}

// connect makes the client: the only part that a user of the library writes.
func (w *world) connect(url string, change ...func(*secretsauth.Config)) *world {
	w.Helper()
	store, err := w.store.provider()
	if err != nil {
		w.Fatal(err)
	}
	cfg := secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}, Base: w.base()}
	for _, c := range change {
		c(&cfg)
	}
	if w.rt, err = secretsauth.NewTransport(store, cfg); err != nil {
		w.Fatal(err)
	}
	w.client = &client{base: url, http: &http.Client{Transport: w.rt}}
	return w
}

// connectByEnvironment makes the client of variables alone.
func (w *world) connectByEnvironment(url string) *world {
	w.Helper()
	w.Setenv("MLFLOW_SECRETS_ALLOWED_HOSTS", "127.0.0.1")
	for name, value := range w.store.environ() {
		w.Setenv(name, value)
	}
	var err error
	if w.rt, err = providers.TransportFromEnv(w.ctx, w.base()); err != nil {
		w.Fatal(err)
	}
	w.client = &client{base: url, http: &http.Client{Transport: w.rt}}
	return w
}

// base has connections of its own.
func (w *world) base() *http.Transport {
	base := http.DefaultTransport.(*http.Transport).Clone()
	w.Cleanup(base.CloseIdleConnections)
	return base
}

func (w *world) rotateStore() { putPassword(w.store, w.user, w.fresh) }

func (w *world) rotateServer() {
	w.Helper()
	if err := mlflow.setPassword(w.user, w.fresh); err != nil {
		w.Fatal(err)
	}
}

// crew is a number of workers that do the same over and over, and how it went.
type crew struct {
	done     atomic.Int64
	failed   atomic.Int64
	mu       sync.Mutex
	failures []error // the first few
	stopping chan struct{}
	wg       sync.WaitGroup
}

// employ starts n workers. Each call of work gets a number of its own.
func (w *world) employ(n int, work func(i int) error) *crew {
	c := &crew{stopping: make(chan struct{})}
	for range n {
		c.wg.Go(func() {
			for {
				select {
				case <-c.stopping:
					return
				case <-w.ctx.Done():
					return
				default:
				}
				if err := work(int(c.done.Add(1))); err != nil {
					c.failed.Add(1)
					c.mu.Lock()
					if len(c.failures) < 3 {
						c.failures = append(c.failures, err)
					}
					c.mu.Unlock()
				}
			}
		})
	}
	return c
}

// dismiss lets the workers finish and reports what failed.
func (c *crew) dismiss(t *testing.T) {
	t.Helper()
	close(c.stopping)
	c.wg.Wait()
	if n := c.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, such as: %v", n, c.done.Load(), c.failures)
	}
}

// more waits until n more requests have begun.
func (w *world) more(c *crew, n int64) {
	w.Helper()
	goal := c.done.Load() + n
	w.until("the workers go on", func() bool { return c.done.Load() >= goal })
}

// until waits for a condition.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	for !ok() {
		select {
		case <-w.ctx.Done():
			w.Fatalf("waited in vain until %s; %+v", what, w.rt.Stats())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
