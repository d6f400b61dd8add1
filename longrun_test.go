package secretsauth_test

import (
	"context"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// A month in simulated time: four workers that send a request every 40 s each, a
// rotation on the hour with a burst of requests on their way, and every day
//
//	03:20  the clock is put forward by 3 h
//	06:30  and back by 2 h
//	12:05  the store goes down for 45 min: on even days it refuses connections, and
//	       half-way the clock is put forward by 5 min; on odd days connections
//	       hang, and the clock is put back by 1 h
//	15:10  the program is suspended for 40 min
//
// A read takes nothing, 0.1 s, 1 s or 8 s, by the hour.
const (
	longTTL     = 300 * time.Second
	longWorkers = 4
	longBurst   = 8
	longLatency = 30 * time.Millisecond // of the server, which decides at the end of it
)

var longReads = []time.Duration{0, 100 * time.Millisecond, time.Second, 8 * time.Second}

// longVariable asks for ten times the requests, and for the whole month where
// fewer days do otherwise. It takes minutes.
const longVariable = "SECRETSAUTH_TEST_LONG"

// longRun is what goes on between a transport and its server in that time.
type longRun struct {
	*world
	days  int
	gap   time.Duration                // between the requests of all workers
	lag   func(hour int) time.Duration // of the server behind the store; negative: of the store behind the server
	grace time.Duration                // see gone
	start time.Time

	asleep, over                               atomic.Bool
	requests, failed, rejections, stale, waits atomic.Int64
	outageReads                                int
	ideal                                      float64

	mu             sync.Mutex
	longest        time.Duration // that a request has waited
	stored         string
	accepted, gone map[string]time.Time
}

// begun is the context's key for when a request began.
type begun struct{}

// RoundTrip is the way to the server. A value is gone once the server, which has
// accepted it before, rejects it while the store holds another: no request that
// begins later may carry it. Where the store follows the server, the cache finds
// the rejected value in the store at first, and may use it until it asks again:
// that is the grace.
func (r *longRun) RoundTrip(req *http.Request) (*http.Response, error) {
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	r.mu.Lock()
	if gone, ok := r.gone[token]; ok && req.Context().Value(begun{}).(time.Time).After(gone) {
		r.stale.Add(1)
	}
	r.mu.Unlock()
	resp, err := r.server.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch resp.StatusCode {
	case http.StatusOK:
		r.accepted[token] = time.Now()
	case http.StatusUnauthorized:
		r.rejections.Add(1)
		if _, known := r.gone[token]; !known && !r.accepted[token].IsZero() && token != r.stored {
			r.gone[token] = time.Now().Add(r.grace)
		}
	}
	return resp, nil
}

// send is one request, which must succeed.
func (r *longRun) send() {
	now := time.Now()
	status, err := r.doWith(context.WithValue(context.Background(), begun{}, now), "/", nil)
	r.requests.Add(1)
	if took := time.Since(now) - longLatency; took > 0 {
		r.waits.Add(1)
		r.mu.Lock()
		r.longest = max(r.longest, took)
		r.mu.Unlock()
	}
	if status != http.StatusOK && r.failed.Add(1) <= 10 {
		r.Errorf("%v after the start: status %d, %v", now.Sub(r.start), status, err)
	}
}

// work sends requests at fixed times, so that workers that have waited for the
// same read do not go on in step.
func (r *longRun) work(i int) {
	for next := r.start.Add(time.Second + time.Duration(i)*r.gap); ; next = next.Add(longWorkers * r.gap) {
		if wait := time.Until(next); wait > 0 {
			time.Sleep(wait)
		}
		if r.over.Load() {
			return
		}
		if !r.asleep.Load() {
			r.send()
		}
	}
}

// until sleeps until that long after the start.
func (r *longRun) until(after time.Duration) { time.Sleep(time.Until(r.start.Add(after))) }

// run is the whole time, and adds up the ideal number of reads on the way: one for
// each moment that makes the cache read, and what the rule asks for between them.
// Reads during outages are counted apart.
func (r *longRun) run(t *testing.T, wait time.Duration) {
	r.world = newWorld(t, func(c *secretsauth.Config) { c.TTL, c.Base, c.RotationWait = longTTL, r, wait })
	r.start, r.accepted, r.gone = time.Now(), map[string]time.Time{}, map[string]time.Time{}
	r.server.set(func(s *fakeServer) { s.latency, s.decideLate = longLatency, true })
	var workers sync.WaitGroup
	for i := range longWorkers {
		workers.Go(func() { r.work(i) })
	}

	// free is since when nothing but the rule has decided when to read.
	free := time.Duration(0)
	read := longReads[0]
	rest := func(until time.Duration) { r.ideal += refreshes(until-free, read, r.gap) }
	for hour := range 24 * r.days {
		now := time.Duration(hour) * time.Hour
		r.until(now - longLatency/2)
		for range longBurst { // judged when the token has changed
			workers.Go(r.send)
		}
		r.until(now)
		if hour > 0 {
			rest(now)
		}
		read = longReads[hour%len(longReads)]
		r.rotate(hour, read)
		r.ideal++ // the read for the rejection, or the first one
		free = now + read

		event := func(at time.Duration, what func()) {
			r.until(now + at - longLatency)
			r.send()
			rest(now + at)
			what()
		}
		readsAt := func(at time.Duration) { r.ideal++; free = now + at + r.gap/2 + read }
		switch hour % 24 {
		case 3:
			event(20*time.Minute, func() { r.rt.JumpClock(3 * time.Hour) })
			readsAt(20 * time.Minute)
		case 6:
			event(30*time.Minute, func() { r.rt.JumpClock(-2 * time.Hour) })
			readsAt(30 * time.Minute)
		case 12:
			before, jump := 0, 5*time.Minute
			event(5*time.Minute, func() {
				before = r.store.count()
				if hour/24%2 == 0 {
					r.store.fail(down())
				} else {
					r.store.slow(time.Hour)
					jump = -time.Hour
				}
			})
			r.until(now + 27*time.Minute)
			r.rt.JumpClock(jump)
			r.until(now + 50*time.Minute)
			r.outageReads += r.store.count() - before
			r.store.set(func(s *fakeStore) { s.err, s.delay = nil, read })
			readsAt(50*time.Minute + 30*time.Second) // on average, the pause being 60 s by then
		case 15:
			event(10*time.Minute, func() { r.asleep.Store(true) })
			r.until(now + 50*time.Minute)
			r.asleep.Store(false)
			readsAt(50 * time.Minute)
		}
	}
	r.until(time.Duration(r.days) * 24 * time.Hour)
	rest(time.Duration(r.days) * 24 * time.Hour)
	r.over.Store(true)
	workers.Wait()
}

// rotate changes the token in the store and at the server, one after the other.
func (r *longRun) rotate(hour int, read time.Duration) {
	token := r.old + "-" + strconv.Itoa(hour)
	store := func() {
		r.mu.Lock()
		r.stored = token
		r.mu.Unlock()
		r.store.put(token)
	}
	server := func() { r.server.accept(token) }
	r.store.slow(read)
	lag := time.Duration(0)
	if r.lag != nil && hour > 0 {
		lag = r.lag(hour)
	}
	switch {
	case lag > 0:
		store()
		time.AfterFunc(lag, server)
	case lag < 0:
		server()
		time.AfterFunc(-lag, store)
	default:
		store()
		server()
	}
}

// refreshes is how many background reads the rule asks for, on average, in a time
// in which nothing else makes the cache read and which ends with a request. The
// first is due at 80 % of the TTL, drawn evenly from 10 % below to 10 % above; it
// begins at the next request, half a gap later; and the age that the next is due
// at counts from its end. The kth is due at the sum of k such draws, which is as
// good as normally distributed.
func refreshes(stretch, read, gap time.Duration) (n float64) {
	const (
		mean  = longTTL * 8 / 10
		width = 2 * mean / 10
	)
	square := func(d time.Duration) float64 { return float64(d) * float64(d) }
	for k := time.Duration(1); k <= 1+stretch/(longTTL/2); k++ {
		left := stretch - k*mean - (k-1)*(gap/2+read)
		variance := (float64(k)*square(width) + float64(k-1)*square(gap)) / 12 // of even draws
		n += math.Erfc(-float64(left)/math.Sqrt(2*variance)) / 2
	}
	return n
}

// report prints the figures and fails on what no long run may have.
func (r *longRun) report(t *testing.T) {
	rotations, stats := 24*r.days-1, r.rt.Stats()
	reads := float64(r.store.count() - r.outageReads)
	t.Logf("%d days, %d rotations: %d requests, %d failed, %d waited, %v at most", r.days, rotations,
		r.requests.Load(), r.failed.Load(), r.waits.Load(), r.longest)
	t.Logf("%.0f reads, ideal %.1f (%+.2f %%), and %d in outages", reads, r.ideal, 100*(reads/r.ideal-1), r.outageReads)
	t.Logf("%d rejections, %d replays, %d values served past their TTL, %d after their rejection",
		r.rejections.Load(), stats.Retries, stats.StaleServed, r.stale.Load())
	if n := r.failed.Load(); n != 0 {
		t.Errorf("%d requests failed", n)
	}
	if n := r.stale.Load(); n != 0 {
		t.Errorf("%d requests carried a value after its rejection", n)
	}
	// Else the run was not what it says: each rotation is noticed by a rejection,
	// and an outage outlasts the TTL.
	if r.rejections.Load() < int64(rotations) || stats.StaleServed == 0 {
		t.Error("the rotations, or the outages, have not been felt")
	}
	// Pauses grow to 60 s ±25 %.
	if bound := r.days * (10 + 45*60/45); r.outageReads > bound {
		t.Errorf("%d reads in outages, want at most %d", r.outageReads, bound)
	}
}

func TestLongRun(t *testing.T) {
	t.Parallel()
	lag := func(hour int) time.Duration { return time.Duration(hour*7%41) * time.Second } // 0 to 40 s
	for _, test := range []struct {
		name string
		days int
		lag  func(hour int) time.Duration
		wait time.Duration
		// grace is the second between two reads, and a read that began before.
		grace time.Duration
		// off is by how many reads the run may miss the ideal number.
		off func(ideal float64, rotations int) float64
	}{
		{
			name: "store and server change at once", days: 30,
			off: func(ideal float64, _ int) float64 { return ideal / 100 },
		},
		{
			name: "the server follows the store by up to 40 s", days: 10, lag: lag,
			// One rotation in twelve has a refresh between the two changes, which
			// costs up to six reads, at pauses of 1, 2, 4, 8 and 16 s.
			off: func(_ float64, rotations int) float64 { return 0.5 * float64(rotations) },
		},
		{
			name: "the store follows the server by up to 40 s", days: 10, wait: time.Minute, grace: time.Second + 8*time.Second,
			lag: func(hour int) time.Duration { return -lag(hour) },
			// A read a second until the store has followed, and one more.
			off: func(_ float64, rotations int) float64 { return (20 + 1) * float64(rotations) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				r := &longRun{days: test.days, gap: 10 * time.Second, lag: test.lag, grace: test.grace}
				switch {
				case os.Getenv(longVariable) != "":
					r.days, r.gap = 30, time.Second
				case testing.Short():
					r.gap = 20 * time.Second
				}
				r.run(t, test.wait)
				r.report(t)
				off := float64(r.store.count()-r.outageReads) - r.ideal
				if bound := test.off(r.ideal, 24*r.days-1); math.Abs(off) > bound {
					t.Errorf("%+.1f reads off the ideal number, want at most %.1f", off, bound)
				}
			})
		})
	}
}
