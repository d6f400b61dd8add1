package secretsauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

func ttl(d time.Duration) func(*secretsauth.Config) {
	return func(c *secretsauth.Config) { c.TTL = d }
}

func TestColdStartReadsOnce(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.slow(time.Second)
		together(10_000, func(int) { w.want("/", http.StatusOK) })
		w.wantReads(1)
	})
}

func TestValueIsServedForItsTTL(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t, ttl(time.Hour))
		// The first refresh may come from 10 % of the TTL on.
		for range 5 {
			w.want("/", http.StatusOK)
			time.Sleep(time.Minute)
		}
		w.wantReads(1)
		if s := w.rt.Stats(); s.Hits != 4 || s.Misses != 1 || s.Fetches != 1 || s.HitRate() != 0.8 {
			t.Errorf("%+v", s)
		}
	})
}

func TestRefreshComesInTheBackgroundBeforeTheTTLEnds(t *testing.T) {
	t.Parallel()
	for range 20 { // the moment is drawn
		simulate(t, func(t *testing.T) {
			w := newWorld(t, ttl(1000*time.Second))
			w.want("/", http.StatusOK)
			w.store.slow(5 * time.Second)
			last := time.Now()
			for n, refreshes := 1, 0; refreshes < 4; {
				time.Sleep(time.Second)
				before := time.Now()
				w.want("/", http.StatusOK)
				if !time.Now().Equal(before) {
					t.Fatal("S145 a request waited for a background refresh")
				}
				synctest.Wait()
				if w.store.count() == n {
					continue
				}
				n++
				age := time.Since(last)
				from, to := 720*time.Second, 881*time.Second
				if refreshes == 0 {
					from, to = 100*time.Second, 801*time.Second
				} else {
					age -= 5 * time.Second // the value is as old as the end of its read
				}
				if age < from || age > to {
					t.Errorf("S150 refresh %d came at the age of %v, want %v to %v", refreshes, age, from, to)
				}
				last = time.Now()
				refreshes++
			}
		})
	}
}

func TestS144ManyCallersStartOneRefresh(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t, ttl(100*time.Second))
		w.want("/", http.StatusOK)
		time.Sleep(95 * time.Second) // past every refresh time, inside the TTL
		w.store.slow(time.Second)
		together(1000, func(int) { w.want("/", http.StatusOK) })
		time.Sleep(2 * time.Second)
		w.wantReads(2)
	})
}

func TestS146ManyCallersAtTheEndOfTheTTLShareOneRead(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t, ttl(100*time.Second))
		w.want("/", http.StatusOK)
		time.Sleep(101 * time.Second)
		w.store.slow(time.Second)
		together(1000, func(int) { w.want("/", http.StatusOK) })
		w.wantReads(2)
	})
}

func TestS145FailedRefreshKeepsTheValueAndPauses(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t, ttl(100*time.Second))
		w.want("/", http.StatusOK)
		time.Sleep(90 * time.Second)
		w.store.fail(denied())
		for range 50 { // half a second, well inside the first pause
			w.want("/", http.StatusOK)
			time.Sleep(10 * time.Millisecond)
		}
		w.wantReads(2)
	})
}

