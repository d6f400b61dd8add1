//go:build e2e

package e2e

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// shortLived makes outages short enough for a test. A client that reads the store
// every second would also read a new password before the server knows it, and be
// rejected until it does; so these tests change the server first and wait for the
// store.
func shortLived(c *secretsauth.Config) {
	c.TTL = time.Second
	c.RotationWait = time.Minute
}

// TestOpenBaoStoppedForAWhile: requests go on, and recover by themselves.
func TestOpenBaoStoppedForAWhile(t *testing.T) {
	bao := newOpenBao(t)
	w := newWorld(t, inOpenBao(t, bao, byAppRole, 2)).connect(mlflow.url, shortLived)
	crew := w.employ(2, func(int) error { return w.client.search(w.ctx) })
	w.until("the value has been refreshed", func() bool { return w.rt.Stats().Fetches >= 3 })

	bao.stop()
	w.until("reads have failed", func() bool { return w.rt.Stats().FetchErrors >= 2 })
	w.more(crew, 20)
	if s := w.rt.Stats(); s.StaleServed == 0 {
		t.Errorf("nothing was served past its TTL: %+v", s)
	}

	bao.restart()
	ok := func() uint64 { s := w.rt.Stats(); return s.Fetches - s.FetchErrors }
	before := ok()
	w.until("the store is read again", func() bool { return ok() > before+2 })

	w.rotateServer()
	w.rotateStore()
	w.more(crew, 20)
	crew.dismiss(t)
	s := w.rt.Stats()
	t.Logf("%d requests; %d of %d reads failed, %d values served stale", crew.done.Load(), s.FetchErrors, s.Fetches, s.StaleServed)
}

// TestAnotherStoreTakesOver: the same password in two stores, both enabled, and
// the first of them stopped.
func TestAnotherStoreTakesOver(t *testing.T) {
	bao := newOpenBao(t)
	first, second := inOpenBao(t, bao, byToken, 2), inMoto(t, "")
	w := newWorld(t, first)
	both := func(user, password string) {
		putPassword(first, user, password)
		putPassword(second, user, password)
	}
	old := rand.Text()
	both(w.user, old)
	if err := mlflow.setPassword(w.user, old); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"MLFLOW_SECRETS_AUTH_ENABLE":   "vault,aws-secrets-manager",
		"MLFLOW_SECRETS_ALLOWED_HOSTS": "127.0.0.1",
		"MLFLOW_SECRETS_MAX_STALE_SEC": "0", // so that nothing but the second store helps
		"MLFLOW_VAULT_SECRET_PATH":     first.path(),
		"VAULT_ADDR":                   bao.url,
		"VAULT_TOKEN":                  bao.token(first.reader()),
		"MLFLOW_AWS_SECRET_NAME":       second.name,
		"AWS_REGION":                   region,
		"AWS_ENDPOINT_URL":             second.moto.url,
	} {
		t.Setenv(name, value)
	}
	p, err := providers.FromEnv(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := secretsauth.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	shortLived(&cfg)
	if w.rt, err = secretsauth.NewTransport(p, cfg); err != nil {
		t.Fatal(err)
	}
	w.client = &client{base: mlflow.url, http: &http.Client{Transport: w.rt}}
	crew := w.employ(2, func(int) error { return w.client.search(w.ctx) })
	w.until("the value has been refreshed", func() bool { return w.rt.Stats().Fetches >= 3 })
	bao.stop()
	before := w.rt.Stats().Fetches
	w.until("the value has been refreshed from the second store", func() bool { return w.rt.Stats().Fetches >= before+3 })

	w.rotateServer()
	putPassword(second, w.user, w.fresh)
	w.more(crew, 20)
	crew.dismiss(t)
	s := w.rt.Stats()
	if s.FetchErrors > 0 || s.StaleServed > 0 {
		t.Errorf("%+v", s)
	}
	t.Logf("%d requests; %d reads, of which %d failed in both stores", crew.done.Load(), s.Fetches, s.FetchErrors)
}
