package secretsauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// A random world is two tracking servers behind two transports on one cache, through
// minutes of everything that goes wrong in life, all drawn from a seed: rotations that
// reach the store and either server in any order; a store that is down, denies, hangs,
// is slow, or ignores that nobody waits any more; endpoints that always answer 401 or
// 403; servers that answer 403 to a bad token; clears, bursts of them too; callers that
// cancel; bodies that can be sent once only, that are read ahead, or that are announced;
// clocks that are set. Then everything heals, and nothing may be left of it after 5 min
// 10 s: not even a rotation fails a request that can be sent again.
//
//	WORLDS=5000 go test -run TestRandomWorlds .       as many worlds as you like
//	WORLD=4711  go test -run TestRandomWorlds -v .    one of them again, with a trace
const (
	worldTrouble = 8 * time.Minute
	worldHealing = 5*time.Minute + 10*time.Second
	worldHealthy = time.Minute
	// worldReads is how often the store may be read in a minute, beside the reads
	// that clears ask for.
	worldReads = 40
	worldBody  = "metrics"
)

func TestRandomWorlds(t *testing.T) {
	t.Parallel()
	worlds := 200
	if testing.Short() {
		worlds = 20
	}
	first := 1
	for name, into := range map[string]*int{"WORLDS": &worlds, "WORLD": &first} {
		if text := os.Getenv(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				t.Fatalf("%s=%q is not a positive number", name, text)
			}
			*into = n
		}
	}
	if os.Getenv("WORLD") != "" {
		worlds = 1
	}
	var requests, reads atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d worlds: %d requests, %d reads of the store", worlds, requests.Load(), reads.Load())
	})
	for seed := first; seed < first+worlds; seed++ {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newRandomWorld(t, uint64(seed)) //nolint:gosec // it is positive
				w.run()
				requests.Add(w.sent.Load())
				reads.Add(int64(len(w.reads)))
			})
		})
	}
}

// randomWorld is one world. What happens is drawn before it begins, so that the draws
// do not depend on the order in which goroutines run.
type randomWorld struct {
	*testing.T
	seed   uint64
	draw   *rand.Rand
	start  time.Time
	heal   time.Time // when the trouble ends
	last   time.Time // when the last rotation comes, of the store and both servers at once
	cfg    secretsauth.Config
	sides  [2]*side
	tokens []string

	sent atomic.Int64 // requests

	mu     sync.Mutex
	store  randomStore
	reads  []time.Time // when each began
	clears []time.Time
	broken bool // a failure was reported, and says how to see it again
}

// side is one server, and the transport that leads to it.
type side struct {
	w         *randomWorld
	name      string
	rt        *secretsauth.Transport
	ignore403 bool
	badToken  int // the status that it answers to a bad token
	latency   time.Duration

	mu       sync.Mutex
	accepted map[string]bool
	// What the server has seen: answers of 401 and 403 that count as rejections, and
	// requests that came once more.
	rejections, repeats uint64
}

// randomStore is what a read of the store does at the moment.
type randomStore struct {
	token string
	err   error
	delay time.Duration
	deaf  bool // it does not notice that its context has ended
}