func TestOutages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		err      error
		maxStale time.Duration
		after    time.Duration // past the TTL of 100 s
		want     error         // nil: served
	}{
		{name: "S122 S138 unreachable, inside MaxStale", err: down(), after: 30 * time.Minute},
		{name: "S138 unreachable, past MaxStale", err: down(), after: time.Hour + time.Minute, want: secretsauth.ErrUnavailable},
		{name: "unreachable, MaxStale negative", err: down(), maxStale: -1, after: time.Minute, want: secretsauth.ErrUnavailable},
		{name: "unreachable, MaxStale of its own", err: down(), maxStale: 3 * time.Hour, after: 2 * time.Hour},
		{name: "an error of no kind counts as unreachable", err: errors.New("boom"), after: time.Minute},
		{name: "S130 denied", err: denied(), after: time.Second, want: secretsauth.ErrDenied},
		{name: "S125 not found", err: &secretsauth.Error{Kind: secretsauth.ErrNotFound}, after: time.Second, want: secretsauth.ErrNotFound},
		{name: "S131 disabled", err: &secretsauth.Error{Kind: secretsauth.ErrInvalidSecret}, after: time.Second, want: secretsauth.ErrInvalidSecret},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newWorld(t, ttl(100*time.Second), func(c *secretsauth.Config) { c.MaxStale = test.maxStale })
				w.want("/", http.StatusOK)
				w.store.fail(test.err)
				for range 99 + int(test.after/time.Second) {
					time.Sleep(time.Second)
					_, _ = w.do("/") // a client at work
				}
				time.Sleep(2 * time.Second)
				if test.want == nil {
					w.want("/", http.StatusOK)
					if w.rt.Stats().StaleServed == 0 {
						t.Error("nothing counted as stale")
					}
				} else {
					w.wantErr("/", test.want)
				}
				// A read begins when a pause of at most 60 s ±25 % is over, so an
				// outage of n minutes costs little more than n reads.
				if n, bound := w.store.count(), 10+int((test.after+100*time.Second)/(45*time.Second)); n > bound {
					t.Errorf("%d reads, want at most %d", n, bound)
				}

				w.store.put(w.old)
				time.Sleep(76 * time.Second)
				w.want("/", http.StatusOK)
				synctest.Wait()
				before := w.store.count()
				w.want("/", http.StatusOK)
				w.wantReads(before)
			})
		})
	}
}

func TestS139ColdOutageFailsFastAndIsShared(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.fail(down())
		w.store.slow(time.Second)
		together(100, func(int) { w.wantErr("/", secretsauth.ErrUnavailable) })
		w.wantReads(1)
		begun := time.Now()
		w.wantErr("/", secretsauth.ErrUnavailable)
		if time.Since(begun) != 0 {
			t.Error("a request waited although the pause was not over")
		}
		w.wantReads(1)
		time.Sleep(1250 * time.Millisecond)
		w.wantErr("/", secretsauth.ErrUnavailable)
		w.wantReads(2)
	})
}

func TestS147S150PausesGrowToAMinute(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.fail(down())
		want := time.Second
		for last := time.Now(); want < 8*time.Minute; want *= 2 {
			n := w.store.count()
			for w.store.count() == n {
				_, _ = w.do("/")
				time.Sleep(10 * time.Millisecond)
			}
			got, nominal := time.Since(last), min(want/2, time.Minute)
			if n > 0 && (got < nominal*3/4 || got > nominal*5/4+20*time.Millisecond) {
				t.Errorf("pause %d was %v, want %v ±25 %%", n, got, nominal)
			}
			last = time.Now()
		}
	})
}

func TestS121RetryAfterIsObeyedUpToAMinute(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		wait        time.Duration
		quiet, over time.Duration // no read before, one after
	}{
		{"30 s", 30 * time.Second, 29 * time.Second, 31 * time.Second},
		{"a year", 365 * 24 * time.Hour, 59 * time.Second, 61 * time.Second},
		{"negative", -time.Hour, 700 * time.Millisecond, 1300 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newWorld(t)
				w.store.fail(&secretsauth.Error{Kind: secretsauth.ErrUnavailable, Wait: test.wait})
				w.wantErr("/", secretsauth.ErrUnavailable)
				time.Sleep(test.quiet)
				w.wantErr("/", secretsauth.ErrUnavailable)
				w.wantReads(1)
				time.Sleep(test.over - test.quiet)
				w.wantErr("/", secretsauth.ErrUnavailable)
				w.wantReads(2)
			})
		})
	}
}

func TestS135S136ACallerThatCancelsFailsNoOther(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.slow(5 * time.Second)
		var ok, cancelled atomic.Int32
		together(200, func(i int) {
			ctx := t.Context()
			if i%2 == 0 { // the first to come among them
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Second)
				defer cancel()
			}
			begun := time.Now()
			status, err := w.doWith(ctx, "/", nil)
			switch {
			case err == nil && status == http.StatusOK:
				ok.Add(1)
			case errors.Is(err, context.DeadlineExceeded):
				cancelled.Add(1)
				if time.Since(begun) != time.Second {
					t.Error("a waiter did not leave when its own context ended")
				}
			default:
				t.Errorf("status %d, %v", status, err)
			}
		})
		if ok.Load() != 100 || cancelled.Load() != 100 {
			t.Errorf("%d served, %d cancelled", ok.Load(), cancelled.Load())
		}
		w.wantReads(1)
		w.want("/", http.StatusOK) // S147 no context error was cached
		w.wantReads(1)
	})
}

