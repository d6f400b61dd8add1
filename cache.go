package secretsauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Cache is a [Provider] around a Provider: it keeps the secret for its TTL, and
// lets any number of callers share one read. It is safe for concurrent use and needs
// no closing. Make one with [NewCache]; several transports may share it, and a
// rejection that one of them sees counts for all. The zero value has no provider: its
// Fetch returns an error.
//
// Its parts are four: a [value] is a secret and what servers have said of it, a
// [lease] is for how long it may be used, a [flight] is one read of the store, and a
// [backoff] is a pause in which there is none. docs/architecture.md draws how a value
// goes from one state to the next.
type Cache struct {
	provider Provider
	name     string
	key      string
	unusable error         // why no Fetch can succeed, or nil
	ttl      time.Duration // Config.TTL; 0: by the provider's hint
	maxStale time.Duration
	timeout  time.Duration // of one read, all stores of the provider together
	form     form          // how the secret will be sent: a value must allow it
	log      *slog.Logger
	random   chance
	counters *counters // allocated separately, so that counting does not share a cache line with live

	// live is the lease that requests take without the lock: the whole of a hit.
	// publish computes it from the fields below.
	live atomic.Pointer[lease]

	warnedOfClock atomic.Bool

	mu        sync.Mutex
	last      *value    // what the store held when last read, also if it may not be used any more
	lease     *lease    // of last; nil: it may not be used
	flight    *flight   // the read under way that will answer; nil: none
	reading   int       // calls of the provider that have not come back, the answers of some being outdated
	startedAt time.Time // when the latest read began
	asksFrom  time.Time // before this, waiting for a rotation leads to no further read
	failure   *Error    // of the latest read; nil if it succeeded
	failing   backoff
	rejecting [len(rejectingStatuses)]backoff
}

// lease is for how long a value may be used. Its times are nanoseconds of wall-clock
// time: a suspended laptop counts as time passed, and before readAt the clock has been
// set back.
type lease struct {
	value      *value
	readAt     int64
	refreshAt  int64     // from here on a read starts in the background
	expiresAt  int64     // the end of the TTL, or of the secret's own validity
	staleUntil int64     // the end of the use while the store is unreachable
	validUntil time.Time // the secret's own end, or zero

	// Of the lease that is taken without the lock: until when there is nothing to
	// decide. The end of a pause is a moment of the monotonic clock, so it is apart.
	until int64
	wake  time.Time // zero: no pause ends before until
	stale bool      // past its TTL
}

// covers reports whether a request at now may use the value without asking further.
func (l *lease) covers(now time.Time) bool {
	at := now.UnixNano()
	return l.readAt <= at && at < l.until && (l.wake.IsZero() || now.Before(l.wake))
}

// NewCache returns a cache around p. Of cfg it uses TTL, MaxStale, FetchTimeout
// and Logger, and Mode and HeaderName to refuse a secret that could not be sent
// that way. It reads nothing yet. With a nil p, or a field of cfg that has no meaning,
// every Fetch returns an error that wraps [ErrConfig]. A cache around a cache serves no
// purpose: rejections reach only the outer one.
func NewCache(p Provider, cfg Config) *Cache {
	c := &Cache{provider: p, ttl: cfg.TTL, maxStale: cfg.maxStale(), timeout: cfg.fetchTimeout(),
		log: cfg.logger(), random: rand.Float64, counters: new(counters)}
	if c.unusable = c.identify(); c.unusable == nil {
		c.unusable = cfg.checkCache()
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

// Fetch returns the secret, from the cache if it may be used, and else waits for the
// read that all callers share. An error is the provider's as an [*Error], which all who
// waited get alike. If ctx ends first, the error names the store that was waited for
// and wraps ctx's own error. After a failure the store is left alone for a pause, in
// which Fetch returns that failure at once.
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
	s := c.counters.stats()
	s.ValidUntil = c.State().ValidUntil
	return s
}

// Clear drops the value, cancels a read under way, and forgets the pause after a
// failure: the next caller waits for a new read, and so do those who wait now.
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure, c.failing = nil, backoff{}
	if c.last != nil {
		c.last.before = nil
	}
	c.drop()
}

// get returns the value for one request. A hit is one load and one look at the
// clock.
func (c *Cache) get(ctx context.Context) (*value, error) {
	if l := c.live.Load(); l != nil && l.covers(time.Now()) {
		c.hit(ctx, l.stale)
		return l.value, nil
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
	if c.counters == nil {
		return nil, errNoProvider
	}
	for {
		l, f, err := c.serve()
		switch {
		case err != nil:
			c.counters.misses.Add(1)
			return nil, err
		case l != nil:
			c.hit(ctx, l.stale)
			return l.value, nil
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			c.counters.misses.Add(1)
			return nil, newWaitError(ctx, c.name, c.key)
		}
		switch {
		case f.outdated: // wait for the next
		case f.value == nil:
			c.counters.misses.Add(1)
			return nil, f.err
		case f.err != nil:
			c.hit(ctx, true)
			return f.value, nil
		default:
			c.counters.misses.Add(1)
			return f.value, nil
		}
	}
}

// serve returns a lease that a request can take now, or the read to wait for, or the
// failure that lasts. It starts the read if none is under way.
func (c *Cache) serve() (*lease, *flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unusable != nil {
		return nil, nil, c.unusable
	}
	now := time.Now()
	pausing := c.failing.active(now)
	if l := c.publish(now); l != nil {
		if c.flight == nil && !pausing && now.UnixNano() >= c.lease.refreshAt {
			c.start(0)
			c.publish(now)
		}
		return l, nil, nil
	}
	if c.flight == nil {
		if pausing {
			return nil, nil, c.failure
		}
		c.start(0)
	}
	return nil, c.flight, nil
}

// publish recomputes what requests may use without taking the lock.
func (c *Cache) publish(now time.Time) *lease {
	l := c.current(now)
	c.live.Store(l)
	return l
}

// current returns the lease that a request may take at now, with how long there is
// nothing to decide, or nil.
func (c *Cache) current(now time.Time) *lease {
	l, at := c.lease, now.UnixNano()
	if l == nil {
		return nil
	}
	if at < l.readAt {
		// The clock was set back, so the age is not known: expired as of now.
		l.readAt, l.refreshAt, l.expiresAt = at, at, at
		l.staleUntil = min(l.staleUntil, at+int64(c.maxStale))
	}
	granted := *l
	granted.until = l.expiresAt
	if at >= l.expiresAt {
		if !c.mayServeStale(at) {
			return nil
		}
		granted.until, granted.stale = l.staleUntil, true
	}
	switch {
	case c.flight != nil: // nothing can be started before it ends
	case c.failing.active(now):
		granted.wake = c.failing.until
	default:
		granted.until = min(granted.until, max(l.refreshAt, at))
	}
	return &granted
}

// mayServeStale is for a value past its TTL: only while the store is known to be
// unreachable, and never one that a 401 has made distrusted. A 403 costs nobody the
// stale value: it is as often a missing permission (F12).
func (c *Cache) mayServeStale(at int64) bool {
	return c.lease != nil && at < c.lease.staleUntil && !c.last.distrusted() &&
		c.failure != nil && errors.Is(c.failure, ErrUnavailable)
}

// drop takes the value out of use.
func (c *Cache) drop() {
	c.lease = nil
	c.live.Store(nil)
	c.outdate()
}
