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
	"unicode"
	"unicode/utf8"
)

// Cache is a [Provider] around a Provider: it keeps the secret for its TTL, and
// lets any number of callers share one read. It is safe for concurrent use. Make
// one with [NewCache]; several transports may share it.
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
	held    *hold  // what may be served; nil: nothing
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

// flight is one read of the store, shared by all who wait for it.
type flight struct {
	done  chan struct{} // closed when the rest is set
	cause status        // the rejection that asked for it, or none

	outdated bool // an invalidation came meanwhile: ask again
	settled  bool
	value    *value // what to use, stale when err is set as well
	err      *Error
}

// failure is why the last read failed, and when the next may start.
type failure struct {
	err *Error
	pause
}

const (
	firstFailurePause = time.Second
	lastFailurePause  = time.Minute
	// timeoutGrace is for providers that return late once their context ends.
	timeoutGrace = 250 * time.Millisecond
	// maxStuck reads may hang beyond their timeout before no further one starts.
	maxStuck = 4
)

// NewCache returns a cache around p. Of cfg it uses TTL, MaxStale, FetchTimeout
// and Logger, and Mode and HeaderName to refuse a secret that could not be sent
// that way. It reads nothing yet. A cache around a cache serves no purpose:
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

// Fetch returns the secret, from the cache if it may be served. Errors are those
// of the provider as an [*Error], or ctx's own.
func (c *Cache) Fetch(ctx context.Context) (Secret, error) {
	v, err := c.get(ctx)
	if err != nil {
		return Secret{}, err
	}
	return v.secret, nil
}

// Stats returns the counters.
func (c *Cache) Stats() Stats { return c.counters.stats() }

// Clear drops the value and what a read under way may bring, and forgets the
// pause after a failure: the next caller waits for a new read.
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = failure{}
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

// start begins a read in its own goroutine, detached from every caller: no
// caller's end is the read's, and nothing of a caller's context (an httptrace
// would see the store's token) reaches the store.
func (c *Cache) start(cause status) {
	f := &flight{done: make(chan struct{}), cause: cause}
	c.flight = f
	c.counters.fetches.Add(1)
	if c.stuck >= maxStuck {
		go c.settle(f, Secret{}, errStuck)
		return
	}
	go c.read(f)
}

var (
	errStuck   = errors.New("earlier reads have not come back long after their timeout: the provider ignores its context")
	errPanic   = errors.New("the provider panicked")
	errTimeout = errors.New("the read did not end within FetchTimeout")
)

func (c *Cache) read(f *flight) {
	timeout := c.cfg.fetchTimeout()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()

	var late, back bool // guarded by mu
	watchdog := time.AfterFunc(timeout+timeoutGrace, func() {
		c.mu.Lock()
		late = !back
		if late {
			c.stuck++
		}
		c.mu.Unlock()
		if late {
			c.settle(f, Secret{}, errTimeout)
		}
	})
	var secret Secret
	err := errPanic // unless Fetch returns: it may panic, with the secret perhaps, or end its goroutine
	defer func() {
		_ = recover()
		watchdog.Stop()
		c.mu.Lock()
		back = true
		if late {
			c.stuck--
		}
		c.mu.Unlock()
		c.settle(f, secret, err)
	}()
	secret, err = c.provider.Fetch(ctx)
}

// settle ends a flight, once, with what the store said.
func (c *Cache) settle(f *flight, secret Secret, err error) {
	v, failed := c.judge(secret, err)
	c.mu.Lock()
	if f.settled || f.outdated {
		c.mu.Unlock()
		return
	}
	f.settled = true
	c.flight = nil
	now := time.Now()
	if failed != nil {
		c.fail(f, failed, now)
	} else {
		c.adopt(f, v, now)
	}
	c.publish(now)
	going := c.held != nil
	c.mu.Unlock()
	close(f.done)
	c.report(failed, going) // not under the lock: a handler may send requests of its own
}

// judge turns a provider's answer into a value that can be sent, or an error.
func (c *Cache) judge(secret Secret, err error) (*value, *Error) {
	if err != nil {
		return nil, asError(err, c.name, c.key)
	}
	if !secret.expiry.IsZero() && !time.Now().Before(secret.expiry) {
		return nil, asError(&Error{
			Kind:    ErrInvalidSecret,
			Summary: "the secret expired at " + secret.expiry.UTC().Format(time.RFC3339),
			Fix:     "store a new version",
		}, c.name, c.key)
	}
	v := &value{secret: secret, headers: secret.headers()}
	if unfit := v.headers[c.form].err; unfit != nil {
		return nil, asError(unfit, c.name, c.key)
	}
	return v, nil
}

// adopt puts what was read into service.
func (c *Cache) adopt(f *flight, v *value, now time.Time) {
	first := c.last == nil
	fresh := v.secret // its expiry is that of this read
	if !first && c.last.secret.sameAs(fresh) {
		v = c.last
	}
	if f.cause != 0 {
		c.pauses[f.cause.index()].extend(f.cause, now)
	} else if v != c.last {
		c.pauses = [len(c.pauses)]pause{}
	}
	c.last = v
	c.failure = failure{}

	ttl := int64(c.cfg.ttl(fresh))
	h := &hold{value: v, readAt: now.UnixNano()}
	h.expiresAt = h.readAt + ttl
	h.staleUntil = h.expiresAt + int64(c.cfg.maxStale())
	if !fresh.expiry.IsZero() {
		end := fresh.expiry.UnixNano()
		h.expiresAt = min(h.expiresAt, end)
		h.staleUntil = min(h.staleUntil, end)
	}
	// From 80 % of its life a value is refreshed, ±10 %; a process's first
	// refresh falls anywhere from 10 to 80 %, so that a fleet that starts together
	// does not go on reading together.
	share := 0.8 * (0.9 + 0.2*rand.Float64())
	if first {
		share = 0.1 + 0.7*rand.Float64()
	}
	h.refreshAt = h.readAt + int64(share*float64(h.expiresAt-h.readAt))
	c.held = h
	f.value = v
}

// fail keeps the old value within its bounds and sets the pause before the next
// read.
func (c *Cache) fail(f *flight, err *Error, now time.Time) {
	c.counters.fetchErrors.Add(1)
	delay := min(max(2*c.failure.delay, firstFailurePause), lastFailurePause)
	wait := max(jitter(delay, 0.25), min(err.RetryAfter(), lastFailurePause))
	c.failure = failure{err, pause{delay: delay, until: now.Add(wait)}}

	f.err = err
	if at := now.UnixNano(); c.mayServeStale(at) && at >= c.held.readAt {
		f.value = c.held.value
	}
}

// report logs how a read ended.
func (c *Cache) report(err *Error, going bool) {
	if err == nil {
		c.log.Info("Secret fetched successfully (provider="+c.name+", cache_hit=false)",
			"provider", c.name, "cache_hit", false, "key", c.key)
		return
	}
	level := slog.LevelError
	if going && errors.Is(err, ErrUnavailable) {
		level = slog.LevelWarn // requests go on with the value there is
	}
	c.log.Log(context.Background(), level, capitalise(err.summary()),
		"provider", err.Provider, "key", err.Key, "error", err.Error())
}

// capitalise is for log lines, which begin like sentences.
func capitalise(text string) string {
	r, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(r)) + text[size:]
}

// jitter is d, give or take a share of it.
func jitter(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 + share*(2*rand.Float64()-1)))
}
