package secretsauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Cache is a [Provider] around a Provider: it keeps the secret for its TTL, and
// lets any number of callers share one read. It is safe for concurrent use and needs
// no closing. Make one with [NewCache]; several transports may share it, and a
// rejection that one of them sees counts for all. The zero value has no provider: its
// Fetch returns an error.
type Cache struct {
	provider Provider
	name     string
	key      string
	cfg      Config
	form     form // how the secret will be sent: a value must allow it
	log      *slog.Logger
	counters *counters // apart, so that counting does not slow down live

	// live is what a request may take without asking further: the whole of a
	// hit. It is derived from the fields below by publish.
	live atomic.Pointer[grant]

	mu      sync.Mutex
	last    *value // what the store held when last read, also after it was dropped
	before  predecessor
	held    *hold // what may be served; nil: nothing
	flight  *flight
	failure failure
	pauses  [len(rejectingStatuses)]pause
	stuck   int // reads whose provider has not come back in time
}

// value is one secret the store held, ready to be sent. Reading an equal secret
// again gives the same value, with its history.
type value struct {
	secret  Secret
	headers [formCount]header
	trial
}

// grant lets requests take a value without asking, from readAt until a moment
// in nanoseconds of wall-clock time: a suspended laptop counts as time passed,
// and before readAt the clock has been set back.
type grant struct {
	*value
	from, until int64
	stale       bool
}

// hold is a value with its times, in nanoseconds of wall-clock time.
type hold struct {
	value                                    *value
	readAt, refreshAt, expiresAt, staleUntil int64
	// suspect: a 403 came for it and the store has not been read since.
	suspect bool
}

// predecessor is the value that last has replaced, while last is yet to prove
// itself. Rotations change the store first: until the server follows, only the
// predecessor is accepted.
type predecessor struct {
	value *value
	until time.Time // one TTL more, and never past MaxStale or its expiry
}

// NewCache returns a cache around p. Of cfg it uses TTL, MaxStale, FetchTimeout
// and Logger, and Mode and HeaderName to refuse a secret that could not be sent
// that way. It reads nothing yet, and refuses nothing: with a nil p every Fetch
// returns an error that wraps [ErrConfig]. A cache around a cache serves no purpose:
// rejections reach only the outer one.
func NewCache(p Provider, cfg Config) *Cache {
	c := &Cache{provider: p, cfg: cfg, log: cfg.logger(), counters: new(counters)}
	if p != nil {
		c.name, c.key = p.Name(), keyOf(p)
	}
	name, err := cfg.headerName()
	if err != nil {
		name = "Authorization"
	}
	c.form = formOf(cfg.Mode, name)
	return c
}

// Name returns the provider's name.
func (c *Cache) Name() string { return c.name }

// Key returns what identifies the provider's secret in logs and errors.
func (c *Cache) Key() string { return c.key }

// Format writes the key, for every verb; see [Transport.Format].
func (c *Cache) Format(f fmt.State, _ rune) {
	key := ""
	if c != nil {
		key = c.key
	}
	_, _ = fmt.Fprintf(f, "secretsauth.Cache(%s)", key)
}

// Fetch returns the secret, from the cache if it may be served, and else waits for
// the read that all callers share. Errors are those of the provider as an [*Error],
// which all who waited get alike, or ctx's own. After a failure the store is left
// alone for a pause, in which Fetch returns that failure at once.
func (c *Cache) Fetch(ctx context.Context) (Secret, error) {
	v, err := c.get(ctx)
	if err != nil {
		return Secret{}, err
	}
	return v.secret, nil
}

// Stats returns the counters. Rejections, Retries and Withheld are a transport's, and
// zero here.
func (c *Cache) Stats() Stats {
	if c.counters == nil { // a zero Cache, which serves nothing
		return Stats{}
	}
	return c.counters.stats()
}

// Clear drops the value and what a read under way may bring, and forgets the
// pause after a failure: the next caller waits for a new read.
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = failure{}
	c.before = predecessor{}
	c.drop()
}

