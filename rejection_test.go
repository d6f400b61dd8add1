package secretsauth_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

func TestS91S141RotationIsOneReadAndOneReplay(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.want("/", http.StatusOK)
		w.rotate()
		w.want("/", http.StatusOK)
		w.want("/", http.StatusOK)
		w.wantReads(2)
		if s := w.rt.Stats(); s.Rejections != 1 || s.Retries != 1 {
			t.Errorf("%+v", s)
		}
		if n := w.server.requests(); n != 4 {
			t.Errorf("the server saw %d requests, want 4", n)
		}
	})
}

func TestEveryRotationIsFollowedAtOnce(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		for range 100 {
			token := canary.New()
			w.store.put(token)
			w.server.accept(token)
			w.want("/", http.StatusOK)
			time.Sleep(100 * time.Millisecond)
		}
		w.wantReads(100)
	})
}

func TestS92S93S117AWrongSecretReadsOncePerPause(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.server.accept("another")
		// A request a second for a day: the pauses are 1, 2, 4 … 256, 300 s, ±25 %.
		for range 24 * 60 * 60 {
			w.want("/", http.StatusUnauthorized)
			time.Sleep(time.Second)
		}
		// A read a pause, and the refreshes of a TTL of 5 min that fall between.
		if n := w.store.count(); n < 250 || n > 800 {
			t.Errorf("%d reads in a day", n)
		}
		if s := w.rt.Stats(); s.Retries != 0 {
			t.Errorf("S93 an unchanged value was replayed: %+v", s)
		}
	})
}

func TestS115AThousandRejectionsReadOnce(t *testing.T) {
	t.Parallel()
	for _, code := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newWorld(t)
				w.want("/", http.StatusOK)
				w.server.set(func(s *fakeServer) { s.badToken, s.latency = code, 100*time.Millisecond })
				w.rotate()
				w.store.slow(50 * time.Millisecond)
				together(1000, func(i int) {
					time.Sleep(time.Duration(i%100) * time.Millisecond)
					w.want("/", http.StatusOK)
				})
				w.wantReads(2)
			})
		})
	}
}

func TestS116StragglersOfAnOldValueReadNothing(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.want("/", http.StatusOK)
		w.server.set(func(s *fakeServer) { s.latency = 10 * time.Second; s.decideLate = true })
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { w.want("/", http.StatusOK) })
		}
		time.Sleep(time.Second)
		w.rotate()
		w.rt.ClearCache()
		if err := w.rt.Warm(t.Context()); err != nil { // the new value is there before they fail
			t.Error(err)
		}
		wg.Wait()
		w.wantReads(2)
		if s := w.rt.Stats(); s.Retries != 20 {
			t.Errorf("%+v", s)
		}
	})
}

func TestS116AStragglerWhoseSuccessorHasExpiredWaitsForARead(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t, ttl(time.Second), func(c *secretsauth.Config) { c.MaxStale = -1 })
		w.server.accept(w.old, w.fresh)
		w.want("/", http.StatusOK)
		w.server.set(func(s *fakeServer) { s.latency, s.decideLate = 5*time.Second, true })
		done := make(chan struct{})
		go func() { // sent with the old value, answered when the new one is past its TTL
			defer close(done)
			w.want("/", http.StatusOK)
		}()
		synctest.Wait()
		w.server.set(func(s *fakeServer) { s.latency = 0 })
		w.store.put(w.fresh)
		time.Sleep(2 * time.Second)
		w.want("/", http.StatusOK)
		w.server.accept(w.fresh)
		<-done
	})
}

func TestS94S140FailedReadAfter401(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		err  error
		kind error
	}{
		{"store down", down(), secretsauth.ErrUnavailable},
		{"store denies", denied(), secretsauth.ErrDenied},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newWorld(t)
				w.want("/", http.StatusOK)
				w.store.fail(test.err)
				w.server.accept(w.fresh)
				w.want("/", http.StatusUnauthorized) // the original, whole
				for range 10 {                       // and the rejected value is never served again
					w.wantErr("/", test.kind)
					time.Sleep(time.Minute)
				}
				w.store.put(w.fresh)
				time.Sleep(2 * time.Minute)
				w.want("/", http.StatusOK)
			})
		})
	}
}

