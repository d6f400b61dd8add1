//go:build e2e

package e2e

import (
	"net/http"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// TestEnvironment does the job with a transport made from variables alone.
func TestEnvironment(t *testing.T) {
	s := inOpenBao(t, openbao, byToken, 2)
	w := newWorld(t, s)
	for name, value := range map[string]string{
		"MLFLOW_SECRETS_AUTH_ENABLE":   "vault",
		"MLFLOW_SECRETS_ALLOWED_HOSTS": "127.0.0.1",
		"MLFLOW_SECRETS_LOG_LEVEL":     "DEBUG",
		"MLFLOW_VAULT_SECRET_PATH":     s.path(),
		"VAULT_ADDR":                   s.bao.url,
		"VAULT_TOKEN":                  s.bao.token(s.reader()),
	} {
		w.Setenv(name, value)
	}
	rt, err := providers.TransportFromEnv(w.ctx, nil)
	if err != nil {
		w.Fatal(err)
	}
	if err := rt.Warm(w.ctx); err != nil {
		w.Fatal(err)
	}
	c := &client{base: mlflow.url, http: &http.Client{Transport: rt}}
	if err := c.search(w.ctx); err != nil {
		w.Fatal(err)
	}
	w.rotateStore()
	w.rotateServer()
	if err := c.search(w.ctx); err != nil {
		w.Fatal(err)
	}
	if stats := rt.Stats(); stats.Fetches != 2 || stats.Retries != 1 {
		t.Errorf("%+v", stats)
	}
}
