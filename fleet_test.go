package secretsauth

import (
	"context"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// A fleet: 10,000 clients that start in the same moment and then have requests all
// the time, so that each reads the store as soon as its value is due.
const (
	fleetClients = 10_000
	fleetTTL     = 5 * time.Minute
	fleetDay     = 24 * time.Hour
	// fleetBucket is what reads are counted in. With 42 reads a second on average
	// the fullest of a day's seconds is some 70 % above it by chance alone. With
	// 417 in 10 s it is 20 %, well below what is to be shown, and 10 s are still
	// short beside the 48 s that a refresh is spread over.
	fleetBucket = 10 * time.Second
)

// load is how many reads began in each bucket.
type load []int

func newLoad(d time.Duration) load { return make(load, d/fleetBucket) }

func (l load) add(at time.Duration) {
	if i := int(at / fleetBucket); i < len(l) {
		l[i]++
	}
}

// after is the reads a second after the first TTL: the peak and the mean.
func (l load) after() (peak, mean float64) {
	rest := l[fleetTTL/fleetBucket:]
	all, most := 0, 0
	for _, n := range rest {
		all, most = all+n, max(most, n)
	}
	return float64(most) / fleetBucket.Seconds(), float64(all) / fleetBucket.Seconds() / float64(len(rest))
}

// check prints the load and fails if its peak is more than twice its mean.
func (l load) check(t *testing.T, what string) {
	t.Helper()
	peak, mean := l.after()
	t.Logf("%s: peak %.1f reads/s, mean %.1f, %.2f times", what, peak, mean, peak/mean)
	if peak > 2*mean {
		t.Error("the peak is more than twice the mean")
	}
	if ideal := fleetClients / (0.8 * fleetTTL.Seconds()); mean < 0.98*ideal || mean > 1.02*ideal {
		t.Errorf("%.1f reads/s on average, want %.1f", mean, ideal)
	}
}

// paced is the load of a fleet whose clients read again after what next says.
func paced(period time.Duration, next func() func() time.Duration) load {
	l := newLoad(period)
	for range fleetClients {
		wait := next()
		for at := time.Duration(0); at < period; at += wait() {
			l.add(at)
		}
	}
	return l
}

// TestAFleetDoesNotMarchInStep is a day by the cache's own rule, without all that
// is around it: a real cache is told of a read that takes no time and asked when
// the next is due.
func TestAFleetDoesNotMarchInStep(t *testing.T) {
	t.Parallel()
	read, held := new(flight), &value{secret: NewToken(canary.New())}
	start := time.Now()
	paced(fleetDay, func() func() time.Duration {
		c := NewCache(nil, Config{TTL: fleetTTL})
		now := start
		return func() time.Duration {
			c.adopt(read, held, now)
			due := time.Unix(0, c.lease.refreshAt).Sub(now.Round(0))
			now = now.Add(due)
			return due
		}
	}).check(t, "as it is")

	// For comparison, caches that this one is not.
	peak, mean := paced(fleetDay, func() func() time.Duration {
		return func() time.Duration { return fleetTTL * 8 / 10 }
	}).after()
	t.Logf("at 80 %% of the TTL, without jitter: peak %.1f reads/s, mean %.1f, %.2f times in %v, %.0f times in the second it falls into",
		peak, mean, peak/mean, fleetBucket, fleetClients/mean)
	if peak < 10*mean {
		t.Error("without jitter there is no peak: this test would not see one")
	}
	peak, mean = paced(time.Hour, func() func() time.Duration {
		return func() time.Duration { return time.Duration((0.72 + 0.16*rand.Float64()) * float64(fleetTTL)) }
	}).after()
	t.Logf("with ±10 %% from the first refresh on: peak %.1f reads/s, mean %.1f, %.2f times", peak, mean, peak/mean)
	if peak < 2*mean {
		t.Error("the first refresh need not be spread as widely as it is")
	}
}

// TestAFleetOfRealCaches is the same with all that is around the rule, in simulated
// time, for as long as that is affordable: half an hour, in which what is left of
// the common start is at its largest.
func TestAFleetOfRealCaches(t *testing.T) {
	t.Parallel()
	period := time.Hour / 2
	if os.Getenv("SECRETSAUTH_TEST_LONG") != "" {
		period = fleetDay
	}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		l, start, secret := newLoad(period), time.Now(), NewToken(canary.New())
		store := ProviderFunc(func(context.Context) (Secret, error) {
			mu.Lock()
			defer mu.Unlock()
			l.add(time.Since(start))
			return secret, nil
		})
		var clients sync.WaitGroup
		for range fleetClients {
			clients.Go(func() {
				c := NewCache(store, Config{TTL: fleetTTL})
				for time.Since(start) < period {
					if _, err := c.Fetch(context.Background()); err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Millisecond) // the read in the background is over by then
					c.mu.Lock()
					due := c.lease.refreshAt
					c.mu.Unlock()
					time.Sleep(time.Until(time.Unix(0, due)))
				}
			})
		}
		clients.Wait()
		l.check(t, "real caches for "+period.String())
	})
}
