package secretsauth

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// What a response says of a value, and reading the store again because of it, are
// apart: succeed and reject record a response, once. replacement waits for what the
// store holds by now, and may ask it again.

// succeed records a 2xx for a request sent with v. It returns whether that is v's
// first. A new value's first success ends all pauses; a value already in use keeps
// them: a server that accepts it here and rejects it there will do so again.
func (c *Cache) succeed(v *value, sent mark) (first bool) {
	if v.accepted.Load() > sent.rejections {
		return false // what nearly every success is: nothing new
	}
	first, news := v.accept(sent)
	if !news {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v.before, v.rejectedAt = nil, time.Time{}
	if first && v == c.last {
		c.rejecting = [len(rejectingStatuses)]backoff{}
	}
	return first
}

// reject records that a server answered 401 or 403 to a request sent with v. It
// returns the value in use if that is another by now, or else the read that may bring
// another, or neither if the store was asked too recently.
func (c *Cache) reject(v *value, s status) (*value, *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if v != c.last {
		if c.last.before == v {
			c.last.before, c.last.retryUntil = nil, now.Add(time.Second)
		}
		// A straggler, sent before v was replaced, is no reason to read.
		return c.instead(v, now)
	}
	if s == http.StatusUnauthorized && v.rejectedAt.IsZero() {
		v.rejectedAt = now
	}
	pause := &c.rejecting[s.index()]
	if pause.active(now) {
		return nil, nil
	}
	if c.flight != nil && (c.lease == nil || c.flight.cause == s || c.flight.cause == http.StatusUnauthorized) {
		return nil, c.flight // it began after the value was rejected
	}
	pause.forget(now)
	if s == http.StatusUnauthorized && c.lease != nil {
		if v.rejections.Add(1); v.distrusted() {
			c.drop()
		}
	}
	c.outdate()
	if !c.failing.active(now) {
		c.start(s)
	}
	c.publish(now)
	return nil, c.flight
}

// instead returns the value in use if it is another than v, or else the read that may
// bring another; it starts one if there is no value at all.
func (c *Cache) instead(v *value, now time.Time) (*value, *flight) {
	l := c.current(now)
	if l != nil && l.value != v {
		return l.value, nil
	}
	if l == nil && c.flight == nil && !c.failing.active(now) {
		c.start(0)
	}
	return nil, c.flight
}

// replacement records that a request sent with v was rejected, and returns the value
// to replay it with. That is nil if the store still holds v or cannot be read, or if
// ctx ends. It waits for the one read that all rejections of v share. After that, if v
// was accepted before and is now answered 401, it may be in the middle of a rotation
// that changes the server first: the store is asked again for as long as wait.
func (c *Cache) replacement(ctx context.Context, v *value, s status, wait time.Duration) *value {
	next, f := c.reject(v, s)
	end := c.rotationEnd(v, s, wait)
	var limit time.Time // none for the first read
	for next == nil {
		if f == nil {
			limit = end.Add(timeoutGrace)
			if next, f = c.askForRotation(ctx, v, end, wait); next == nil && f == nil {
				return nil
			}
			continue
		}
		if !f.wait(ctx, limit) {
			return nil
		}
		switch {
		case f.outdated:
			next, f = c.afterInvalidation(v)
		case f.value != nil && f.value != v:
			next = f.value
		default:
			f = nil
		}
	}
	return next
}

// afterInvalidation is for a request whose read was outdated while it waited.
func (c *Cache) afterInvalidation(v *value) (*value, *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.instead(v, time.Now())
}

// rotationEnd returns until when a request that was rejected with v waits for a
// rotation: wait after v's first 401 since its latest success. It is the zero time if
// v cannot be in the middle of a rotation.
func (c *Cache) rotationEnd(v *value, s status, wait time.Duration) time.Time {
	if s != http.StatusUnauthorized || wait <= 0 || v.accepted.Load() == 0 {
		return time.Time{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.rejectedAt.IsZero() { // another request has succeeded meanwhile
		return time.Now().Add(wait)
	}
	return v.rejectedAt.Add(wait)
}

// askForRotation reads the store once more for a request that waits for a rotation of
// v, as soon as that may be. It returns the value that has replaced v meanwhile, or
// the read, or neither if end or ctx comes first. What it asks takes nothing from
// other requests: v stays in use where it is.
func (c *Cache) askForRotation(ctx context.Context, v *value, end time.Time, wait time.Duration) (*value, *flight) {
	for {
		next, f, pause := c.tryAsk(v, end, wait)
		if next != nil || f != nil || pause <= 0 || !sleep(ctx, pause) {
			return next, f
		}
	}
}

// Waiting for rotations reads the store once a second at first, and on average every
// 8 s from the tenth such read on: an endpoint that always answers 401 for reasons of
// its own looks like a rotation that does not end (F10).
const (
	askEvery = 8 * time.Second
	askBurst = 10
)

// tryAsk returns the value that has replaced v, or the read to wait for, which it
// starts if it may, or else how long to wait before the next try. Without any of them
// the wait is over.
func (c *Cache) tryAsk(v *value, end time.Time, wait time.Duration) (*value, *flight, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.After(end.Add(timeoutGrace)) { // timers are late
		return nil, nil, 0
	}
	if v != c.last || c.flight != nil {
		next, f := c.instead(v, now)
		return next, f, 0
	}
	due := latest(c.startedAt.Add(time.Second), c.asksFrom, c.failing.until)
	// What the store holds when the wait is over counts, so all who wait for the same
	// rotation ask once more then, even if that is less than a second later.
	final := !now.Before(end) && v.rejectedAt.Add(wait).Equal(end) &&
		!now.Before(latest(c.startedAt.Add(timeoutGrace), c.asksFrom, c.failing.until))
	switch {
	case final, !now.Before(due):
		c.asksFrom = latest(c.asksFrom, now.Add(-askBurst*askEvery)).Add(askEvery)
		c.start(0)
		c.publish(now)
		return nil, c.flight, 0
	case due.After(end):
		return nil, nil, end.Sub(now) // another request may ask before
	}
	return nil, nil, due.Sub(now)
}

// fallback returns what a request is to be sent with that was rejected by a 401 and
// sent with v before any server had accepted v: the store may be ahead of the server.
// It is the value before v, or v itself if a server knows it by now or may have learnt
// it just now, or nil.
func (c *Cache) fallback(v *value) *value {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case v != c.last:
		return nil
	case v.accepted.Load() > 0, now.Before(v.retryUntil):
		return v
	case now.Before(v.beforeUntil):
		return v.before
	}
	return nil
}

// wait waits for the read, and reports false if ctx or limit (unless it is zero) comes
// first.
func (f *flight) wait(ctx context.Context, limit time.Time) bool {
	var late <-chan time.Time
	if !limit.IsZero() {
		timer := time.NewTimer(time.Until(limit))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-f.done:
		return true
	case <-ctx.Done():
	case <-late:
	}
	return false
}

// latest returns the latest of several moments.
func latest(moments ...time.Time) time.Time {
	return slices.MaxFunc(moments, time.Time.Compare)
}

// sleep waits for d, and reports false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