func newRandomWorld(t *testing.T, seed uint64) *randomWorld {
	w := &randomWorld{T: t, seed: seed, draw: rand.New(rand.NewPCG(seed, 1)), start: time.Now()}
	w.heal = w.start.Add(worldTrouble)
	w.last = w.heal.Add(worldHealing + worldHealthy/2)
	w.cfg = secretsauth.Config{
		TTL:          pick(w.draw, 15*time.Second, time.Minute, 5*time.Minute),
		MaxStale:     pick(w.draw, -1, time.Minute, time.Hour),
		FetchTimeout: pick(w.draw, 2*time.Second, 10*time.Second),
		BufferBodies: pick(rand.New(rand.NewPCG(seed, 2)), 0, int64(len(worldBody))-1, int64(len(worldBody)), 1<<20),
	}
	w.tokens = []string{canary.New()}
	w.store.token = w.tokens[0]
	cache := secretsauth.NewCache(w, w.cfg)
	cache.Seed(seed)
	wait := pick(w.draw, 0, 3*time.Second, 10*time.Second, 20*time.Second)
	w.trace("TTL %v, MaxStale %v, FetchTimeout %v, RotationWait %v, BufferBodies %d",
		w.cfg.TTL, w.cfg.MaxStale, w.cfg.FetchTimeout, wait, w.cfg.BufferBodies)
	for i := range w.sides {
		s := &side{
			w: w, name: string(rune('a' + i)),
			ignore403: w.draw.IntN(5) == 0,
			badToken:  pick(w.draw, http.StatusUnauthorized, http.StatusUnauthorized, http.StatusForbidden),
			latency:   time.Duration(w.draw.IntN(200)) * time.Millisecond,
			accepted:  map[string]bool{w.tokens[0]: true},
		}
		if s.ignore403 { // else nobody could notice a rotation
			s.badToken = http.StatusUnauthorized
		}
		cfg := w.cfg
		cfg.AllowedHosts, cfg.Base, cfg.RotationWait, cfg.Ignore403 = []string{"*.test"}, s, wait, s.ignore403
		rt, err := newTransport(cache, cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.rt = rt
		w.sides[i] = s
		w.trace("server %s: %d for a bad token, Ignore403 %v, latency %v", s.name, s.badToken, s.ignore403, s.latency)
	}
	return w
}

// run plays the world and looks at what it has come to.
func (w *randomWorld) run() {
	var all sync.WaitGroup
	for _, e := range w.plan() {
		all.Go(func() {
			time.Sleep(time.Until(w.start.Add(e.at)))
			w.trace("%s", e.what)
			e.do()
		})
	}
	for _, c := range w.callers() {
		all.Go(c.work)
	}
	all.Wait()
	time.Sleep(time.Minute) // until reads that nobody waits for are over
	synctest.Wait()
	w.checkReads()
	w.checkCounters()
}

// event is a change of the world.
type event struct {
	at   time.Duration
	what string
	do   func()
}

// plan draws what happens, the healing included.
func (w *randomWorld) plan() []event {
	var plan []event
	add := func(at time.Duration, what string, do func()) { plan = append(plan, event{at, what, do}) }
	during := func() time.Duration { return time.Duration(w.draw.Int64N(int64(worldTrouble))) }

	for at := time.Duration(0); ; {
		if at += 40*time.Second + time.Duration(w.draw.Int64N(int64(2*time.Minute))); at > worldTrouble-20*time.Second {
			break
		}
		w.planRotation(at, add)
	}
	for range w.draw.IntN(6) {
		w.planOutage(during(), add)
	}
	for range w.draw.IntN(4) {
		at, n, gap := during(), 1+w.draw.IntN(5)*w.draw.IntN(2)*10, time.Duration(1+w.draw.IntN(100))*time.Millisecond
		for i := range n {
			add(at+time.Duration(i)*gap, "clear", w.clear)
		}
	}
	for range w.draw.IntN(3) {
		jump := time.Duration(w.draw.Int64N(int64(2*time.Hour))) - time.Hour
		add(during(), fmt.Sprintf("the clock jumps by %v", jump), func() { w.sides[0].rt.JumpClock(jump) })
	}
	last := w.tokens[len(w.tokens)-1]
	add(worldTrouble, "everything heals", func() {
		w.setStore(func(s *randomStore) { *s = randomStore{token: last, delay: 10 * time.Millisecond} })
		for _, s := range w.sides {
			s.accept(last)
		}
	})
	final := canary.New()
	add(w.last.Sub(w.start), "the last rotation, of everything at once", func() {
		w.setStore(func(s *randomStore) { s.token = final })
		for _, s := range w.sides {
			s.accept(final)
		}
	})
	return plan
}

// planRotation brings a new token to the store and the servers in any order, up to 20 s
// apart. A server may accept the one before for some seconds more.
func (w *randomWorld) planRotation(at time.Duration, add func(time.Duration, string, func())) {
	old, token := w.tokens[len(w.tokens)-1], canary.New()
	w.tokens = append(w.tokens, token)
	n := len(w.tokens)
	later := func() time.Duration { return at + time.Duration(w.draw.Int64N(int64(20*time.Second))) }
	add(later(), fmt.Sprintf("the store holds token %d", n), func() { w.setStore(func(s *randomStore) { s.token = token }) })
	for _, s := range w.sides {
		begins := later()
		if w.draw.IntN(4) == 0 {
			add(begins, fmt.Sprintf("server %s accepts token %d as well", s.name, n), func() { s.accept(old, token) })
			begins += time.Duration(w.draw.Int64N(int64(5 * time.Second)))
		}
		add(begins, fmt.Sprintf("server %s accepts token %d", s.name, n), func() { s.accept(token) })
	}
}

// planOutage makes the store fail in one way for a while.
func (w *randomWorld) planOutage(at time.Duration, add func(time.Duration, string, func())) {
	way := pick(w.draw,
		randomStore{err: down()},
		randomStore{err: &secretsauth.Error{Kind: secretsauth.ErrUnavailable, Wait: 20 * time.Second}},
		randomStore{err: denied()},
		randomStore{err: &secretsauth.Error{Kind: secretsauth.ErrNotFound}},
		randomStore{err: errors.New("boom"), delay: time.Second},
		randomStore{delay: time.Hour},
		randomStore{delay: time.Minute, deaf: true},
		randomStore{delay: time.Duration(w.draw.Int64N(int64(9 * time.Second)))},
	)
	end := min(at+5*time.Second+time.Duration(w.draw.Int64N(int64(3*time.Minute))), worldTrouble-time.Millisecond)
	add(at, fmt.Sprintf("the store fails: %v after %v, deaf: %v", way.err, way.delay, way.deaf), func() {
		w.setStore(func(s *randomStore) { s.err, s.delay, s.deaf = way.err, way.delay, way.deaf })
	})
	add(end, "the store is back", func() {
		w.setStore(func(s *randomStore) { s.err, s.delay, s.deaf = nil, 0, false })
	})
}

// caller sends requests one after the other, with a pause between them.
type caller struct {
	w     *randomWorld
	side  *side
	draw  *rand.Rand
	pause time.Duration // at most
}

func (w *randomWorld) callers() []*caller {
	var all []*caller
	for i := range 4 + w.draw.IntN(4) {
		all = append(all, &caller{
			w: w, side: w.sides[i%2], draw: rand.New(rand.NewPCG(w.seed, uint64(10+i))),
			pause: pick(w.draw, time.Second, 3*time.Second, 10*time.Second),
		})
	}
	return all
}

func (c *caller) work() {
	for time.Since(c.w.heal) < worldHealing+worldHealthy {
		time.Sleep(1 + time.Duration(c.draw.Int64N(int64(c.pause))))
		c.send()
	}
}

// send is one request. Once everything has healed for long enough it must succeed.
func (c *caller) send() {
	w, begun := c.w, time.Now()
	path, limit := "/api", time.Duration(0)
	var body io.Reader
	stream := &trackedBody{Reader: strings.NewReader(worldBody)} // no GetBody
	kind := pick(c.draw, "no body", "no body", "GetBody", "stream", "announced")
	switch kind {
	case "GetBody":
		body = strings.NewReader(worldBody)
	case "stream", "announced":
		body = stream
	}
	if begun.Before(w.heal) {
		path = pick(c.draw, "/api", "/api", "/api", "/api", "/api", "/api", "/api", "/api", "/strange", "/forbidden")
		if c.draw.IntN(8) == 0 {
			limit = 1 + time.Duration(c.draw.Int64N(int64(5*time.Second)))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if limit > 0 {
		defer time.AfterFunc(limit, cancel).Stop()
	}
	before := w.readsSoFar()
	req, err := http.NewRequestWithContext(context.WithValue(ctx, attemptsKey{}, new(atomic.Int32)), http.MethodPost, "https://"+c.side.name+".test"+path, body)
	if err != nil {
		w.Error(err)
		return
	}
	if kind == "announced" {
		req.Header.Set("Expect", "100-continue")
	}
	w.sent.Add(1)
	resp, err := netted{c.side.rt}.RoundTrip(req)
	took, status := time.Since(begun), 0
	if err == nil {
		status = resp.StatusCode
		_ = resp.Body.Close()
	}
	once := kind == "stream" && w.cfg.BufferBodies < int64(len(worldBody))
	caught := !begun.Add(took).Before(w.last) && begun.Before(w.last.Add(11*time.Second)) // a caller pauses for 10 s at most
	if begun.Sub(w.heal) > worldHealing && status != http.StatusOK && (!once || !caught) {
		w.fail("a request to server %s (%s), %v after everything healed: status %d, %v", c.side.name, kind, begun.Sub(w.heal), status, err)
	}
	time.Sleep(time.Microsecond) // a body may be closed a moment later
	if closes := stream.closes.Load(); body == stream && closes != 1 {
		w.fail("a body was closed %d times (%s)", closes, kind)
	}
	// What may make it wait: three sends, RotationWait, and one read for each that
	// began meanwhile and the one under way.
	read := w.cfg.FetchTimeout + time.Second
	most := 3*(c.side.latency+time.Second) + c.side.rt.RotationWait() + time.Duration(w.readsSoFar()-before+1)*read
	if limit > 0 {
		most = min(most, limit)
	}
	if took > most {
		w.fail("a request to %s%s took %v, want at most %v", c.side.name, path, took, most)
	}
	w.trace("%s%s (%s): %d, %v, in %v", c.side.name, path, kind, status, err, took)
}

// attemptsKey is the context's key for how often a request has come to a server.
type attemptsKey struct{}

// RoundTrip is the way to the server, and the server.
func (s *side) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	announced := req.Header.Get("Expect") != ""
	if !announced {
		s.readBody(req)
	}
	attempts, _ := req.Context().Value(attemptsKey{}).(*atomic.Int32)
	attempt := attempts.Add(1)
	if attempt > 3 {
		s.w.fail("a request was sent %d times", attempt)
	}
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !ok {
		s.w.fail("a request came without the credential")
	}
	select {
	case <-time.After(s.latency):
	case <-req.Context().Done():
		s.count(attempt, 0)
		return nil, req.Context().Err()
	}
	s.mu.Lock()
	status := http.StatusOK
	switch {
	case !s.accepted[token]:
		status = s.badToken
	case strings.HasPrefix(req.URL.Path, "/strange"):
		status = http.StatusUnauthorized
	case strings.HasPrefix(req.URL.Path, "/forbidden"):
		status = http.StatusForbidden
	}
	s.mu.Unlock()
	s.count(attempt, status)
	if announced && status == http.StatusOK {
		s.readBody(req)
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

// readBody reads what a request brings, which is all or nothing.
func (s *side) readBody(req *http.Request) {
	if req.Body == nil {
		return
	}
	if text, err := io.ReadAll(req.Body); err != nil || string(text) != worldBody {
		s.w.fail("a body came to the server as %q, %v", text, err)
	}
}

// count keeps what the transport's counters are compared with.
func (s *side) count(attempt int32, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if attempt > 1 {
		s.repeats++
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden && !s.ignore403 {
		s.rejections++
	}
}

func (s *side) accept(tokens ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = map[string]bool{}
	for _, token := range tokens {
		s.accepted[token] = true
	}
}

func (*randomWorld) Name() string { return "world" }

// Fetch is the store.
func (w *randomWorld) Fetch(ctx context.Context) (secretsauth.Secret, error) {
	w.mu.Lock()
	s := w.store
	w.reads = append(w.reads, time.Now())
	w.mu.Unlock()
	done := ctx.Done()
	if s.deaf {
		done = nil
	}
	select {
	case <-time.After(s.delay):
	case <-done:
		return secretsauth.Secret{}, ctx.Err()
	}
	return secretsauth.NewToken(s.token), s.err
}

func (w *randomWorld) setStore(change func(*randomStore)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.store)
}

func (w *randomWorld) readsSoFar() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.reads)
}

func (w *randomWorld) clear() {
	w.mu.Lock()
	w.clears = append(w.clears, time.Now())
	w.mu.Unlock()
	w.sides[0].rt.ClearCache()
}

// checkReads looks at every minute. A clear asks for a read, which may begin when an
// earlier one has been given up.
func (w *randomWorld) checkReads() {
	within := func(moments []time.Time, from, to time.Time) (n int) {
		for _, at := range moments {
			if !at.Before(from) && !at.After(to) {
				n++
			}
		}
		return n
	}
	for _, from := range w.reads {
		to := from.Add(time.Minute)
		if n, cleared := within(w.reads, from, to), within(w.clears, from.Add(-time.Second), to); n > worldReads+cleared {
			w.fail("%d reads in the minute from %v on, with %d clears", n, from.Sub(w.start), cleared)
			return
		}
	}
}

// checkCounters compares what was counted with what happened.
func (w *randomWorld) checkCounters() {
	var served uint64
	for _, s := range w.sides {
		stats := s.rt.Stats()
		served = stats.Hits + stats.Misses
		if stats.Fetches != uint64(len(w.reads)) {
			w.fail("%d reads, counted %d", len(w.reads), stats.Fetches)
		}
		if stats.Rejections != s.rejections || stats.Retries != s.repeats || stats.Withheld != 0 {
			w.fail("server %s: %d rejections, %d repeats; counted %+v", s.name, s.rejections, s.repeats, stats)
		}
		if stats.FetchErrors > stats.Fetches || stats.StaleServed > stats.Hits {
			w.fail("%+v", stats)
		}
	}
	if served != uint64(w.sent.Load()) { //nolint:gosec // it is positive
		w.fail("%d requests, %d hits and misses", w.sent.Load(), served)
	}
}

// fail reports a failure, and how to see it again.
func (w *randomWorld) fail(format string, args ...any) {
	w.mu.Lock()
	first := !w.broken
	w.broken = true
	w.mu.Unlock()
	if first {
		w.Errorf("world %d, see it again with WORLD=%d go test -run TestRandomWorlds -v .", w.seed, w.seed)
	}
	w.Errorf("%v after the start: %s", time.Since(w.start), fmt.Sprintf(format, args...))
}

// trace prints what happens in a world that is seen again.
func (w *randomWorld) trace(format string, args ...any) {
	if os.Getenv("WORLD") != "" {
		w.Logf("%11v  %s", time.Since(w.start).Round(time.Millisecond), fmt.Sprintf(format, args...))
	}
}

// pick draws one of several.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }
