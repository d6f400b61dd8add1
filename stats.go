package secretsauth

import (
	"sync/atomic"
	"time"
)

// Stats are counts since the start, which only grow. Those of a transport include the
// hits, misses and reads of its cache, which other transports may share.
type Stats struct {
	Hits        uint64 // requests served a value that was there, stale ones included
	Misses      uint64 // requests that waited for a read, or failed for want of a value
	Fetches     uint64 // reads of the store
	FetchErrors uint64 // of those, the ones that failed
	StaleServed uint64 // values served past their TTL

	Rejections uint64 // 401s and 403s to requests that carried the credential
	Retries    uint64 // of those, the requests that were sent once more
	Withheld   uint64 // requests that went without the credential: host or redirect not allowed

	// ValidUntil is the end of the value in use: see [CacheState].
	ValidUntil time.Time
}

// HitRate is Hits as a share of Hits and Misses, from 0 to 1; 0 before the first.
func (s Stats) HitRate() float64 {
	if s.Hits+s.Misses == 0 {
		return 0
	}
	return float64(s.Hits) / float64(s.Hits+s.Misses)
}

type counters struct {
	hits, misses, fetches, fetchErrors, stale atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		Hits:        c.hits.Load(),
		Misses:      c.misses.Load(),
		Fetches:     c.fetches.Load(),
		FetchErrors: c.fetchErrors.Load(),
		StaleServed: c.stale.Load(),
	}
}

// CacheState is what a cache holds at the moment, without the secret. Times are
// zero where there is none. A value past ExpiresAt may still be served, while the
// store is unreachable: see [Config.MaxStale].
type CacheState struct {
	Key       string    // of the secret
	ReadAt    time.Time // when the value that is served was read; zero: there is none
	RefreshAt time.Time // when a request will start the next read
	ExpiresAt time.Time // the end of its TTL, or of the secret's own validity
	Failure   error     // of the last read, an [*Error]; nil if it succeeded
	RetryAt   time.Time // after a failure: when the store will be asked again

	// ValidUntil is the end of the secret's own validity: the expiry that the store
	// reports, the end of a lease, or the "exp" of a JWT. The value is never used
	// past it, not even while the store is down. Zero: no end is known.
	ValidUntil time.Time
}

// State returns what the cache holds.
func (c *Cache) State() CacheState {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := CacheState{Key: c.key}
	if c.failure != nil {
		s.Failure, s.RetryAt = c.failure, c.failing.until
	}
	if l := c.lease; l != nil {
		s.ValidUntil = l.validUntil
		s.ReadAt, s.RefreshAt, s.ExpiresAt = time.Unix(0, l.readAt), time.Unix(0, l.refreshAt), time.Unix(0, l.expiresAt)
	}
	return s
}

// CacheState returns what the transport's cache holds.
func (t *Transport) CacheState() CacheState {
	if t.cache == nil {
		return CacheState{}
	}
	return t.cache.State()
}
