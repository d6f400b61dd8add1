package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
)

// answer is the body of every answer of the proxy's own.
type answer struct {
	Error string `json:"error"`
	Fix   string `json:"fix,omitempty"`
}

func (a answer) write(w http.ResponseWriter, status int) { writeJSON(w, status, a) }

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Server", "mlflow-secrets-auth") // so that doctor knows who answers
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
}

// refuse answers a request that is not passed on. Its body stays unread; whoever
// sends a long one all the same loses the connection.
func (p *Proxy) refuse(w http.ResponseWriter, r *http.Request, why *refusal) {
	p.metrics.refused.WithLabelValues(why.reason).Inc()
	p.log.DebugContext(r.Context(), "Request refused: "+why.text, "reason", why.reason)
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(p.cfg.DrainTimeout))
	}
	if why.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allowedMethods) // RFC 9110, section 15.5.6
	}
	answer{why.text, why.fix}.write(w, why.status)
}

// fail answers for an upstream that cannot.
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody is there to read it
	}
	if exchangeOf(r.Context()).body.broken() {
		answer{"the request's body cannot be read", "send it as its head says"}.write(w, http.StatusBadRequest)
		return
	}
	status, told := http.StatusBadGateway, p.unreachable(err)
	if own, ok := errors.AsType[*secretsauth.Error](err); ok {
		status, told = http.StatusServiceUnavailable, noCredential(own)
		w.Header().Set("Retry-After", strconv.Itoa(p.retryAfter(own)))
	}
	p.log.Log(r.Context(), slog.LevelWarn, "Request failed: "+told.Error, "status", status)
	told.write(w, status)
}

// noCredential says why there is none. The library's errors hold no secret.
func noCredential(err *secretsauth.Error) answer {
	f := inspect.Failed("", err)
	text := "no credential: " + f.Cause
	if err.Key != "" {
		text = "no credential: " + err.Key + ": " + f.Cause
	}
	return answer{text, f.Fix}
}

// unreachable says why the upstream has not answered, quoting nothing that it sent.
func (p *Proxy) unreachable(err error) answer {
	return answer{
		Error: fmt.Sprintf("the upstream %s has not answered: %v", p.upstream.origin(), netcause.Of(err)),
		Fix:   "mlflow-secrets-auth doctor --dry-run " + p.upstream.url.String(),
	}
}

const (
	defaultRetry = 5 * time.Second
	maxRetry     = time.Hour
)

// retryAfter is in seconds: what the store has asked for, or when it is read again.
func (p *Proxy) retryAfter(err *secretsauth.Error) int {
	wait := err.RetryAfter()
	if at := p.transport.CacheState().RetryAt; !at.IsZero() {
		wait = max(wait, time.Until(at))
	}
	if wait <= 0 {
		wait = defaultRetry
	}
	return int(math.Ceil(min(wait, maxRetry).Seconds()))
}
