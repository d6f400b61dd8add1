package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// maxWarm is how long a question waits for a read of the store, which goes on.
const maxWarm = 5 * time.Second

// adminHandler is for who watches over the proxy. It shows nothing that needs a
// token.
func (p *Proxy) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", p.healthz)
	mux.HandleFunc("GET /readyz", p.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}

type state struct {
	Status string `json:"status"`
}

func (p *Proxy) healthz(w http.ResponseWriter, _ *http.Request) {
	if p.ending.Load() {
		answer{"the proxy is ending", ""}.write(w, http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, http.StatusOK, state{"ok"})
}

// readyz tells whether requests would have a credential.
func (p *Proxy) readyz(w http.ResponseWriter, r *http.Request) {
	if p.ending.Load() {
		p.healthz(w, r)
		return
	}
	if why := p.unready(r.Context()); why != nil {
		why.write(w, http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, http.StatusOK, state{"ready"})
}

// unready says why there is no credential, or nil. It reads the store where a
// request would, and else counts as none.
func (p *Proxy) unready(ctx context.Context) *answer {
	if s := p.transport.CacheState(); !s.ReadAt.IsZero() && time.Now().Before(s.ExpiresAt) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxWarm)
	defer cancel()
	err := p.Warm(ctx)
	if err == nil {
		return nil
	}
	why := answer{"no credential: the store is still being read", ""}
	if own, ok := errors.AsType[*secretsauth.Error](err); ok {
		why = noCredential(own)
	}
	return &why
}
