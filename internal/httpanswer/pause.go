package httpanswer

import (
	"math/rand/v2"
	"time"
)

// The pauses between the attempts of one read. MaxPause also caps what a server asks
// for: a longer wait is for the cache to obey, not for a request that waits (S121).
const (
	FirstPause = 100 * time.Millisecond
	MaxPause   = 2 * time.Second
)

// Pause is how long to wait after attempt, counted from 1, has failed: what the
// server asked for, or else half to one and a half of a pause that doubles.
func Pause(attempt int, asked time.Duration) time.Duration {
	if asked > 0 {
		return min(asked, MaxPause)
	}
	pause := min(FirstPause<<min(max(attempt-1, 0), 10), MaxPause)
	return pause/2 + rand.N(pause)
}
