package proxy

import (
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// CacheStatus is what a running proxy tells of its cache. Times are zero where there
// is none.
type CacheStatus struct {
	Proxy       string    `json:"proxy"`
	Upstream    string    `json:"upstream"`
	PID         int       `json:"pid"`
	Key         string    `json:"key"`     // of the secret
	Entries     int       `json:"entries"` // 1, or 0 while there is no credential
	Age         float64   `json:"age_seconds"`
	HitRate     float64   `json:"hit_rate"`
	Hits        uint64    `json:"hits"`
	Misses      uint64    `json:"misses"`
	Reads       uint64    `json:"reads"`
	ReadErrors  uint64    `json:"read_errors"`
	StaleServed uint64    `json:"stale_served"`
	Rejections  uint64    `json:"rejections"`
	Retries     uint64    `json:"retries"`
	ReadAt      time.Time `json:"read_at,omitzero"`
	NextRefresh time.Time `json:"next_refresh,omitzero"` // of the credential, or after a failure
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	LastError   string    `json:"last_error,omitempty"` // of the last read, if it failed
}

func (p *Proxy) cacheStatus() CacheStatus {
	s, c := p.transport.Stats(), p.transport.CacheState()
	status := CacheStatus{
		Proxy: p.URL(), Upstream: p.upstream.url.String(), PID: os.Getpid(), Key: c.Key,
		HitRate: s.HitRate(), Hits: s.Hits, Misses: s.Misses, Reads: s.Fetches, ReadErrors: s.FetchErrors,
		StaleServed: s.StaleServed, Rejections: s.Rejections, Retries: s.Retries,
		ReadAt: c.ReadAt, NextRefresh: c.RefreshAt, ExpiresAt: c.ExpiresAt,
	}
	if p.cfg.Unix != "" {
		status.Proxy = p.main.address()
	}
	if !c.ReadAt.IsZero() {
		status.Entries, status.Age = 1, time.Since(c.ReadAt).Seconds()
	}
	if c.Failure != nil {
		status.LastError, status.NextRefresh = inspect.Failed("", c.Failure).Cause, c.RetryAt
	}
	return status
}

// The paths on the control socket. Who connects there is this user (peer check).
const (
	statusPath = "/v1/cache"
	clearPath  = "/v1/cache/clear"
)

func (p *Proxy) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statusPath, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, p.cacheStatus())
	})
	mux.HandleFunc("POST "+clearPath, p.clear)
	return mux
}

// clearing is when the cache was last cleared by hand.
type clearing struct {
	mu sync.Mutex
	at time.Time
}

// clearPause protects the store from a script that clears in a loop.
const clearPause = 10 * time.Second

// allow reports how long to wait, or 0 and takes the turn.
func (c *clearing) allow(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait := c.at.Add(clearPause).Sub(now); !c.at.IsZero() && wait > 0 {
		return wait
	}
	c.at = now
	return 0
}

// clear drops the credential and reads it again.
func (p *Proxy) clear(w http.ResponseWriter, r *http.Request) {
	if wait := p.cleared.allow(time.Now()); wait > 0 {
		seconds := strconv.Itoa(int(wait/time.Second) + 1)
		w.Header().Set("Retry-After", seconds)
		answer{"the cache was cleared less than " + clearPause.String() + " ago", "try again in " + seconds + " s"}.write(w, http.StatusTooManyRequests)
		return
	}
	p.transport.ClearCache()
	p.log.InfoContext(r.Context(), "Cache cleared on request")
	if why := p.unready(r.Context()); why != nil {
		why.write(w, http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, http.StatusOK, p.cacheStatus())
}