func TestS94TheCallersContextEndsDuringTheRead(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.want("/", http.StatusOK)
		w.rotate()
		w.store.slow(5 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if status, err := w.doWith(ctx, "/", nil); status != http.StatusUnauthorized {
			t.Errorf("status %d, %v; want the original 401", status, err)
		}
		w.want("/", http.StatusOK)
		w.wantReads(2)
	})
}

func TestS140S96F12A403CostsNobodyTheValue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		// paths are asked for in turn, one a second.
		paths []string
	}{
		{"one 403, then only successes", []string{"/"}},
		{"403s between the successes", []string{"/forbidden", "/"}},
		{"403s and nothing else", []string{"/forbidden"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newWorld(t, ttl(100*time.Second))
				w.want("/", http.StatusOK)
				w.want("/forbidden", http.StatusForbidden)
				time.Sleep(10 * time.Second)
				w.store.fail(down())
				for i := range 30 * 60 { // far beyond the TTL
					path := test.paths[i%len(test.paths)]
					w.want(path, map[string]int{"/": http.StatusOK, "/forbidden": http.StatusForbidden}[path])
					time.Sleep(time.Second)
				}
				w.want("/", http.StatusOK)
				if w.rt.Stats().StaleServed == 0 {
					t.Error("nothing was served past the TTL")
				}
				time.Sleep(35 * time.Minute)
				w.wantErr("/", secretsauth.ErrUnavailable) // but not past MaxStale
			})
		})
	}
}

func TestOthersDoNotWaitForTheReadOfA403(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.want("/", http.StatusOK)
		w.store.slow(5 * time.Second)
		go func() { _, _ = w.do("/forbidden") }()
		time.Sleep(time.Second)
		begun := time.Now()
		w.want("/", http.StatusOK)
		if time.Since(begun) != 0 {
			t.Error("a 403 of one request made another wait")
		}
		time.Sleep(10 * time.Second)
	})
}

func TestS95S96A403OfPermissionReadsAtMostOncePerPause(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t, ttl(24*time.Hour))
		// 200 requests in 20 s, successes between them, as MLflow would answer.
		for range 200 {
			w.want("/forbidden", http.StatusForbidden)
			w.want("/", http.StatusOK)
			time.Sleep(100 * time.Millisecond)
		}
		if n := w.store.count(); n > 3 {
			t.Errorf("%d reads", n)
		}
		before := w.store.count()
		for range 60 * 60 { // an hour of them
			w.want("/forbidden", http.StatusForbidden)
			w.want("/", http.StatusOK)
			time.Sleep(time.Second)
		}
		if n := w.store.count() - before; n > 20 {
			t.Errorf("%d reads in an hour", n)
		}
	})
}

func TestA403ForABadTokenIsFollowedToo(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.server.set(func(s *fakeServer) { s.badToken = http.StatusForbidden })
		w.want("/", http.StatusOK)
		w.rotate()
		w.want("/", http.StatusOK)
		w.wantReads(2)
	})
}

func TestS95Ignore403(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *secretsauth.Config) { c.Ignore403 = true })
	w.want("/", http.StatusOK)
	for range 100 {
		w.want("/forbidden", http.StatusForbidden)
	}
	w.wantReads(1)
	if s := w.rt.Stats(); s.Rejections != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAStormOf403sDoesNotDelayTheRecoveryFromARotation(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		for range 600 {
			w.want("/forbidden", http.StatusForbidden)
			time.Sleep(time.Second)
		}
		w.rotate()
		begun := time.Now()
		w.want("/", http.StatusOK)
		if time.Since(begun) != 0 {
			t.Error("it waited")
		}
	})
}

func TestAnEndpointThatAlwaysSays401DoesNotStormTheStore(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t, ttl(24*time.Hour))
		for range 60 * 60 {
			w.want("/strange", http.StatusUnauthorized)
			w.want("/", http.StatusOK)
			time.Sleep(time.Second)
		}
		if n := w.store.count(); n > 25 {
			t.Errorf("%d reads in an hour", n)
		}
	})
}