func TestF17ARequestThatEndsWhileItWaitsSaysForWhichStore(t *testing.T) {
	t.Parallel()
	type call func(w *world, ctx context.Context) error
	calls := map[string]call{
		"RoundTrip": func(w *world, ctx context.Context) error { _, err := w.doWith(ctx, "/", nil); return err },
		"Warm":      func(w *world, ctx context.Context) error { return w.rt.Warm(ctx) },
		"http.Client": func(w *world, ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mlflow.test/", nil)
			if err != nil {
				return err
			}
			resp, err := (&http.Client{Transport: netted{w.rt}}).Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		},
		"http.Client with a Timeout": func(w *world, _ context.Context) error {
			resp, err := (&http.Client{Transport: netted{w.rt}, Timeout: time.Second}).Get("https://mlflow.test/")
			if err == nil {
				_ = resp.Body.Close()
			}
			return err
		},
	}
	for name, do := range calls {
		for _, cancelled := range []bool{false, true} {
			if cancelled && name == "http.Client with a Timeout" {
				continue
			}
			t.Run(fmt.Sprintf("%s, cancelled: %v", name, cancelled), func(t *testing.T) {
				t.Parallel()
				simulate(t, func(t *testing.T) {
					w := newWorld(t)
					w.store.slow(5 * time.Second)
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					want, unavailable := context.DeadlineExceeded, true
					if cancelled {
						ctx, cancel = context.WithCancel(t.Context())
						defer cancel()
						time.AfterFunc(time.Second, cancel)
						want, unavailable = context.Canceled, false
					}
					err := do(w, ctx)
					if err == nil || !strings.Contains(err.Error(), w.store.Key()) || !strings.Contains(err.Error(), want.Error()) {
						t.Fatalf("the error does not say for which store it waited, and why it ended: %v", err)
					}
					if name == "http.Client with a Timeout" { // which keeps no more of an error than its text
						return
					}
					if !errors.Is(err, want) || errors.Is(err, secretsauth.ErrUnavailable) != unavailable {
						t.Errorf("the error wraps the context's: %v, ErrUnavailable: %v, want %v",
							errors.Is(err, want), errors.Is(err, secretsauth.ErrUnavailable), unavailable)
					}
					if own, ok := errors.AsType[*secretsauth.Error](err); ok != unavailable || ok && own.Key != w.store.Key() {
						t.Errorf("as an *Error: %v", own)
					}
					if late, ok := err.(interface{ Timeout() bool }); !ok || late.Timeout() != unavailable { //nolint:errorlint // as net/http looks at it
						t.Error("it does not say whether it timed out")
					}
					if s := w.rt.Stats(); s.Misses != 1 || s.Hits != 0 {
						t.Errorf("%+v", s)
					}
				})
			})
		}
	}
}

func TestS114ShortClientTimeoutLeavesTheReadRunning(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.slow(5 * time.Second)
		client := &http.Client{Transport: netted{w.rt}, Timeout: time.Second}
		if _, err := client.Get("https://mlflow.test/"); !errors.Is(err, context.DeadlineExceeded) { //nolint:bodyclose // it fails
			t.Errorf("error %v, want the caller's deadline", err)
		}
		time.Sleep(5 * time.Second)
		w.want("/", http.StatusOK)
		w.wantReads(1)
	})
}

