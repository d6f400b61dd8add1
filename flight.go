package secretsauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
)

// flight is one read of the store, shared by all who wait for it.
type flight struct {
	done  chan struct{} // closed when the fields below are set
	cause status        // the rejection that asked for it, or none

	outdated bool   // an invalidation came meanwhile: ask again
	value    *value // what to use, stale if err is set as well
	err      *Error

	// The fields below are guarded by the cache's lock.

	ended    bool
	cancel   context.CancelFunc // ends the provider's call; nil before it has begun
	watchdog *time.Timer        // ends the flight of a provider that does not come back
}

const (
	// timeoutGrace is for providers that return late once their context ends.
	timeoutGrace = 250 * time.Millisecond
	// maxReading calls of the provider may be under way at once. More than one is
	// only where an invalidation has cancelled one, and where a provider ignores
	// its context.
	maxReading = 4
)

var (
	errPanic   = errors.New("the provider panicked")
	errTimeout = errors.New("the read did not end within FetchTimeout")
	errStuck   = errors.New("earlier reads have not come back after their end: the provider ignores its context")
)

// start begins a read. If too many calls of the provider have not come back, it
// begins when the first of them does, and fails if none does so at once.
func (c *Cache) start(cause status) {
	f := &flight{done: make(chan struct{}), cause: cause}
	c.flight = f
	f.watchdog = time.AfterFunc(timeoutGrace, func() { c.settle(f, nil, c.failureOf(errStuck)) })
	c.launch()
}

// launch calls the provider for the flight that has not begun, in a goroutine of its
// own and detached from every caller: a caller's cancellation does not cancel the
// read, and nothing of a caller's context (an httptrace would see the store's token)
// reaches the store.
func (c *Cache) launch() {
	f := c.flight
	if f == nil || f.cancel != nil || c.reading >= maxReading {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	f.cancel = cancel
	f.watchdog.Stop()
	f.watchdog = time.AfterFunc(c.timeout+timeoutGrace, func() { c.settle(f, nil, c.failureOf(errTimeout)) })
	c.reading++
	c.startedAt = time.Now()
	c.counters.fetches.Add(1)
	go c.read(ctx, f)
}

// read is the goroutine of one flight. Whatever the provider does, and whatever its
// error does when it is looked at, is a failed read and never the process's end (F14).
func (c *Cache) read(ctx context.Context, f *flight) {
	var v *value
	failed := c.failureOf(errPanic) // unless Fetch returns: it may panic, with the secret perhaps, or end its goroutine
	defer func() {
		_ = recover()
		f.cancel()
		c.settle(f, v, failed)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.reading--
		c.launch()
	}()
	secret, err := c.provider.Fetch(ctx)
	v, failed = c.judge(secret, err)
}

// settle ends a flight, once, with what the store said.
func (c *Cache) settle(f *flight, v *value, failed *Error) {
	c.mu.Lock()
	if f.ended {
		c.mu.Unlock()
		return
	}
	f.ended = true
	f.watchdog.Stop()
	c.flight = nil
	now := time.Now()
	if failed != nil {
		c.fail(f, failed, now)
	} else {
		c.adopt(f, v, now)
	}
	c.publish(now)
	hasValue := c.lease != nil
	c.mu.Unlock()
	// Not under the lock: a handler may send requests of its own. Before the
	// answer is out: whoever has it finds the line in the log.
	c.report(v, failed, hasValue)
	close(f.done)
}

// outdate ends the read under way, if there is one. It began before an invalidation,
// so it may bring the old value: it neither stores nor answers, and is cancelled. Those
// who wait for it ask again.
func (c *Cache) outdate() {
	f := c.flight
	if f == nil {
		return
	}
	c.flight = nil
	f.ended, f.outdated = true, true
	f.watchdog.Stop()
	if f.cancel != nil {
		f.cancel()
	}
	close(f.done)
}

// judge turns a provider's answer into a value that can be sent, or an error.
func (c *Cache) judge(secret Secret, err error) (*value, *Error) {
	if err != nil {
		return nil, c.failureOf(err)
	}
	v := &value{secret: secret, headers: secret.headers()}
	if unfit := v.headers[c.form].err; unfit != nil {
		return nil, c.failureOf(unfit)
	}
	now := time.Now()
	if v.headers[c.form].mode == AuthBearer && secret.expiry.IsZero() {
		v.secret, v.late = secret.endingWithJWT(now)
	}
	if end := v.secret.expiry; !end.IsZero() && !now.Before(end) {
		return nil, c.failureOf(&Error{
			Kind:    ErrInvalidSecret,
			Summary: fmt.Sprintf("the secret expired at %s, and it is %s now", end.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)),
			Fix:     "store a new version, or set this machine's clock",
		})
	}
	return v, nil
}