func TestServerBeforeStore(t *testing.T) {
	t.Parallel()
	t.Run("recovers within 2 s of the store's change", func(t *testing.T) {
		t.Parallel()
		for range 20 {
			simulate(t, func(t *testing.T) {
				w := newWorld(t)
				w.want("/", http.StatusOK)
				w.server.accept(w.fresh)
				changed := time.Now().Add(1500 * time.Millisecond)
				for time.Now().Before(changed) {
					w.want("/", http.StatusUnauthorized)
					time.Sleep(10 * time.Millisecond)
				}
				w.store.put(w.fresh)
				for {
					status, err := w.do("/")
					if status == http.StatusOK {
						break
					}
					if err != nil || time.Since(changed) > 2*time.Second {
						t.Fatalf("%v after the store's change: status %d, %v", time.Since(changed), status, err)
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
	})
	for _, gap := range []time.Duration{500 * time.Millisecond, 4 * time.Second, 9500 * time.Millisecond} {
		t.Run(fmt.Sprintf("with RotationWait nothing fails in a gap of %v", gap), func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newWorld(t, func(c *secretsauth.Config) { c.RotationWait = 10 * time.Second })
				w.want("/", http.StatusOK)
				w.server.accept(w.fresh)
				time.AfterFunc(gap, func() { w.store.put(w.fresh) })
				together(100, func(i int) {
					time.Sleep(time.Duration(i*50) * time.Millisecond)
					w.want("/", http.StatusOK)
				})
				if n := w.store.count(); n > 14 {
					t.Errorf("%d reads: more than one a second", n)
				}
			})
		})
	}
	t.Run("with RotationWait a store that is down meanwhile", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t, func(c *secretsauth.Config) { c.RotationWait = 10 * time.Second })
			w.want("/", http.StatusOK)
			w.server.accept(w.fresh)
			w.store.fail(down())
			time.AfterFunc(2*time.Second, func() { w.store.put(w.fresh) })
			w.want("/", http.StatusOK)
		})
	})
	t.Run("RotationWait is over when the store never changes", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t, func(c *secretsauth.Config) { c.RotationWait = 10 * time.Second })
			w.want("/", http.StatusOK)
			w.server.accept(w.fresh)
			begun := time.Now()
			w.want("/", http.StatusUnauthorized)
			if d := time.Since(begun); d != 10*time.Second {
				t.Errorf("it waited %v, want 10 s", d)
			}
			w.want("/", http.StatusUnauthorized)
			if d := time.Since(begun); d != 10*time.Second {
				t.Errorf("a later request waited once more, to %v", d)
			}
		})
	})
	t.Run("RotationWait is not for a value that never worked", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t, func(c *secretsauth.Config) { c.RotationWait = 10 * time.Second })
			w.server.accept(w.fresh)
			begun := time.Now()
			w.want("/", http.StatusUnauthorized)
			if d := time.Since(begun); d != 0 {
				t.Errorf("it waited %v", d)
			}
		})
	})
}

// An endpoint that always answers 401, beside healthy ones, looks like a rotation of the
// server that the store does not follow.
func TestF10AnEndpointThatAlwaysSays401TakesNothingFromTheOthers(t *testing.T) {
	t.Parallel()
	const wait = 10 * time.Second
	for _, test := range []struct {
		name  string
		store time.Duration // that a read takes
		every time.Duration // how often the endpoint is asked; 0: once
		// Of the healthy requests, one every 100 ms, how many may wait for the store:
		// those that come while the first rejection is looked into.
		waiting int
		reads   int // a minute at most
	}{
		{name: "once, the store answers at once", reads: 13},
		{name: "once, the store takes 1 s", store: time.Second, waiting: 10, reads: 8},
		{name: "every second, the store answers at once", every: time.Second, reads: 25},
		{name: "every second, the store takes 1 s", every: time.Second, store: time.Second, waiting: 10, reads: 25},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newWorld(t, ttl(24*time.Hour), func(c *secretsauth.Config) { c.RotationWait = wait })
				w.want("/", http.StatusOK)
				w.store.slow(test.store)
				var all sync.WaitGroup
				defer all.Wait()
				strange := func() {
					begun := time.Now()
					w.want("/strange", http.StatusUnauthorized)
					if took := time.Since(begun); took > wait+test.store+250*time.Millisecond {
						t.Errorf("the endpoint's request took %v, with a RotationWait of %v", took, wait)
					}
				}
				waited, minutes := 0, 10
				for i := range minutes * 600 {
					if i == 0 || test.every > 0 && i%int(test.every/(100*time.Millisecond)) == 0 {
						all.Go(strange)
						synctest.Wait()
					}
					begun := time.Now()
					w.want("/", http.StatusOK)
					if time.Since(begun) > 0 {
						waited++
					}
					time.Sleep(100*time.Millisecond - time.Since(begun)%(100*time.Millisecond))
				}
				if waited > test.waiting {
					t.Errorf("%d healthy requests waited, want at most %d", waited, test.waiting)
				}
				if n := w.store.count() / minutes; n > test.reads {
					t.Errorf("%d reads a minute, want at most %d", n, test.reads)
				}
			})
		})
	}
}

