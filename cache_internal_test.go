package secretsauth

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestS148ClockSetBack looks inside, because nothing outside can set the clock
// back: it moves the moment of the read ahead instead.
func TestS148ClockSetBack(t *testing.T) {
	t.Parallel()
	var down bool
	reads := 0
	c := NewCache(ProviderFunc(func(context.Context) (Secret, error) {
		if reads++; down {
			return Secret{}, errors.New("connection refused")
		}
		return NewToken("token"), nil
	}), Config{})
	setBack := func(d time.Duration) {
		c.mu.Lock()
		defer c.mu.Unlock()
		h := *c.held
		for _, at := range []*int64{&h.readAt, &h.refreshAt, &h.expiresAt, &h.staleUntil} {
			*at += int64(d)
		}
		c.held = &h
		c.live.Store(&grant{value: h.value, from: h.readAt, until: h.refreshAt})
	}
	fetch := func() {
		t.Helper()
		if _, err := c.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	fetch()
	setBack(time.Hour)
	fetch()
	if reads != 2 {
		t.Errorf("%d reads: a negative age did not count as expired", reads)
	}

	down = true
	setBack(time.Hour)
	fetch() // the store does not answer: served as stale, as any expired value
	fetch()
	if s := c.Stats(); reads != 3 || s.StaleServed != 2 {
		t.Errorf("%d reads, %+v", reads, s)
	}
	if h := c.held; h.staleUntil > time.Now().Add(time.Hour).UnixNano() {
		t.Error("the stale window did not move with the clock")
	}
}

func TestAHitTakesNoLock(t *testing.T) {
	t.Parallel()
	c := NewCache(Static(NewToken("token")), Config{})
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
