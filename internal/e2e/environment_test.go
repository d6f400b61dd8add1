//go:build e2e

package e2e

import (
	"os"
	"testing"
)

// TestEnvironment does the job with a transport made from variables alone.
func TestEnvironment(t *testing.T) {
	for name, in := range map[string]func(*testing.T) store{
		"Vault":               func(t *testing.T) store { return inOpenBao(t, openbao, byToken, 2) },
		"Vault, by AppRole":   func(t *testing.T) store { return inOpenBao(t, openbao, byAppRole, 2) },
		"AWS Secrets Manager": func(t *testing.T) store { return inMoto(t, moto, roleARN) },
		"Azure Key Vault":     func(t *testing.T) store { return inKeyVault(t, keyVault) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("MLFLOW_SECRETS_LOG_LEVEL", "DEBUG")
			said := keepLog(t)
			w := newWorld(t, in(t)).connectByEnvironment(mlflow.url)
			if err := w.rt.Warm(w.ctx); err != nil {
				t.Fatal(err)
			}
			if err := w.client.search(w.ctx); err != nil {
				t.Fatal(err)
			}
			w.rotateStore()
			w.rotateServer()
			if err := w.client.search(w.ctx); err != nil {
				t.Fatal(err)
			}
			if stats := w.rt.Stats(); stats.Fetches != 2 || stats.Retries != 1 {
				t.Errorf("%+v", stats)
			}
			slug := os.Getenv("MLFLOW_SECRETS_AUTH_ENABLE")
			if n := said.Count("Authentication successful (provider=" + slug + ", auth_mode=basic)"); n != 2 {
				t.Errorf("the log says %d times that %s's credential is accepted, want 2", n, slug)
			}
			if said.Count(w.fresh) > 0 {
				t.Error("the log holds the password")
			}
		})
	}
}