func TestS119S137S151AHangingStoreIsBoundedByFetchTimeout(t *testing.T) {
	t.Parallel()
	for _, deaf := range []bool{false, true} {
		t.Run(map[bool]string{false: "honours its context", true: "ignores its context"}[deaf], func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newWorld(t, func(c *secretsauth.Config) { c.FetchTimeout = 2 * time.Second })
				w.store.set(func(s *fakeStore) { s.delay, s.deaf = time.Hour, deaf })
				begun := time.Now()
				_, err := w.do("/")
				if !errors.Is(err, secretsauth.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v, want unavailable and no context error: that would be the caller's", err)
				}
				if d := time.Since(begun); d < 2*time.Second || d > 3*time.Second || !deaf && d != 2*time.Second {
					t.Errorf("it took %v", d)
				}
				w.store.slow(0)
				time.Sleep(2 * time.Second)
				w.want("/", http.StatusOK)
				time.Sleep(time.Hour) // let the deaf one come back
			})
		})
	}
}

func TestReadsThatNeverComeBackDoNotPileUp(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.set(func(s *fakeStore) { s.delay, s.deaf = 10*time.Hour, true })
		for range 5 * 60 {
			_, _ = w.do("/")
			time.Sleep(time.Minute)
		}
		if n := w.store.count(); n > 4 {
			t.Errorf("%d reads hang at once", n)
		}
		w.store.slow(0)
		time.Sleep(6 * time.Hour)
		w.want("/", http.StatusOK)
	})
}

func TestS134APanickingProviderIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(string){
		"panic":  func(secret string) { panic(secret) },
		"Goexit": func(string) { runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			rt, err := newTransport(secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) {
				act(w.old)
				return secretsauth.Secret{}, nil
			}), secretsauth.Config{AllowedHosts: []string{"*"}, Base: w.server})
			if err != nil {
				t.Fatal(err)
			}
			err = rt.Warm(t.Context())
			if !errors.Is(err, secretsauth.ErrUnavailable) {
				t.Errorf("got %T", err)
			}
			if err != nil && strings.Contains(err.Error(), w.old) {
				t.Error("the error holds what the provider panicked with")
			}
		})
	}
}

func TestS134APanicReachesNoCallerAndDoesNotStay(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		var broken atomic.Bool
		broken.Store(true)
		rt, err := newTransport(secretsauth.ProviderFunc(func(ctx context.Context) (secretsauth.Secret, error) {
			time.Sleep(time.Second)
			if broken.Load() {
				panic(w.old)
			}
			return w.store.Fetch(ctx)
		}), secretsauth.Config{AllowedHosts: []string{"*"}, Base: w.server})
		if err != nil {
			t.Fatal(err)
		}
		w.rt = rt
		together(100, func(int) { w.wantErr("/", secretsauth.ErrUnavailable) }) // all who wait for the one read
		broken.Store(false)
		time.Sleep(2 * time.Second) // the pause after a failure
		w.want("/", http.StatusOK)
	})
}

// evil is an error whose methods do what they should not.
type evil struct {
	text       func() string
	is         func(error) bool
	unwrap     func() error
	retryAfter func() time.Duration
}

func (e evil) Error() string {
	if e.text == nil {
		return "boom"
	}
	return e.text()
}
func (e evil) Is(target error) bool { return e.is != nil && e.is(target) }
func (e evil) RetryAfter() time.Duration {
	if e.retryAfter == nil {
		return 0
	}
	return e.retryAfter()
}
func (e evil) Unwrap() error {
	if e.unwrap == nil {
		return nil
	}
	return e.unwrap()
}

