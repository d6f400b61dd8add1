package secretsauth

import (
	"math/rand/v2"
	"time"
)

// JumpClock is what a jump of the wall clock by d looks like from the inside:
// simulated time only runs forward, so the moments that the cache has written
// down move the other way instead.
func (c *Cache) JumpClock(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease != nil {
		c.lease = c.lease.moved(-d)
	}
	if l := c.live.Load(); l != nil {
		c.live.Store(l.moved(-d))
	}
}

// moved is l with its moments of wall-clock time moved; the end of a pause is none.
func (l *lease) moved(d time.Duration) *lease {
	m := *l
	for _, at := range []*int64{&m.readAt, &m.refreshAt, &m.expiresAt, &m.staleUntil, &m.until} {
		*at += int64(d)
	}
	return &m
}

// JumpClock does so to t's cache.
func (t *Transport) JumpClock(d time.Duration) { t.cache.JumpClock(d) }

// Seed makes what c leaves to chance the same again in every run.
func (c *Cache) Seed(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0)) // used under the cache's lock
	c.random = r.Float64
}

// RotationWait is t's setting.
func (t *Transport) RotationWait() time.Duration { return t.rotationWait }
