//go:build e2e

package e2e

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// TestSoak is "make soak": 64 workers for some minutes, against a real MLflow and a
// real OpenBao, through rotations and restarts of OpenBao. It runs where SOAK says for
// how long.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("SOAK, a duration such as 5m, is not set")
	}
	bao := newOpenBao(t)
	s := inOpenBao(t, bao, byAppRole, 2)
	w := newSoakWorld(t, s, length+5*time.Minute).connect(mlflow.url, func(c *secretsauth.Config) {
		// Longer than the change of the password takes in MLflow's queue of 64: until
		// then the value before is what is sent.
		c.TTL = time.Minute
	})
	crew := w.employ(64, func(int) error { return w.client.search(w.ctx) })
	w.more(crew, 128)
	before, goroutines := heap(), runtime.NumGoroutine()
	rotations, restarts := 0, 0
	for end := time.Now().Add(length); time.Now().Before(end); {
		w.more(crew, 200)
		w.rotateStore()
		w.rotateServer()
		w.old, w.fresh = w.fresh, canary.New()
		rotations++
		w.more(crew, 200)
		bao.stop()
		w.more(crew, 100)
		bao.restart()
		restarts++
	}
	after := heap()
	crew.dismiss(t)
	stats := w.rt.Stats()
	t.Logf("%d requests, %d failed, %d asked again after MLflow's own 500; %d rotations, %d restarts; %d reads of the store, %d failed; %d rejected, %d sent once more, %d served stale",
		crew.done.Load(), crew.failed.Load(), w.client.retried.Load(), rotations, restarts, stats.Fetches, stats.FetchErrors, stats.Rejections, stats.Retries, stats.StaleServed)
	t.Logf("heap in use %d KB at the start, %d KB at the end; %d goroutines at the start, %d at the end", before>>10, after>>10, goroutines, runtime.NumGoroutine())
	if after > 2*before+8<<20 {
		t.Errorf("the heap has grown from %d to %d KB", before>>10, after>>10)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
