package secretsauth

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// status is 401 or 403, or 0 where no rejection is meant.
type status int

var rejectingStatuses = [...]status{http.StatusUnauthorized, http.StatusForbidden}

func (s status) index() int { return slices.Index(rejectingStatuses[:], s) }

// trial is what servers have said of a value.
type trial struct {
	// rejections counts the 401s that took the value out of service.
	rejections atomic.Uint32
	// accepted is one more than the rejections there were when the latest request
	// that succeeded was sent; 0 if none has.
	accepted atomic.Uint32
	// complained: its rejection by this status is in the log.
	complained [len(rejectingStatuses)]atomic.Bool
}

// rejected reports whether the last word on the value was a 401.
func (t *trial) rejected() bool {
	n := t.rejections.Load()
	return n > 0 && t.accepted.Load() <= n
}

// accept notes a 2xx for a request sent after n rejections, and reports whether
// it is the value's first.
func (c *Cache) accept(v *value, n uint32) (first bool) {
	for {
		before := v.accepted.Load()
		if before > n {
			return false
		}
		if v.accepted.CompareAndSwap(before, n+1) {
			c.proved(v, before == 0)
			return before == 0
		}
	}
}

// proved takes back what rejections have led to. The value that came of them
// ends the pauses by its first success. One that was in use before keeps them:
// a server that accepts it here and rejects it there will do so again.
func (c *Cache) proved(v *value, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v != c.last {
		return
	}
	c.before = predecessor{}
	for i := range c.pauses {
		c.pauses[i].since = time.Time{}
		if first {
			c.pauses[i] = pause{}
		}
	}
}

// pause is a time in which the store is not read for one reason. It is kept by
// the monotonic clock, so that a clock set back does not lengthen it.
type pause struct {
	until time.Time
	delay time.Duration

	// Of rejections only: the first since the value's last success and the latest
	// that asked for a read, and when the latest such read was over.
	since, seen, readAt time.Time
}

func (p *pause) active(now time.Time) bool { return now.Before(p.until) }

const (
	first401Pause  = time.Second
	first403Pause  = 30 * time.Second
	rejectionPause = 5 * time.Minute // the longest
)

// note takes down a rejection that asks for a read. Rejections that have stayed
// away for long start anew.
func (p *pause) note(now time.Time) {
	if now.Sub(p.seen) > 2*rejectionPause {
		*p = pause{}
	}
	if p.since.IsZero() {
		p.since = now
	}
	p.seen = now
}

// extend starts the next pause, twice as long as the one before.
func (p *pause) extend(s status, now time.Time) {
	first := first401Pause
	if s == http.StatusForbidden {
		first = first403Pause
	}
	p.delay = min(max(2*p.delay, first), rejectionPause)
	p.readAt = now
	// Shorter by 10 to 30 %, never longer: a request that comes when the pause is
	// over and its replay find a change of the store within the pause.
	p.until = now.Add(time.Duration(float64(p.delay) * (0.7 + 0.2*rand.Float64())))
}

// rotationLeft is how much of limit is left for a rotation of v to reach the
// store, counted from its first rejection after a success; not ok if v cannot be
// in the middle of one.
func (p *pause) rotationLeft(v *value, limit time.Duration, now time.Time) (left time.Duration, ok bool) {
	if limit <= 0 || v.accepted.Load() == 0 {
		return 0, false
	}
	if !p.since.IsZero() {
		limit -= now.Sub(p.since)
	}
	return limit, true
}

// reject tells the cache that the server answered a request sent with v by s. It
// returns the value that has taken v's place if there is one by now, or else the
// read that may bring one, or neither where asking the store again is pointless.
// A request that waits for a rotation passes for how long, others 0.
func (c *Cache) reject(v *value, s status, rotation time.Duration) (*value, *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if v != c.last {
		if v == c.before.value {
			// The server has followed, or accepts neither; which, will be known soon.
			c.before = predecessor{c.last, now.Add(first401Pause)}
		}
		// A straggler, sent before v was replaced: no reason to read, unless what
		// has replaced it is past its TTL, as for any request.
		if g := c.grant(now); g != nil {
			return g.value, nil
		}
		if c.held != nil && c.flight == nil && !c.failure.active(now) {
			c.start(0)
		}
		return nil, c.flight
	}
	p := &c.pauses[s.index()]
	waited := p.active(now)
	if left, ok := p.rotationLeft(v, rotation, now); ok && left > -first401Pause {
		// Those who wait for a rotation ask once a second, and once more at the
		// end, whatever the pause has grown to.
		waited = now.Sub(p.readAt) < first401Pause
	}
	if waited {
		return nil, nil
	}
	p.note(now)
	switch {
	case c.held == nil: // dropped already; what is being read is newer than that
	case s == http.StatusUnauthorized:
		v.rejections.Add(1)
		c.drop()
	default:
		c.held.suspect = true
	}
	if c.flight == nil && !c.failure.active(now) {
		c.start(s)
	}
	c.publish(now)
	return nil, c.flight
}

// successor waits for the shared read that a rejection of v leads to and returns
// the value to replay with, or nil if there is none: the store still holds v or
// cannot be read, or ctx has ended. Where v may be in the middle of a rotation it
// asks again until the store holds another.
func (c *Cache) successor(ctx context.Context, v *value, s status, rotation time.Duration) *value {
	for {
		next, f := c.reject(v, s, rotation)
		if f != nil {
			select {
			case <-f.done:
			case <-ctx.Done():
				return nil
			}
			if f.outdated {
				continue
			}
			if f.err == nil {
				next = f.value
			}
		}
		if next != nil && next != v {
			return next
		}
		wait := c.untilRotation(v, s, rotation)
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// behind is the value to try on a server that may lag behind the store: it has
// answered 401 to a request sent with v, which no server had accepted by then. It is
// the value before v, or v itself if a server has accepted it since, or nil.
func (c *Cache) behind(v *value) *value {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case v != c.last:
		return nil
	case v.accepted.Load() > 0:
		return v
	case time.Now().Before(c.before.until):
		return c.before.value
	}
	return nil
}

// untilRotation is how long to wait before asking once more whether v's rotation
// has reached the store, or 0 if there is no point in it.
func (c *Cache) untilRotation(v *value, s status, limit time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	p := &c.pauses[s.index()]
	left, ok := p.rotationLeft(v, limit, now)
	if v != c.last || !v.rejected() || !ok || left <= 0 {
		return 0
	}
	next := p.readAt.Add(first401Pause)
	if c.failure.active(now) {
		next = c.failure.until
	}
	return min(max(next.Sub(now), time.Millisecond), left)
}