func TestF14NoErrorOfAProviderEndsTheProcess(t *testing.T) {
	t.Parallel()
	var nilError *secretsauth.Error
	hidden := canary.New()
	explode := func() { panic(hidden) }
	var looks atomic.Int32
	for name, failure := range map[string]error{
		"a nil *Error":                  nilError,
		"a nil *Error, wrapped":         fmt.Errorf("read: %w", nilError),
		"a nil *Error, joined":          errors.Join(errors.New("boom"), nilError),
		"a nil pointer of another type": (*evil)(nil),
		"Error panics":                  evil{text: func() string { explode(); return "" }},
		"Error panics, wrapped":         &secretsauth.Error{Kind: secretsauth.ErrDenied, Cause: evil{text: func() string { explode(); return "" }}},
		"Error panics later": evil{text: func() string {
			if looks.Add(1) > 1 {
				explode()
			}
			return "boom"
		}},
		"Is panics":              evil{is: func(error) bool { explode(); return false }},
		"Unwrap panics":          evil{unwrap: func() error { explode(); return nil }},
		"RetryAfter panics":      evil{retryAfter: func() time.Duration { explode(); return 0 }},
		"Is ends its goroutine":  evil{is: func(error) bool { runtime.Goexit(); return false }},
		"Error never comes back": evil{text: func() string { time.Sleep(time.Hour); return "" }},
		"Is panics for what the caller looks for": evil{is: func(target error) bool {
			if target == io.ErrUnexpectedEOF { //nolint:errorlint // it is what is asked for
				explode()
			}
			return false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newWorld(t, ttl(100*time.Second))
				w.want("/", http.StatusOK)
				w.store.fail(failure)
				time.Sleep(100 * time.Second)
				for range 100 {
					if status, err := w.do("/"); status != http.StatusOK && strings.Contains(err.Error(), hidden) {
						t.Error("the error holds what was panicked with")
					}
					time.Sleep(time.Second)
				}
				if name != "Error panics, wrapped" { // which says that the store has spoken
					w.want("/", http.StatusOK) // as stale
				}
				w.rt.ClearCache()
				_, err := w.do("/")
				if !errors.Is(err, secretsauth.ErrUnavailable) && !errors.Is(err, secretsauth.ErrDenied) {
					t.Errorf("the read is no failure of a store: %T", err)
				}
				_, _ = errors.Is(err, io.ErrUnexpectedEOF), err.Error()
				w.store.put(w.old)
				time.Sleep(2 * time.Hour) // until what has not come back does
				w.want("/", http.StatusOK)
			})
		})
	}
}

// badProvider panics where it is told to.
type badProvider struct {
	secretsauth.Provider
	name, key string
	stores    func() int
}

func (p *badProvider) Name() string { return explodeUnless(p.name) }
func (p *badProvider) Key() string  { return explodeUnless(p.key) }
func (p *badProvider) Stores() int  { return p.stores() }

func explodeUnless(text string) string {
	if text == "" {
		panic("no name")
	}
	return text
}

func TestF14NoProviderEndsTheProcess(t *testing.T) {
	t.Parallel()
	one := func() int { return 1 }
	for name, test := range map[string]struct {
		provider secretsauth.Provider
		want     error // nil: it works
	}{
		"a nil pointer":              {(*badProvider)(nil), secretsauth.ErrConfig},
		"Name panics":                {&badProvider{key: "k", stores: one}, secretsauth.ErrConfig},
		"Key panics":                 {&badProvider{name: "n", stores: one}, secretsauth.ErrConfig},
		"Stores panics":              {&badProvider{name: "n", key: "k", stores: func() int { panic("boom") }}, secretsauth.ErrConfig},
		"Fetch is nil":               {&badProvider{name: "n", key: "k", stores: one}, secretsauth.ErrUnavailable},
		"Stores is huge":             {&badProvider{Provider: secretsauth.Static(secretsauth.NewToken(canary.New())), name: "n", key: "k", stores: func() int { return math.MaxInt }}, nil},
		"Stores is negative":         {&badProvider{Provider: secretsauth.Static(secretsauth.NewToken(canary.New())), name: "n", key: "k", stores: func() int { return -1 }}, nil},
		"a ProviderFunc that is nil": {secretsauth.ProviderFunc(nil), secretsauth.ErrConfig},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				rt, err := newTransport(test.provider, secretsauth.Config{AllowedHosts: []string{"*"}, Base: &fakeServer{}})
				if err == nil {
					err = rt.Warm(t.Context())
				}
				if test.want == nil && err != nil || test.want != nil && !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
			})
		})
	}
}

// A log handler that panics would end the process: it runs in the goroutine of a read,
// where no caller can catch it.
func TestF14NoLogHandlerEndsTheProcess(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t, func(c *secretsauth.Config) { c.Logger = slog.New(brokenHandler{slog.DiscardHandler}) })
		w.want("/", http.StatusOK)
		w.store.fail(down())
		w.rt.ClearCache()
		w.wantErr("/", secretsauth.ErrUnavailable)
	})
}