// The endpoint that always answers 401 is known by then: servers accept the value
// before and after. So it does not take the value out of use while the store is down.
func TestF10AnEndpointThatAlwaysSays401CostsNobodyTheValueInAnOutage(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t, ttl(100*time.Second))
		for range 60 {
			w.want("/", http.StatusOK)
			w.want("/strange", http.StatusUnauthorized)
			time.Sleep(time.Second)
		}
		w.want("/", http.StatusOK)
		w.store.fail(down())
		for range 30 * 60 {
			w.want("/strange", http.StatusUnauthorized)
			w.want("/", http.StatusOK)
			time.Sleep(time.Second)
		}
		w.server.accept("another") // but a value that nobody accepts any more is
		w.want("/", http.StatusUnauthorized)
		time.Sleep(6 * time.Minute)
		w.want("/", http.StatusUnauthorized)
		w.wantErr("/", secretsauth.ErrUnavailable)
	})
}

func TestF11RotationWaitIsNotForA403(t *testing.T) {
	t.Parallel()
	at := func(w *world, path string) {
		w.Helper()
		begun := time.Now()
		w.want(path, http.StatusForbidden)
		if took := time.Since(begun); took != 0 {
			w.Errorf("a 403 waited %v", took)
		}
	}
	rotating := func(c *secretsauth.Config) { c.TTL, c.RotationWait = 24*time.Hour, 10*time.Second }
	t.Run("a missing permission is asked about once in a pause", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t, rotating)
			w.want("/", http.StatusOK)
			for range 60 {
				at(w, "/forbidden")
				w.want("/", http.StatusOK)
				time.Sleep(time.Second)
			}
			if n := w.store.count(); n > 4 {
				t.Errorf("%d reads in a minute", n)
			}
		})
	})
	t.Run("a 403 does not wait for what a 401 waits for", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t, rotating)
			w.want("/", http.StatusOK)
			var strange sync.WaitGroup
			defer strange.Wait()
			strange.Go(func() { w.want("/strange", http.StatusUnauthorized) })
			synctest.Wait()
			at(w, "/forbidden")
		})
	})
	t.Run("a server that answers 403 to a bad token", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t, rotating)
			w.server.set(func(s *fakeServer) { s.badToken = http.StatusForbidden })
			w.want("/", http.StatusOK)
			w.server.accept(w.fresh)
			at(w, "/")
			w.wantReads(2)
		})
	})
}

