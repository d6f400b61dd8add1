package doctor

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// The request that looks for the way to a store.
func TestF2TheWayToAStoreHearsNothingUnasked(t *testing.T) {
	t.Parallel()
	faults.EverySurplus(t, []string{"TCP", "TLS 1.2", "TLS 1.3"}, faults.Surpluses(), func(stage *faults.Stage) {
		stage.Parallel()
		secret := canary.New()
		peer := stage.Start(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, secret) }), secret)
		to, err := url.Parse(peer.URL)
		if err != nil {
			stage.Fatal(err)
		}
		v := &visit{ctx: faults.Hesitate(stage.Context()), log: slog.New(slog.DiscardHandler), emit: func(Result) {}}
		v.travel(to, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: peer.Roots(), MinVersion: tls.VersionTLS12}}, names{"the store", "STORE_ADDR", "", "trust it"})
		for _, r := range v.results {
			if r.Status == inspect.Fail {
				stage.Errorf("%s: %+v", r.ID, r.Finding)
			}
		}
	})
}

// The requests to a tracking server, with the credential and without.
func TestF1F3TheTrialOfAServerHearsNothingUnasked(t *testing.T) {
	t.Parallel()
	faults.EverySurplus(t, []string{"TCP"}, faults.Surpluses(), func(stage *faults.Stage) {
		stage.Parallel()
		m := mlflow{version: "3.18.0", token: canary.New()}
		m.change = func(w http.ResponseWriter, _ *http.Request, _ bool) bool {
			w.Header().Set("X-Debug", m.token)
			return false
		}
		peer := stage.Start(m, m.token)
		for id, r := range dryIn(faults.Hesitate(stage.Context()), stage.T, peer.URL, m.token, "127.0.0.1") {
			if !stage.Surplus.Spoils() && r.Status != inspect.Pass {
				stage.Errorf("%s: %+v", id, r.Finding)
			}
		}
	})
}