// get returns the value for one request. A hit is one load and one look at the
// clock.
func (c *Cache) get(ctx context.Context) (*value, error) {
	now := time.Now().UnixNano()
	if g := c.live.Load(); g != nil && g.from <= now && now < g.until {
		c.hit(ctx, g.stale)
		return g.value, nil
	}
	return c.ask(ctx)
}

func (c *Cache) hit(ctx context.Context, stale bool) {
	c.counters.hits.Add(1)
	if stale {
		c.counters.stale.Add(1)
	}
	if c.log.Enabled(ctx, slog.LevelDebug) {
		c.log.DebugContext(ctx, "Cache hit for key: "+c.key, "key", c.key, "stale", stale)
	}
}

// ask is get where the answer is not at hand: it may start a read, and waits for
// one only if there is nothing to serve meanwhile.
func (c *Cache) ask(ctx context.Context) (*value, error) {
	for {
		c.mu.Lock()
		now := time.Now()
		if c.provider == nil {
			c.mu.Unlock()
			return nil, &Error{Kind: ErrConfig, Summary: "the cache has no provider", Fix: "make it with NewCache and a Provider"}
		}
		if g := c.publish(now); g != nil {
			if c.flight == nil && c.due(now) {
				c.start(0)
				c.publish(now)
			}
			c.mu.Unlock()
			c.hit(ctx, g.stale)
			return g.value, nil
		}
		if c.flight == nil {
			if c.failure.active(now) {
				err := c.failure.err
				c.mu.Unlock()
				c.counters.misses.Add(1)
				return nil, err
			}
			c.start(0)
		}
		f := c.flight
		c.mu.Unlock()

		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch {
		case f.outdated:
			continue
		case f.value == nil:
			c.counters.misses.Add(1)
			return nil, f.err
		case f.err != nil:
			c.hit(ctx, true)
		default:
			c.counters.misses.Add(1)
		}
		return f.value, nil
	}
}

// due reports whether the store should be read in the background.
func (c *Cache) due(now time.Time) bool {
	return c.held != nil && now.UnixNano() >= c.held.refreshAt && !c.failure.active(now)
}

// publish derives from the state what may be served without asking, and until
// when nothing needs doing.
func (c *Cache) publish(now time.Time) *grant {
	g := c.grant(now)
	c.live.Store(g)
	return g
}

func (c *Cache) grant(now time.Time) *grant {
	h, at := c.held, now.UnixNano()
	if h == nil {
		return nil
	}
	if at < h.readAt {
		// The clock was set back, so the age is not known: expired as of now.
		h.readAt, h.refreshAt, h.expiresAt = at, at, at
		h.staleUntil = min(h.staleUntil, at+int64(c.cfg.maxStale()))
	}
	g := &grant{value: h.value, from: h.readAt, until: h.expiresAt}
	if at >= h.expiresAt {
		if !c.mayServeStale(at) {
			return nil
		}
		g.until, g.stale = h.staleUntil, true
	}
	if c.flight == nil { // else there is nothing to start before it ends
		wake := h.refreshAt
		if c.failure.active(now) {
			wake = c.failure.until.UnixNano()
		}
		g.until = min(g.until, max(wake, at))
	}
	return g
}

// mayServeStale is for a value past its TTL: only while the store is known to be
// unreachable, and never one that the server has rejected since.
func (c *Cache) mayServeStale(at int64) bool {
	h := c.held
	return h != nil && at < h.staleUntil && !h.suspect && !h.value.rejected() &&
		c.failure.err != nil && errors.Is(c.failure.err, ErrUnavailable)
}

// drop takes the value out of service. A read under way began before the
// invalidation, so it may bring the old value: it neither stores nor answers.
func (c *Cache) drop() {
	c.held = nil
	c.live.Store(nil)
	if f := c.flight; f != nil {
		c.flight = nil
		f.outdated = true
		close(f.done)
	}
}