func TestStoreAheadOfTheServer(t *testing.T) {
	t.Parallel()
	// A refresh between the store's change and the server's brings a value that the
	// server does not know yet.
	ahead := func(t *testing.T) *world {
		w := newWorld(t, ttl(100*time.Second))
		w.want("/", http.StatusOK)
		w.store.put(w.fresh)
		time.Sleep(95 * time.Second)
		w.want("/", http.StatusOK) // starts the refresh
		synctest.Wait()
		w.wantReads(2)
		return w
	}
	t.Run("nothing fails until the server follows, nor after", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := ahead(t)
			for range 60 {
				w.want("/", http.StatusOK)
				time.Sleep(time.Second)
			}
			w.server.accept(w.fresh)
			sent := w.server.requests()
			w.want("/", http.StatusOK)
			if n := w.server.requests() - sent; n != 1 {
				t.Errorf("the request was sent %d times", n)
			}
			if n := w.store.count(); n > 9 {
				t.Errorf("%d reads in a minute", n)
			}
		})
	})
	t.Run("nor while the server follows", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := ahead(t)
			w.server.set(func(s *fakeServer) { s.latency = time.Second })
			time.AfterFunc(1500*time.Millisecond, func() { w.server.accept(w.fresh) })
			together(50, func(i int) {
				time.Sleep(time.Duration(i*50) * time.Millisecond)
				w.want("/", http.StatusOK) // judged by what the server accepts when it comes
			})
		})
	})
	t.Run("a wrong secret is not made up for beyond one TTL", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := ahead(t)
			time.Sleep(99 * time.Second)
			w.want("/", http.StatusOK)
			time.Sleep(2 * time.Second)
			w.want("/", http.StatusUnauthorized)
		})
	})
	t.Run("nor beyond the expiry", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t, ttl(100*time.Second))
			w.store.set(func(s *fakeStore) { s.secret = s.secret.WithExpiry(time.Now().Add(97 * time.Second)) })
			w.want("/", http.StatusOK)
			w.store.put(w.fresh)
			time.Sleep(95 * time.Second)
			w.want("/", http.StatusOK)
			synctest.Wait()
			w.want("/", http.StatusOK)
			time.Sleep(3 * time.Second)
			w.want("/", http.StatusUnauthorized)
		})
	})
	t.Run("a predecessor that is rejected is not tried again", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := ahead(t)
			w.server.accept("neither")
			sent := w.server.requests()
			w.want("/", http.StatusUnauthorized)
			if n := w.server.requests() - sent; n != 3 { // the new, the old, and the new again
				t.Errorf("the request was sent %d times", n)
			}
			time.Sleep(1100 * time.Millisecond) // it is known by then
			sent = w.server.requests()
			w.want("/", http.StatusUnauthorized)
			if n := w.server.requests() - sent; n != 1 {
				t.Errorf("the request was sent %d times", n)
			}
		})
	})
	t.Run("ClearCache forgets it", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := ahead(t)
			w.rt.ClearCache()
			w.want("/", http.StatusUnauthorized)
		})
	})
	t.Run("a value that was rejected is no predecessor", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t, ttl(100*time.Second))
			w.want("/", http.StatusOK)
			w.want("/strange", http.StatusUnauthorized)
			w.store.put(w.fresh)
			time.Sleep(101 * time.Second)
			w.want("/", http.StatusUnauthorized)
		})
	})
}

func TestARejectedValueIsStaleOnlyAfterALaterSuccess(t *testing.T) {
	t.Parallel()
	for _, later := range []bool{false, true} {
		t.Run(fmt.Sprintf("success after the 401: %v", later), func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				w := newWorld(t, ttl(100*time.Second))
				w.want("/", http.StatusOK)
				w.want("/strange", http.StatusUnauthorized) // the store still holds it
				w.wantReads(2)
				if later {
					w.want("/", http.StatusOK)
				}
				w.store.fail(down())
				time.Sleep(101 * time.Second)
				if later {
					w.want("/", http.StatusOK)
				} else {
					w.wantErr("/", secretsauth.ErrUnavailable)
				}
			})
		})
	}
}

func TestS143A401DuringAReadOutdatesIt(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t, ttl(100*time.Second))
		w.want("/", http.StatusOK)
		time.Sleep(95 * time.Second)
		w.store.slow(4 * time.Second)
		w.want("/", http.StatusOK) // starts the refresh, which will bring the old value
		time.Sleep(time.Second)
		w.rotate()
		w.want("/", http.StatusOK)
		w.wantReads(3)
		time.Sleep(10 * time.Second)
		w.want("/", http.StatusOK)
		if s := w.rt.Stats(); s.Rejections != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestS142AnOldValueFromALaggingReplica(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t)
		w.want("/", http.StatusOK)
		w.server.accept(w.fresh) // the store's replica still has the old one
		w.want("/", http.StatusUnauthorized)
		w.want("/", http.StatusUnauthorized)
		w.wantReads(2)
		if s := w.rt.Stats(); s.Retries != 0 {
			t.Errorf("%+v", s)
		}
		w.store.put(w.fresh)
		time.Sleep(1300 * time.Millisecond)
		w.want("/", http.StatusOK)
	})
}

