package secretsauth

import "sync/atomic"

// Stats are counts since the start. Those of a transport include the reads of
// its cache, which other transports may share.
type Stats struct {
	Hits        uint64 // requests served a value at once, stale ones included
	Misses      uint64 // requests that waited for a read, or failed for want of a value
	Fetches     uint64 // reads of the store
	FetchErrors uint64 // of those, the ones that failed
	StaleServed uint64 // values served past their TTL

	Rejections uint64 // 401s and 403s to requests that carried the credential
	Retries    uint64 // of those, the requests that were sent once more
	Withheld   uint64 // requests that went without the credential: host or redirect not allowed
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
