package secretsauth

import "time"

// JumpClock is what a jump of the wall clock by d looks like from the inside:
// simulated time only runs forward, so the moments that the cache has written
// down move the other way instead.
func (c *Cache) JumpClock(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil {
		h := *c.held
		for _, at := range []*int64{&h.readAt, &h.refreshAt, &h.expiresAt, &h.staleUntil} {
			*at -= int64(d)
		}
		c.held = &h
	}
	if g := c.live.Load(); g != nil {
		moved := *g
		moved.from -= int64(d)
		moved.until -= int64(d)
		c.live.Store(&moved)
	}
}

// JumpClock does so to t's cache.
func (t *Transport) JumpClock(d time.Duration) { t.cache.JumpClock(d) }