// Bodies, over real connections.

// rotated is a world whose store and server have just changed to the new token,
// with the old one still cached. see gets the requests that the server accepts,
// and those with X-See-Rejected that it does not.
func rotated(t *testing.T, see http.HandlerFunc, change ...func(*secretsauth.Config)) (*world, *http.Client, string) {
	t.Helper()
	return rotatedAt(t, goServer, see, change...)
}

func goServer(t *testing.T, handler http.Handler) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// staying is for early answers that end the connection. Go's server resets it half a
// second later, and a client that was held up until then sees that in place of the
// answer.
func staying(t *testing.T, handler http.Handler) string {
	return (&stayingServer{handler: handler}).serve(t)
}

func rotatedAt(t *testing.T, serve func(*testing.T, http.Handler) string, see http.HandlerFunc, change ...func(*secretsauth.Config)) (*world, *http.Client, string) {
	t.Helper()
	w := newWorld(t)
	var accepted atomic.Pointer[string]
	accepted.Store(&w.old)
	address := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer "+*accepted.Load() {
			rw.Header().Set("Www-Authenticate", `Basic realm="mlflow"`)
			if see != nil && req.Header.Get("X-See-Rejected") != "" {
				see(rw, req)
				return
			}
			rw.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(rw, "You are not authenticated.")
			return
		}
		if see != nil {
			see(rw, req)
		}
	}))
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	cfg := secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}, Base: base}
	for _, c := range change {
		c(&cfg)
	}
	rt, err := newTransport(w.store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.rt = rt
	w.store.put(w.fresh)
	accepted.Store(&w.fresh)
	return w, &http.Client{Transport: netted{rt}, Timeout: time.Minute}, address
}

