//go:build e2e

package e2e

import (
	"context"
	"maps"
	"strings"
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

// copies is the same secret in several stores, all of them enabled.
type copies []store

func (c copies) put(fields map[string]string) {
	for _, s := range c {
		s.put(fields)
	}
}

// provider is of the environment, which has to be set.
func (copies) provider() (secretsauth.Provider, error) {
	return providers.FromEnv(context.Background())
}

func (c copies) environ() map[string]string {
	const enable = "MLFLOW_SECRETS_AUTH_ENABLE"
	all, enabled := make(map[string]string), []string{}
	for _, s := range c {
		maps.Copy(all, s.environ())
		enabled = append(enabled, all[enable])
	}
	all[enable] = strings.Join(enabled, ",")
	return all
}

// TestOtherStoresTakeOver: the same password in three stores, of which the first
// is stopped in the middle of a run, and then the second.
func TestOtherStoresTakeOver(t *testing.T) {
	bao, moto := newOpenBao(t), newMoto(t)
	first, second, third := inOpenBao(t, bao, byAppRole, 2), inMoto(t, moto, ""), inKeyVault(t, keyVault)
	said := keepLog(t)
	for name, value := range map[string]string{
		"MLFLOW_SECRETS_MAX_STALE_SEC": "0", // so that nothing but another store helps
		"MLFLOW_SECRETS_MAX_RETRIES":   "1",
		"MLFLOW_VAULT_TTL_SEC":         "1",
		"MLFLOW_AWS_TTL_SEC":           "1",
		"MLFLOW_AZURE_TTL_SEC":         "1",
	} {
		t.Setenv(name, value)
	}
	w := newWorld(t, copies{first, second, third}).connectByEnvironment(mlflow.url)
	threeReads := func(of string) {
		t.Helper()
		before := w.rt.Stats().Fetches
		w.until("the secret has been read from "+of, func() bool { return w.rt.Stats().Fetches >= before+3 })
	}
	const byAWS, byAzure = "Secret served by aws-secrets-manager: vault failed", "Secret served by azure-key-vault: vault failed"
	untouched := keyVault.Reads()
	w.logRun(func() {
		threeReads("Vault")
		if said.Count("Secret served by") > 0 {
			t.Error("Vault was there, and another store served")
		}

		bao.stop()
		w.until("the log says that AWS serves", func() bool { return said.Count(byAWS) > 0 })
		threeReads("AWS")
		if keyVault.Reads() != untouched || said.Count(byAzure) > 0 {
			t.Error("AWS was there, and Azure was asked")
		}

		moto.process.stop()
		w.until("the log says that Azure serves", func() bool { return said.Count(byAzure) > 0 })
		threeReads("Azure")
	})

	// And it is Azure's value that is used.
	putPassword(third, w.user, w.fresh)
	w.rotateServer()
	if err := w.client.search(w.ctx); err != nil {
		t.Error(err)
	}
	s := w.rt.Stats()
	if s.FetchErrors > 0 || s.StaleServed > 0 {
		t.Errorf("%+v", s)
	}
	if said.Count(w.fresh) > 0 {
		t.Error("the log holds the password")
	}
	t.Logf("%d reads: %d by AWS, %d by Azure, none failed in all stores", s.Fetches, said.Count(byAWS), said.Count(byAzure))
}
