package secretsauth

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
	"unicode"
	"unicode/utf8"
)

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
	if several, ok := c.provider.(interface{ Stores() int }); ok {
		timeout *= time.Duration(max(several.Stores(), 1)) // one after the other
	}
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
	hasValue := c.held != nil
	c.mu.Unlock()
	// Not under the lock: a handler may send requests of its own. Before the
	// answer is out: whoever has it finds the line in the log.
	c.report(failed, hasValue)
	close(f.done)
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
	if v != c.last {
		c.before = c.succeeded(f, now)
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
	// Compared as times: an expiry far off, such as one in the year 9999, does not
	// fit into an int64 of nanoseconds.
	if end := fresh.expiry; !end.IsZero() && end.Before(time.Unix(0, h.staleUntil)) {
		h.staleUntil = end.UnixNano()
		h.expiresAt = min(h.expiresAt, h.staleUntil)
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

// succeeded is the value in service that another is about to replace, if servers
// have accepted it and not rejected it since.
func (c *Cache) succeeded(f *flight, now time.Time) predecessor {
	h := c.held
	if f.cause != 0 || h == nil || h.suspect || h.value.accepted.Load() == 0 || h.value.rejected() {
		return predecessor{}
	}
	return predecessor{h.value, earliest(now.Add(c.cfg.ttl(h.value.secret)), time.Unix(0, h.staleUntil))}
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
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

// report logs how a read ended; hasValue says whether there is a value all the same.
func (c *Cache) report(err *Error, hasValue bool) {
	if err == nil {
		c.log.Info("Secret fetched successfully (provider="+c.name+", cache_hit=false)",
			"provider", c.name, "cache_hit", false, "key", c.key)
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

// jitter is d, give or take a share of it.
func jitter(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 + share*(2*rand.Float64()-1)))
}