func TestBodiesAndTheReplay(t *testing.T) {
	t.Parallel()
	payload := rand.Text() + strings.Repeat("metrics ", 10_000) + rand.Text()
	reader := func(hide bool) io.Reader {
		if hide {
			return struct{ io.Reader }{strings.NewReader(payload)}
		}
		return strings.NewReader(payload)
	}
	noKeepAlive := func(c *secretsauth.Config) { c.Base.(*http.Transport).DisableKeepAlives = true }
	for _, test := range []struct {
		name   string
		body   io.Reader
		change func(*http.Request)
		config func(*secretsauth.Config)
		close  bool // the server ends the connection of a request that it rejects
		status int
	}{
		{name: "S97 GetBody", body: reader(false), status: http.StatusOK},
		{name: "S97 S103 GetBody, keep-alives off", body: reader(false), config: noKeepAlive, status: http.StatusOK},
		{name: "S97 S103 GetBody, the 401 closes the connection", body: reader(false), close: true, status: http.StatusOK},
		{name: "S68 no body", status: http.StatusOK},
		{name: "S68 NoBody", body: http.NoBody, status: http.StatusOK},
		{name: "S98 S100 no GetBody", body: reader(true), status: http.StatusUnauthorized},
		{name: "S98 no GetBody, length known", body: reader(true), status: http.StatusUnauthorized,
			change: func(r *http.Request) { r.ContentLength = int64(len(payload)) }},
		{name: "S99 GetBody fails", body: reader(false), status: http.StatusUnauthorized,
			change: func(r *http.Request) { r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") } }},
		{name: "S102 Expect: 100-continue", body: reader(false), status: http.StatusOK,
			change: func(r *http.Request) { r.Header.Set("Expect", "100-continue") },
			config: func(c *secretsauth.Config) { c.Base.(*http.Transport).ExpectContinueTimeout = time.Minute }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var seen, expecting atomic.Int32
			see := func(rw http.ResponseWriter, req *http.Request) {
				if req.Header.Get("Expect") == "100-continue" {
					expecting.Add(1)
				}
				if rw.Header().Get("Www-Authenticate") != "" { // rejected
					if test.close {
						rw.Header().Set("Connection", "close")
					}
					rw.WriteHeader(http.StatusUnauthorized)
					_, _ = io.WriteString(rw, "You are not authenticated.")
					return
				}
				got, err := io.ReadAll(req.Body)
				if req.Method == http.MethodPost && test.body != nil && test.body != http.NoBody &&
					(err != nil || string(got) != payload || req.ContentLength != int64(len(payload))) {
					t.Errorf("the server read %d bytes of the length %d, and not the %d that were sent", len(got), req.ContentLength, len(payload))
				}
				seen.Add(1)
			}
			var changes []func(*secretsauth.Config)
			if test.config != nil {
				changes = append(changes, test.config)
			}
			serve := goServer
			if strings.Contains(test.name, "S103") {
				serve = staying
			}
			w, client, url := rotatedAt(t, serve, see, changes...)
			req, err := http.NewRequest(http.MethodPost, url, test.body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-See-Rejected", "1")
			if test.change != nil {
				test.change(req)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if n := expecting.Load(); strings.HasPrefix(test.name, "S102") && n != 2 {
				t.Errorf("%d of the two requests had the Expect header", n)
			}
			if resp.StatusCode != test.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, test.status)
			}
			if test.status == http.StatusUnauthorized {
				if string(text) != "You are not authenticated." || resp.Header.Get("Www-Authenticate") == "" {
					t.Error("the original response is not whole")
				}
				if seen.Load() != 0 {
					t.Error("it was sent again")
				}
				// The value is invalidated all the same.
				next, err := client.Get(url)
				if err != nil || next.StatusCode != http.StatusOK {
					t.Fatalf("the next request: %v", err)
				}
				_ = next.Body.Close()
				if s := w.rt.Stats(); s.Fetches != 2 || s.Rejections != 1 {
					t.Errorf("%+v", s)
				}
			} else if seen.Load() != 1 {
				t.Errorf("the server accepted %d requests", seen.Load())
			}
		})
	}
}

func TestS101Early401DuringAnUpload(t *testing.T) {
	t.Parallel()
	// The handler answers without reading 8 MB, so net/http still sends the first
	// body while the second is on its way; the race detector watches.
	payload := bytes.Repeat([]byte("x"), 8<<20)
	for range 5 {
		_, client, url := rotatedAt(t, staying, func(_ http.ResponseWriter, req *http.Request) {
			if n, err := io.Copy(io.Discard, req.Body); n != int64(len(payload)) || err != nil {
				t.Errorf("the server read %d bytes, %v", n, err)
			}
		})
		resp, err := client.Post(url, "application/octet-stream", bytes.NewReader(payload))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
}

func TestRejectedBodiesAreBounded(t *testing.T) {
	t.Parallel()
	forever := func(rw http.ResponseWriter, pause time.Duration) {
		rw.WriteHeader(http.StatusUnauthorized)
		for {
			if _, err := rw.Write(bytes.Repeat([]byte("x"), 1024)); err != nil {
				return
			}
			if pause > 0 {
				rw.(http.Flusher).Flush()
				time.Sleep(pause)
			}
		}
	}
	for _, test := range []struct {
		name string
		body func(http.ResponseWriter)
	}{
		{"S104 large", func(rw http.ResponseWriter) {
			rw.WriteHeader(http.StatusUnauthorized)
			_, _ = rw.Write(make([]byte, 1<<20))
		}},
		{"S105 in drops", func(rw http.ResponseWriter) { forever(rw, 50*time.Millisecond) }}, // how long: see below
		{"S106 without end", func(rw http.ResponseWriter) { forever(rw, 0) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, client, url := rotated(t, func(rw http.ResponseWriter, req *http.Request) {
				if req.Header.Get("Authorization") != "" && rw.Header().Get("Www-Authenticate") != "" {
					test.body(rw)
				}
			}, func(c *secretsauth.Config) {
				c.Base.(*http.Transport).MaxConnsPerHost = 1 // S107: closed before the replay, or it waits for ever
			})
			req, _ := http.NewRequest(http.MethodGet, url, nil)
			req.Header.Set("X-See-Rejected", "1")
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
}

// slowBody gives bytes for ever, one chunk a pause, and notes how much was read
// and when it was closed.
type slowBody struct {
	chunk  int
	pause  time.Duration
	closed chan struct{}
	once   sync.Once
	read   atomic.Int64
}

func (b *slowBody) Read(p []byte) (int, error) {
	select {
	case <-time.After(b.pause):
	case <-b.closed:
		return 0, io.ErrClosedPipe
	}
	n := min(b.chunk, len(p))
	b.read.Add(int64(n))
	return n, nil
}

func (b *slowBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func TestS107TheDrainOfARejectedBodyIsBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		chunk int
		pause time.Duration
		most  time.Duration // that the replay waits
	}{
		{"S105 in drops", 1, 50 * time.Millisecond, 300 * time.Millisecond},
		{"S105 nothing comes", 1, 24 * time.Hour, 300 * time.Millisecond},
		{"S104 S106 without end", 1 << 20, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				body := &slowBody{chunk: test.chunk, pause: test.pause, closed: make(chan struct{})}
				var w *world
				w = newWorld(t, func(c *secretsauth.Config) {
					c.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
						resp, err := w.server.RoundTrip(req)
						if err == nil && resp.StatusCode == http.StatusUnauthorized {
							resp.Body = body
							return resp, nil
						}
						select {
						case <-body.closed:
						default:
							if w.server.requests() > 1 {
								t.Error("S107 the replay is sent while the rejected response's body is open")
							}
						}
						return resp, err
					})
				})
				w.want("/", http.StatusOK)
				w.rotate()
				begun := time.Now()
				w.want("/", http.StatusOK)
				if took := time.Since(begun); took > test.most {
					t.Errorf("the replay waited %v for the body", took)
				}
				if n := body.read.Load(); n > 128<<10 {
					t.Errorf("%d bytes of the body were read", n)
				}
				w.wantReads(2)
			})
		})
	}
}

