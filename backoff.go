package secretsauth

import (
	"net/http"
	"time"
)

// backoff is a pause in which the store is not read for one reason. A cache has
// three: after failed reads, and after reads that a 401 or a 403 has led to. Pauses
// are kept by the monotonic clock, so that a wall clock that is set back does not
// lengthen them (F13).
type backoff struct {
	until time.Time
	delay time.Duration // the nominal length of the latest pause, which the next one doubles
}

const (
	firstFailurePause = time.Second
	lastFailurePause  = time.Minute

	first401Pause      = time.Second
	first403Pause      = 30 * time.Second
	lastRejectionPause = 5 * time.Minute
)

func (b *backoff) active(now time.Time) bool { return now.Before(b.until) }

// failed starts the pause after a failed read: 1 s, doubling to 1 min, ±25 %, or
// longer if the store has asked for it, but not beyond a minute.
func (b *backoff) failed(now time.Time, retryAfter time.Duration, random chance) {
	b.delay = min(max(2*b.delay, firstFailurePause), lastFailurePause)
	b.until = now.Add(max(random.jitter(b.delay, 0.25), min(retryAfter, lastFailurePause)))
}

// rejected starts the pause after a read that a 401 or 403 has led to: from 1 s or
// 30 s, doubling to 5 min.
func (b *backoff) rejected(now time.Time, s status, random chance) {
	first := first401Pause
	if s == http.StatusForbidden {
		first = first403Pause
	}
	b.delay = min(max(2*b.delay, first), lastRejectionPause)
	// Shorter than nominal by 10 to 30 % and never longer: a change of the store is
	// found within the nominal pause, the replay of the request included.
	b.until = now.Add(random.jitter(b.delay*8/10, 0.125))
}

// forget starts anew when rejections have stayed away for long.
func (b *backoff) forget(now time.Time) {
	if now.Sub(b.until) > 2*lastRejectionPause {
		b.delay = 0
	}
}

// chance gives numbers from 0 to 1: those of math/rand, or in a test the same ones
// again.
type chance func() float64

// jitter is d, give or take a share of it.
func (random chance) jitter(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 + share*(2*random()-1)))
}