// brokenHandler panics on lines about reads.
type brokenHandler struct{ slog.Handler }

func (brokenHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h brokenHandler) Handle(_ context.Context, r slog.Record) error {
	if !strings.HasPrefix(r.Message, "Authentication successful") && !strings.HasPrefix(r.Message, "Cache hit") {
		panic("the handler is broken")
	}
	return nil
}

func TestF15ClearsDoNotPileUpReads(t *testing.T) {
	t.Parallel()
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("the store ignores that nobody waits: %v", deaf), func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newWorld(t)
				var underWay, most atomic.Int32
				rt, err := newTransport(secretsauth.ProviderFunc(func(ctx context.Context) (secretsauth.Secret, error) {
					if n := underWay.Add(1); n > most.Load() {
						most.Store(n)
					}
					defer underWay.Add(-1)
					return w.store.Fetch(ctx)
				}), secretsauth.Config{AllowedHosts: []string{"*"}, Base: w.server})
				if err != nil {
					t.Fatal(err)
				}
				w.rt = rt
				w.store.set(func(s *fakeStore) { s.delay, s.deaf = 9*time.Second, deaf })
				var callers sync.WaitGroup
				for range 5 {
					callers.Go(func() {
						for range 10 {
							_, _ = w.do("/")
							time.Sleep(10 * time.Millisecond)
						}
					})
				}
				for range 1000 {
					w.rt.ClearCache()
					time.Sleep(10 * time.Millisecond)
				}
				callers.Wait()
				bound := int32(2) // the one that is cancelled, and the next
				if deaf {
					bound = 4
				}
				if n := most.Load(); n > bound {
					t.Errorf("%d reads under way at once, want at most %d", n, bound)
				}
				w.store.set(func(s *fakeStore) { s.delay, s.deaf = 0, false })
				time.Sleep(2 * time.Minute)
				w.want("/", http.StatusOK)
			})
		})
	}
}

func TestS148ASuspendedOrResetClock(t *testing.T) {
	t.Parallel()
	// Simulated time only runs forward; what a clock set back would do is covered
	// in cache_internal_test.go.
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.want("/", http.StatusOK)
		time.Sleep(30 * 24 * time.Hour) // a laptop asleep
		w.rotate()
		w.want("/", http.StatusOK)
		if s := w.rt.Stats(); s.Rejections != 0 {
			t.Errorf("the old value was used after a month: %+v", s)
		}
	})
}

func TestExpiryOfTheStoreIsNeverOutlived(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t, ttl(time.Hour))
		end := time.Now().Add(10 * time.Minute)
		w.store.set(func(s *fakeStore) { s.secret = s.secret.WithExpiry(end) })
		w.want("/", http.StatusOK)
		w.store.fail(down())
		for time.Now().Before(end.Add(-time.Second)) {
			w.want("/", http.StatusOK)
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Second)
		w.wantErr("/", secretsauth.ErrUnavailable) // not even as stale

		w.store.fail(nil) // the store is back and still holds what has expired
		time.Sleep(2 * time.Minute)
		w.wantErr("/", secretsauth.ErrInvalidSecret)
	})
}

func TestNoGoroutineIsLeftWhenNothingIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // which panics if one is left
		w := newWorld(t)
		w.store.slow(time.Second)
		together(100, func(int) { w.want("/", http.StatusOK) })
		w.rotate()
		together(100, func(int) { w.want("/", http.StatusOK) })
		synctest.Wait()
	})
}

func TestTTLHintsCountWhereConfigIsSilent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		config, hint time.Duration
		lasts        time.Duration
	}{
		{"default", 0, 0, 5 * time.Minute},
		{"hint", 0, time.Hour, time.Hour},
		{"config wins over the hint", time.Minute, time.Hour, time.Minute},
		{"S149 too short", time.Millisecond, 0, time.Second},
		{"S149 a negative hint", 0, -time.Hour, time.Second},
		{"S149 huge", 1 << 62, 0, 24 * time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newWorld(t, ttl(test.config))
				w.store.set(func(s *fakeStore) { s.secret = s.secret.WithTTL(test.hint) })
				w.want("/", http.StatusOK)
				time.Sleep(test.lasts - time.Millisecond)
				w.store.slow(time.Minute)
				begun := time.Now()
				w.want("/", http.StatusOK)
				if time.Since(begun) != 0 {
					t.Error("the value did not last that long")
				}
				w.store.slow(0)
				time.Sleep(2 * time.Minute) // let the refresh end
				time.Sleep(test.lasts)
				n := w.store.count()
				w.want("/", http.StatusOK)
				synctest.Wait()
				w.wantReads(n + 1)
			})
		})
	}
}