func TestAReplayUsesTheSameConnection(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	remote := map[string]bool{}
	_, client, url := rotated(t, func(rw http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		remote[req.RemoteAddr] = true
		if rw.Header().Get("Www-Authenticate") != "" { // more than a read of 4 KiB
			rw.WriteHeader(http.StatusUnauthorized)
			_, _ = rw.Write(make([]byte, 40<<10))
		}
	})
	for range 3 {
		req, _ := http.NewRequest(http.MethodGet, url, nil)
		req.Header.Set("X-See-Rejected", "1")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	if len(remote) != 1 {
		t.Errorf("%d connections, want 1", len(remote))
	}
}

func TestS112NetHTTPsOwnReplayIsNoneOfOurs(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	w, client, url := rotated(t, func(rw http.ResponseWriter, req *http.Request) {
		if requests.Add(1) == 2 { // a keep-alive connection dies; net/http tries another by itself
			conn, _, err := rw.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
		}
	})
	for range 2 {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if s := w.rt.Stats(); requests.Load() != 3 || s.Retries != 1 || s.Rejections != 1 {
		t.Errorf("%d requests accepted, %+v", requests.Load(), s)
	}
}

func TestS109AHostileRealmIsIgnored(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer evil.Close()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Www-Authenticate", `Bearer realm="`+evil.URL+`"`)
		rw.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	w := newWorld(t, func(c *secretsauth.Config) { c.AllowedHosts, c.Base = []string{"*"}, nil })
	resp, err := (&http.Client{Transport: netted{w.rt}}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if hits.Load() != 0 || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d, %d requests to the realm", resp.StatusCode, hits.Load())
	}
}

func TestS17S110S111OtherAnswersAreNoRejection(t *testing.T) {
	t.Parallel()
	for _, code := range []int{200, 204, 302, 304, 307, 400, 404, 407, 429, 500, 503} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *secretsauth.Config) {
				c.Base = roundTripper(func(*http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"text/html"}, "Location": {"https://login.test/"}}, Body: io.NopCloser(strings.NewReader(http.StatusText(code)))}, nil
				})
			})
			w.want("/", code)
			w.want("/", code)
			w.wantReads(1)
			if s := w.rt.Stats(); s.Rejections != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
