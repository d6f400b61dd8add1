//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// TestOpenBaoStoppedForAWhile: requests go on, and recover by themselves.
func TestOpenBaoStoppedForAWhile(t *testing.T) {
	w := newWorld(t, newOpenBao(t), 2).connect(mlflow.url, byAppRole, func(c *secretsauth.Config) { c.TTL = time.Second })
	crew := w.employ(2, func(int) error { return w.client.search(w.ctx) })
	w.until("the value has been refreshed", func() bool { return w.rt.Stats().Fetches >= 3 })

	w.secret.bao.stop()
	w.until("reads have failed", func() bool { return w.rt.Stats().FetchErrors >= 2 })
	w.more(crew, 20)
	if s := w.rt.Stats(); s.StaleServed == 0 {
		t.Errorf("nothing was served past its TTL: %+v", s)
	}

	w.secret.bao.restart()
	ok := func() uint64 { s := w.rt.Stats(); return s.Fetches - s.FetchErrors }
	before := ok()
	w.until("the store is read again", func() bool { return ok() > before+2 })

	w.rotateStore()
	w.rotateServer()
	w.more(crew, 20)
	crew.dismiss(t)
	s := w.rt.Stats()
	t.Logf("%d requests; %d of %d reads failed, %d values served stale", crew.done.Load(), s.FetchErrors, s.Fetches, s.StaleServed)
}