func TestClearCacheReadsAnew(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.want("/", http.StatusOK)
		w.rt.ClearCache()
		w.want("/", http.StatusOK)
		w.wantReads(2)

		w.store.fail(denied())
		w.rt.ClearCache()
		w.wantErr("/", secretsauth.ErrDenied)
		w.store.put(w.old)
		w.rt.ClearCache() // no need to sit out the pause
		w.want("/", http.StatusOK)
		w.wantReads(4)
	})
}

func TestS143ClearDuringAReadOutdatesIt(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.slow(10 * time.Second) // fakeStore answers with what it held at the start
		done := make(chan struct{})
		go func() {
			w.want("/", http.StatusOK)
			close(done)
		}()
		time.Sleep(time.Second)
		w.rotate()
		w.rt.ClearCache()
		<-done
		if s := w.rt.Stats(); s.Rejections != 0 || s.Fetches != 2 {
			t.Errorf("the outdated read answered: %+v", s)
		}
		time.Sleep(time.Minute) // nor has it stored
		w.want("/", http.StatusOK)
		if s := w.rt.Stats(); s.Rejections != 0 {
			t.Errorf("the outdated read was stored: %+v", s)
		}
	})
}

func TestTransportsShareACache(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cache := secretsauth.NewCache(w.store, secretsauth.Config{})
	for range 3 {
		rt, err := newTransport(cache, secretsauth.Config{AllowedHosts: []string{"mlflow.test"}, Base: w.server})
		if err != nil {
			t.Fatal(err)
		}
		w.rt = rt
		w.want("/", http.StatusOK)
	}
	w.wantReads(1)
	if cache.Name() != "fake" || cache.Key() != w.store.Key() {
		t.Errorf("cache is named %q, %q", cache.Name(), cache.Key())
	}
	secret, err := cache.Fetch(t.Context())
	if err != nil || !secret.Equal(secretsauth.NewToken(w.old)) {
		t.Error("the cache as a provider gives another secret, or none")
	}
}

func TestWarmFailsAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.rt.Warm(t.Context()); err != nil {
		t.Error(err)
	}
	w.wantReads(1)
	w = newWorld(t, func(c *secretsauth.Config) { c.Mode = secretsauth.AuthBasic })
	if err := w.rt.Warm(t.Context()); !errors.Is(err, secretsauth.ErrInvalidSecret) {
		t.Errorf("a token for basic authentication: %v", err)
	}
}

func TestZeroValuesRefuseLoudly(t *testing.T) {
	t.Parallel()
	var rt secretsauth.Transport
	req, _ := http.NewRequest(http.MethodGet, "https://mlflow.test", nil)
	if _, err := rt.RoundTrip(req); !errors.Is(err, secretsauth.ErrConfig) { //nolint:bodyclose // it fails
		t.Errorf("Transport: %v", err)
	}
	if err := rt.Warm(t.Context()); !errors.Is(err, secretsauth.ErrConfig) {
		t.Errorf("Warm: %v", err)
	}
	rt.ClearCache()
	rt.CloseIdleConnections()
	if s := rt.Stats(); s != (secretsauth.Stats{}) {
		t.Errorf("Stats: %+v", s)
	}
	if _, err := secretsauth.NewCache(nil, secretsauth.Config{}).Fetch(t.Context()); !errors.Is(err, secretsauth.ErrConfig) {
		t.Errorf("Cache without a provider: %v", err)
	}
	if _, err := new(secretsauth.Cache).Fetch(t.Context()); !errors.Is(err, secretsauth.ErrConfig) {
		t.Errorf("zero Cache: %v", err)
	}
	if _, err := secretsauth.NewTransport(nil, secretsauth.Config{AllowedHosts: []string{"*"}}); !errors.Is(err, secretsauth.ErrConfig) {
		t.Errorf("no provider: %v", err)
	}
	if _, err := secretsauth.NewTransport((*secretsauth.Cache)(nil), secretsauth.Config{AllowedHosts: []string{"*"}}); !errors.Is(err, secretsauth.ErrConfig) {
		t.Errorf("a nil cache: %v", err)
	}
}

