package secretsauth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// TestS148ClockSetBack looks inside for what follows from that; the clock is set
// back by JumpClock.
func TestS148ClockSetBack(t *testing.T) {
	t.Parallel()
	var down bool
	reads, token := 0, canary.New()
	c := NewCache(ProviderFunc(func(context.Context) (Secret, error) {
		if reads++; down {
			return Secret{}, errors.New("connection refused")
		}
		return NewToken(token), nil
	}), Config{})
	fetch := func() {
		t.Helper()
		if _, err := c.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	fetch()
	c.JumpClock(-time.Hour)
	fetch()
	if reads != 2 {
		t.Errorf("%d reads: a negative age did not count as expired", reads)
	}

	down = true
	c.JumpClock(-time.Hour)
	fetch() // the store does not answer: served as stale, as any expired value
	fetch()
	if s := c.Stats(); reads != 3 || s.StaleServed != 2 {
		t.Errorf("%d reads, %+v", reads, s)
	}
	if h := c.lease; h.staleUntil > time.Now().Add(time.Hour).UnixNano() {
		t.Error("the stale window did not move with the clock")
	}
}

// The clock is set back during the pause after a failed read. The pause is a second, and
// remains one.
func TestF13AClockSetBackDoesNotLengthenAPause(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{-30 * time.Minute, 30 * time.Minute} {
		t.Run(jump.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var down bool
				reads, token := 0, canary.New()
				c := NewCache(ProviderFunc(func(context.Context) (Secret, error) {
					if reads++; down {
						return Secret{}, errors.New("connection refused")
					}
					return NewToken(token), nil
				}), Config{TTL: 12 * time.Hour})
				fetch := func() {
					t.Helper()
					if _, err := c.Fetch(t.Context()); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
				}
				fetch()
				time.Sleep(12*time.Hour - time.Minute)
				down = true
				fetch() // the refresh, which fails
				if reads != 2 {
					t.Fatalf("%d reads", reads)
				}
				c.JumpClock(jump)
				fetch() // which is served from the lease that ends with the pause
				down = false
				time.Sleep(1300 * time.Millisecond)
				fetch()
				fetch()
				if reads != 3 {
					t.Errorf("%d reads: the store was not read again after the pause of 1 s ±25 %%", reads)
				}
				if s := c.State(); s.Failure != nil {
					t.Error("the failure is still there")
				}
			})
		})
	}
}

func TestAHitTakesNoLock(t *testing.T) {
	t.Parallel()
	c := NewCache(Static(NewToken(canary.New())), Config{})
	if _, err := c.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	hit := make(chan error, 1)
	go func() {
		_, err := c.Fetch(context.Background())
		hit <- err
	}()
	select {
	case err := <-hit:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("a hit waits for the lock")
	}
}

// Callers that have found the refresh due all at once, before the first of them
// could say that it is on its way.
func TestS144CallersThatWaitForTheLockStartOneRefresh(t *testing.T) {
	t.Parallel()
	var reads atomic.Int32
	c := NewCache(ProviderFunc(func(ctx context.Context) (Secret, error) {
		if reads.Add(1) > 1 {
			<-ctx.Done() // the refresh is under way as long as the callers are
		}
		return NewToken(canary.New()), nil
	}), Config{FetchTimeout: time.Second})
	if _, err := c.Fetch(t.Context()); err != nil {
		t.Fatal("the first read fails")
	}
	var callers sync.WaitGroup
	c.mu.Lock()
	c.lease.refreshAt = time.Now().UnixNano()
	c.live.Store(nil)
	for range 100 {
		callers.Go(func() {
			if _, err := c.Fetch(context.Background()); err != nil {
				t.Error("a caller gets no value")
			}
		})
	}
	time.Sleep(50 * time.Millisecond) // until they wait for the lock; if not, this shows less and is no failure
	c.mu.Unlock()
	callers.Wait()
	if n := c.Stats().Fetches; n != 2 {
		t.Errorf("%d reads, want the first and one refresh", n)
	}
}
