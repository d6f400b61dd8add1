package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
)

const (
	workers     = 4
	workersText = "four"
	each        = 50 // metrics of each worker
)

func (d *demo) rotation(ctx context.Context, r *report) error {
	before := d.server.Refused()
	rotatedAt, failed, err := d.logMetrics(ctx)

	const all = workers * each
	r.check(rotatedAt > 0 && rotatedAt < all, "rotated after %d of %d metrics, in the store first, then on the server", rotatedAt, all)
	if failed > 0 {
		return fmt.Errorf("%d requests failed, the first with: %w", failed, err)
	}
	r.check(true, "no request failed")
	logged, distinct := count(d.server.Metrics(d.runID))
	r.check(logged == all && distinct == all, "the server has %d of %d metrics, %s", logged, all, onceEach(logged == distinct))

	refused := d.server.Refused() - before
	retries := d.transport.Stats().Retries
	r.check(refused > 0 && refused == int(retries), "401 for the old password: %s; sent again with the new one: %s", times(refused), times(int(retries)))
	r.check(d.store.Reads() == 2, "the store was read %s for all of it", times(d.store.Reads()-1))
	return d.client.call(ctx, "runs/update", map[string]any{
		"run_id": d.runID, "status": "FINISHED", "end_time": time.Now().UnixMilli(),
	}, &struct{}{})
}

// logMetrics has the workers log, and the password changed at both ends when they
// have done a third. The error is that of the first request that failed.
func (d *demo) logMetrics(ctx context.Context) (rotatedAt, failed int, err error) {
	var done, failures atomic.Int64
	third, rotated := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(rotated)
		<-third
		d.store.Write(secretName, credential(d.next))
		rotatedAt = int(done.Load())
		d.server.Rotate(d.next)
	}()

	var once sync.Once
	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			for step := range each {
				if step == each-1 {
					<-rotated // so that something is logged after it, whatever the machine
				}
				e := d.client.call(ctx, "runs/log-metric", map[string]any{
					"run_id": d.runID, "key": fmt.Sprintf("loss-%d", worker), "step": step,
					"value": 1 / float64(step+1), "timestamp": time.Now().UnixMilli(),
				}, &struct{}{})
				if e != nil {
					failures.Add(1)
					once.Do(func() { err = e })
				}
				if done.Add(1) == workers*each/3 {
					close(third)
				}
			}
		})
	}
	wait.Wait()
	return rotatedAt, int(failures.Load()), err
}

// count is how many values were logged, and how many different ones.
func count(metrics []devstack.Metric) (all, distinct int) {
	type point struct {
		key  string
		step int64
	}
	seen := make(map[point]bool)
	for _, m := range metrics {
		seen[point{m.Key, m.Step}] = true
	}
	return len(metrics), len(seen)
}

func onceEach(yes bool) string {
	if yes {
		return "each of them once"
	}
	return "some of them twice"
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}
