//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// TestRunThroughRotation is the main job: a run that logs metrics and moves
// artifacts while its password is rotated, the store first and then the server.
func TestRunThroughRotation(t *testing.T) {
	for _, how := range []login{byToken, byAppRole} {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, KV version %d, Basic", how, version), func(t *testing.T) {
				w := newWorld(t, inOpenBao(t, openbao, how, version)).connect(mlflow.url)
				w.logRunThrough(func() {
					w.rotateStore()
					w.rotateServer()
				})
			})
		}
	}
	for name, role := range map[string]string{"AWS Secrets Manager": "", "AWS Secrets Manager, by an assumed role": roleARN} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, inMoto(t, moto, role)).connect(mlflow.url)
			w.logRunThrough(func() {
				w.rotateStore()
				w.rotateServer()
			})
		})
	}
	for name, clientID := range map[string]string{"Azure Key Vault": "", "Azure Key Vault, by a user-assigned identity": userAssigned} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AZURE_CLIENT_ID", clientID)
			w := newWorld(t, inKeyVault(t, keyVault)).connect(mlflow.url)
			w.logRunThrough(func() {
				keyVault.ExpireTokens() // the read for the rotation has to log in anew
				logins := keyVault.Logins(clientID)
				w.rotateStore()
				w.rotateServer()
				w.until("the identity has a new token", func() bool { return keyVault.Logins(clientID) > logins })
			})
		})
	}
	t.Run("AppRole, KV version 2, Bearer at nginx", func(t *testing.T) {
		w := newWorld(t, inOpenBao(t, openbao, byAppRole, 2))
		old := canary.New()
		w.store.put(map[string]string{"token": old})
		door := startFrontDoor(t, mlflow, old)
		w.connect(door.url)
		w.logRunThrough(func() {
			w.store.put(map[string]string{"token": w.fresh})
			door.rotate(w.fresh)
		})
	})
}

// TestRunThroughARotationAtCloudflareAccess has two headers of a gateway beside MLflow's
// own password in one secret, in fields that the environment names. The gateway's secret
// is rotated in the middle of the run, then MLflow's password.
func TestRunThroughARotationAtCloudflareAccess(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("KV version %d", version), func(t *testing.T) {
			w := newWorld(t, inOpenBao(t, openbao, byAppRole, version))
			id, old, fresh := canary.New()+".access", canary.New(), canary.New()
			stored := map[string]string{"user": w.user, "pass": w.old, "cf_id": id, "cf_secret": old}
			w.store.put(stored)
			door := startAccess(t, mlflow, id, old)
			t.Setenv("MLFLOW_SECRETS_FIELD_USERNAME", "user")
			t.Setenv("MLFLOW_SECRETS_FIELD_PASSWORD", "pass")
			t.Setenv("MLFLOW_SECRETS_HEADERS", "CF-Access-Client-Id=cf_id, CF-Access-Client-Secret=cf_secret")
			w.connectByEnvironment(door.url)
			w.logRunThrough(func() {
				stored["cf_secret"] = fresh
				w.store.put(stored)
				door.rotate(fresh)
			})
			w.logRun(func() {
				stored["pass"] = w.fresh
				w.store.put(stored)
				w.rotateServer()
			})
			if s := w.rt.Stats(); s.Fetches != 3 || s.Retries != s.Rejections {
				t.Errorf("%+v, want 3 reads of the store, and a replay for each rejection", s)
			}
		})
	}
}

const (
	workers      = 4
	batch        = 50
	artifactSize = 5 << 20
)

// logRunThrough logs a run with a rotation in the middle, which is to cost a read
// of the store and replays.
func (w *world) logRunThrough(rotate func()) {
	w.Helper()
	w.logRun(rotate)
	s := w.rt.Stats()
	if s.Rejections == 0 || s.Retries != s.Rejections {
		w.Errorf("the rotation was not met by a replay: %+v", s)
	}
	if s.Fetches != 2 {
		w.Errorf("%d reads of the store, want 2: one at the start, one for the rotation", s.Fetches)
	}
}