// One rule for each field, and no field that is silently taken for another value.
func TestF19ABadConfigIsRefusedByTransportsAndByCaches(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*secretsauth.Config){
		"TTL":                   func(c *secretsauth.Config) { c.TTL = -1 },
		"FetchTimeout":          func(c *secretsauth.Config) { c.FetchTimeout = -time.Second },
		"RotationWait":          func(c *secretsauth.Config) { c.RotationWait = -time.Second },
		"BufferBodies":          func(c *secretsauth.Config) { c.BufferBodies = -1 },
		"HeaderName, a bad one": func(c *secretsauth.Config) { c.HeaderName = "X Api" },
		"HeaderName, Host":      func(c *secretsauth.Config) { c.HeaderName = "Host" },
		"Mode":                  func(c *secretsauth.Config) { c.Mode = "digest" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &fakeStore{}
			store.put(canary.New())
			cfg := secretsauth.Config{AllowedHosts: []string{"*"}}
			change(&cfg)
			field, _, _ := strings.Cut(name, ",")
			ok := func(what string, err error) {
				t.Helper()
				var own *secretsauth.Error
				if !errors.As(err, &own) || !errors.Is(err, secretsauth.ErrConfig) || own.Fix == "" {
					t.Errorf("%s: %v, want an error of the configuration with a fix", what, err)
				}
				if text := err.Error(); !strings.Contains(text, field) && field != "Mode" { // "the auth mode"
					t.Errorf("%s does not name %s: %s", what, field, text)
				}
			}
			_, err := secretsauth.NewTransport(store, cfg)
			ok("NewTransport", err)
			cache := secretsauth.NewCache(store, cfg)
			_, err = cache.Fetch(t.Context())
			ok("Fetch", err)
			_, err = secretsauth.NewTransport(cache, secretsauth.Config{AllowedHosts: []string{"*"}})
			ok("NewTransport around the cache", err)
			if store.count() != 0 {
				t.Error("the store was read")
			}
		})
	}
	t.Run("MaxStale is negative for never", func(t *testing.T) {
		t.Parallel()
		if _, err := secretsauth.NewTransport(&fakeStore{}, secretsauth.Config{AllowedHosts: []string{"*"}, MaxStale: -1}); err != nil {
			t.Error(err)
		}
	})
}

func TestStateOfACache(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		if s := w.rt.CacheState(); !s.ReadAt.IsZero() || s.Failure != nil {
			t.Errorf("before the first read: %+v", s)
		}
		w.want("/", http.StatusOK)
		s := w.rt.CacheState()
		if s.ReadAt.IsZero() || s.ExpiresAt.Sub(s.ReadAt) != 5*time.Minute || !s.RefreshAt.Before(s.ExpiresAt) || s.Failure != nil {
			t.Errorf("after it: %+v", s)
		}
		w.store.fail(secretsauth.ErrUnavailable)
		w.rt.ClearCache()
		w.wantErr("/", secretsauth.ErrUnavailable)
		if s := w.rt.CacheState(); !s.ReadAt.IsZero() || !errors.Is(s.Failure, secretsauth.ErrUnavailable) || !s.RetryAt.After(time.Now()) {
			t.Errorf("without the store: %+v", s)
		}
	})
}

func TestAZeroCacheCountsNothing(t *testing.T) {
	t.Parallel()
	var c secretsauth.Cache
	if s := c.Stats(); s != (secretsauth.Stats{}) {
		t.Errorf("%+v", s)
	}
	if _, err := c.Fetch(t.Context()); !errors.Is(err, secretsauth.ErrConfig) {
		t.Error(err)
	}
}