func (c *Cache) failureOf(err error) *Error { return asError(err, c.name, c.key) }

// adopt puts what was read into use.
func (c *Cache) adopt(f *flight, v *value, now time.Time) {
	first := c.last == nil
	fresh := v.secret // its expiry is that of this read
	if !first && c.last.secret.sameAs(fresh) {
		v = c.last
	}
	switch {
	case f.cause != 0:
		c.rejecting[f.cause.index()].rejected(now, f.cause, c.random)
	case v != c.last:
		c.rejecting = [len(rejectingStatuses)]backoff{}
	}
	if !first && v != c.last {
		c.keepBefore(v, now)
	}
	c.last, c.failure, c.failing = v, nil, backoff{}

	l := &lease{value: v, readAt: now.UnixNano(), validUntil: fresh.expiry}
	l.expiresAt = l.readAt + int64(fresh.keptFor(c.ttl))
	l.staleUntil = l.expiresAt + int64(c.maxStale)
	// Compared as times: an expiry far off, such as one in the year 9999, does not
	// fit into an int64 of nanoseconds.
	if end := fresh.expiry; !end.IsZero() && end.Before(time.Unix(0, l.staleUntil)) {
		l.staleUntil = end.UnixNano()
		l.expiresAt = min(l.expiresAt, l.staleUntil)
	}
	// From 80 % of its life a value is refreshed, ±10 %; a process's first refresh
	// falls anywhere from 10 to 80 %, so that a fleet that starts together does not
	// go on reading together.
	share := 0.8 * (0.9 + 0.2*c.random())
	if first {
		share = 0.1 + 0.7*c.random()
	}
	l.refreshAt = l.readAt + int64(share*float64(l.expiresAt-l.readAt))
	c.lease = l
	f.value = v
}

// keepBefore remembers the value in use as the one before v, for one TTL and no
// longer than it may be served stale, if a server has accepted it and not rejected it
// since.
func (c *Cache) keepBefore(v *value, now time.Time) {
	old := c.last
	old.before = nil // not a chain of all that there ever were
	if c.lease == nil || old.accepted.Load() == 0 || old.distrusted() {
		return
	}
	v.before, v.beforeUntil = old, now.Add(old.secret.keptFor(c.ttl))
	if end := time.Unix(0, c.lease.staleUntil); end.Before(v.beforeUntil) {
		v.beforeUntil = end
	}
}

// fail keeps the old value within its bounds and sets the pause before the next
// read.
func (c *Cache) fail(f *flight, err *Error, now time.Time) {
	c.counters.fetchErrors.Add(1)
	c.failure = err
	c.failing.failed(now, err.RetryAfter(), c.random)
	f.err = err
	if at := now.UnixNano(); c.mayServeStale(at) && at >= c.lease.readAt {
		f.value = c.last
	}
}

// report logs how a read ended: with v or with err. hasValue says whether there is a
// value after an error all the same.
// A handler that panics must not end the process, which nobody could prevent here.
func (c *Cache) report(v *value, err *Error, hasValue bool) {
	defer func() { _ = recover() }()
	if err == nil {
		c.log.Info("Secret fetched successfully (provider="+c.name+", cache_hit=false)",
			"provider", c.name, "cache_hit", false, "key", c.key)
		if v.late > 0 && c.warnedOfClock.CompareAndSwap(false, true) {
			c.log.Warn("The token has expired, by this machine's clock: is the clock right?",
				"provider", c.name, "key", c.key, "expired_ago", v.late.String())
		}
		return
	}
	level := slog.LevelError
	if hasValue && errors.Is(err, ErrUnavailable) {
		level = slog.LevelWarn // requests go on with it
	}
	c.log.Log(context.Background(), level, capitalise(err.summary()),
		"provider", err.Provider, "key", err.Key, "error", err.Error())
}

// capitalise is for log lines, which begin like sentences.
func capitalise(text string) string {
	r, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(r)) + text[size:]
}

// identify asks the provider for its name, its key and how many stores it asks. One
// that panics here is most likely a nil pointer in an interface.
func (c *Cache) identify() (err error) {
	if c.provider == nil {
		return errNoProvider
	}
	defer func() {
		if recover() != nil {
			err = &Error{Kind: ErrConfig, Provider: c.name,
				Summary: "the provider panicked when it was asked for its name; it may be a nil pointer",
				Fix:     "pass a provider that its New has returned without an error"}
		}
	}()
	c.name, c.key = c.provider.Name(), keyOf(c.provider)
	if several, ok := c.provider.(Several); ok {
		// The stores are asked one after the other.
		c.timeout *= time.Duration(min(max(several.Stores(), 1), int(env.Longest/c.timeout)))
	}
	return nil
}

var errNoProvider = &Error{Kind: ErrConfig, Summary: "the cache has no provider", Fix: "make it with NewCache and a Provider"}