// logRun logs a run from four workers, of which none may fail whatever happens
// meanwhile, and looks whether everything has arrived.
func (w *world) logRun(meanwhile func()) {
	w.Helper()
	experiment, err := w.client.createExperiment(w.ctx)
	if err != nil {
		w.Fatal(err)
	}
	run, err := w.client.createRun(w.ctx, experiment)
	if err != nil {
		w.Fatal(err)
	}
	var logged atomic.Int64
	loggers := w.employ(workers-1, func(i int) error {
		metrics := make([]metric, batch)
		for j := range metrics {
			metrics[j] = metric{"loss", 1 / float64(i), time.Now().UnixMilli(), i*batch + j}
		}
		err := w.client.logBatch(w.ctx, run, metrics, []param{{fmt.Sprint("p", i), "v"}})
		if err == nil {
			logged.Add(batch)
		}
		return err
	})
	payload := make([]byte, artifactSize)
	_, _ = rand.Read(payload)
	mover := w.employ(1, func(i int) error {
		path := artifact(experiment, run, fmt.Sprintf("part-%d.bin", i))
		if _, err := w.client.send(w.ctx, http.MethodPut, path, payload); err != nil {
			return fmt.Errorf("upload: %w", err)
		}
		back, err := w.client.send(w.ctx, http.MethodGet, path, nil)
		if err != nil {
			return fmt.Errorf("download: %w", err)
		}
		if !bytes.Equal(back, payload) {
			return fmt.Errorf("download: %d bytes, and not those that were uploaded", len(back))
		}
		return nil
	})

	w.more(loggers, 10)
	w.more(mover, 2)
	meanwhile()
	w.more(loggers, 10)
	w.more(mover, 2)
	loggers.dismiss(w.T)
	mover.dismiss(w.T)

	n, err := w.client.history(w.ctx, run, "loss")
	if err != nil {
		w.Fatal(err)
	}
	if int64(n) != logged.Load() {
		w.Errorf("MLflow holds %d values of the metric, %d were logged", n, logged.Load())
	}
	if n := w.client.retried.Load(); n > workers {
		w.Errorf("MLflow answered 500 to %d requests: more than there were at the moment of the rotation", n)
	}
	s := w.rt.Stats()
	w.Logf("%d batches of %d metrics, %d artifacts of %d MiB up and down; %d requests rejected and replayed, %d answered 500 by MLflow and asked again, %d reads of the store",
		loggers.done.Load(), batch, mover.done.Load(), artifactSize>>20, s.Rejections, w.client.retried.Load(), s.Fetches)
}

// TestRefreshBetweenStoreAndServer has the client read the new password while the
// server still wants the old one.
func TestRefreshBetweenStoreAndServer(t *testing.T) {
	w := newWorld(t, inOpenBao(t, openbao, byToken, 2)).connect(mlflow.url, func(c *secretsauth.Config) { c.TTL = 30 * time.Second })
	crew := w.employ(2, func(int) error { return w.client.search(w.ctx) })
	w.more(crew, 4)
	reads := w.rt.Stats().Fetches
	w.rotateStore()
	w.until("the new password has been read", func() bool { return w.rt.Stats().Fetches > reads })
	w.more(crew, 10)
	w.rotateServer()
	w.more(crew, 10)
	crew.dismiss(t)
	s := w.rt.Stats()
	if s.Rejections == 0 || s.Retries != s.Rejections {
		t.Errorf("%+v", s)
	}
	t.Logf("%d requests; %d rejected and replayed with the old password, %d reads", crew.done.Load(), s.Retries, s.Fetches)
}

// TestServerBeforeStore rotates in the order that hurts.
func TestServerBeforeStore(t *testing.T) {
	t.Run("recovers with the first read after the store's change", func(t *testing.T) {
		w := newWorld(t, inOpenBao(t, openbao, byToken, 2)).connect(mlflow.url)
		if err := w.client.search(w.ctx); err != nil {
			t.Fatal(err)
		}
		w.rotateServer()
		for stop := time.Now().Add(time.Second); time.Now().Before(stop); {
			if err := w.client.search(w.ctx); !errors.Is(err, statusError(http.StatusUnauthorized)) {
				t.Fatalf("%v, want the server's 401: the store still holds the old password", err)
			}
		}
		w.rotateStore()
		changed, reads := time.Now(), w.rt.Stats().Fetches
		w.until("a request succeeds", func() bool { return w.client.search(w.ctx) == nil })
		took := time.Since(changed)
		s := w.rt.Stats()
		if s.Fetches-reads > 1 {
			t.Errorf("it took %d reads of the store", s.Fetches-reads)
		}
		// 2 s, and what a slow machine adds to a password check.
		if took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
		t.Logf("recovered %v after the store's change; %d rejections, %d reads in all", took.Round(10*time.Millisecond), s.Rejections, s.Fetches)
	})
	t.Run("with RotationWait nothing fails", func(t *testing.T) {
		w := newWorld(t, inOpenBao(t, openbao, byToken, 2)).connect(mlflow.url, func(c *secretsauth.Config) { c.RotationWait = time.Minute })
		crew := w.employ(workers, func(int) error { return w.client.search(w.ctx) })
		w.more(crew, 10)
		w.rotateServer()
		w.until("a request is rejected", func() bool { return w.rt.Stats().Rejections > 0 })
		time.Sleep(1500 * time.Millisecond) // the gap that it is about
		w.rotateStore()
		w.more(crew, 20)
		crew.dismiss(t)
		s := w.rt.Stats()
		t.Logf("%d requests; %d rejected, %d replayed, %d reads", crew.done.Load(), s.Rejections, s.Retries, s.Fetches)
	})
}
