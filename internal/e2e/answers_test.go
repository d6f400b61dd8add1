//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// TestWrongPasswordReturnsTheServersOwn401 compares with what a plain client
// gets.
func TestWrongPasswordReturnsTheServersOwn401(t *testing.T) {
	w := newWorld(t, inOpenBao(t, openbao, byToken, 2)).connect(mlflow.url)
	wrong := canary.New()
	putPassword(w.store, w.user, wrong)
	get := func(rt http.RoundTripper) (*http.Response, []byte) {
		resp, err := (&http.Client{Transport: rt}).Get(mlflow.url + "/api/2.0/mlflow/experiments/get?experiment_id=0")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, body
	}
	want, wantBody := get(basic{w.user, wrong})
	got, gotBody := get(w.rt)
	if got.StatusCode != http.StatusUnauthorized || got.StatusCode != want.StatusCode {
		t.Errorf("status %d, a plain client gets %d", got.StatusCode, want.StatusCode)
	}
	if !bytes.Equal(gotBody, wantBody) || len(gotBody) == 0 {
		t.Errorf("a body of %d bytes, a plain client gets %d", len(gotBody), len(wantBody))
	}
	for _, name := range []string{"Www-Authenticate", "Content-Type", "Content-Length"} {
		if got.Header.Get(name) != want.Header.Get(name) {
			t.Errorf("%s: %q, a plain client gets %q", name, got.Header.Get(name), want.Header.Get(name))
		}
	}
	if got.Request.Header.Get("Authorization") != "" {
		t.Error("resp.Request holds the credential")
	}
	t.Logf("401 with %q and %d bytes", got.Header.Get("Www-Authenticate"), len(gotBody))
}

// TestA403OfPermissionSparesTheStore: a user who may read another's experiment
// tries to write to it.
func TestA403OfPermissionSparesTheStore(t *testing.T) {
	w := newWorld(t, inOpenBao(t, openbao, byToken, 2)).connect(mlflow.url)
	experiment, err := mlflow.admin.createExperiment(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	run, err := mlflow.admin.createRun(w.ctx, experiment)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if err := w.client.logBatch(w.ctx, run, []metric{{"m", 1, 1, i}}, nil); !errors.Is(err, statusError(http.StatusForbidden)) {
			t.Fatalf("request %d: %v, want 403", i, err)
		}
	}
	s := w.rt.Stats()
	if s.Fetches > 5 || s.Rejections != 200 {
		t.Errorf("%+v", s)
	}
	t.Logf("200 requests answered 403: %d reads of the store", s.Fetches)
}

// TestAHostThatIsNotAllowedGetsNothing, with the same MLflow under another name.
func TestAHostThatIsNotAllowedGetsNothing(t *testing.T) {
	w := newWorld(t, inOpenBao(t, openbao, byToken, 2)).connect(mlflow.url, func(c *secretsauth.Config) { c.AllowedHosts = []string{"mlflow.company.com"} })
	if err := w.client.search(w.ctx); !errors.Is(err, statusError(http.StatusUnauthorized)) {
		t.Errorf("%v, want the 401 of a request without a password", err)
	}
	if s := w.rt.Stats(); s.Fetches != 0 || s.Withheld != 1 {
		t.Errorf("%+v", s)
	}
}
