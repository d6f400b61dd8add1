package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// rotation is how long requests take while the token changes every second, beside
// the same without: 64 workers, each of which sends its next request when it has
// the answer to the last.
func rotation(e effort) ([]row, error) {
	quantiles := []float64{0.5, 0.99, 0.999}
	var (
		calm, stormy      = slices.Repeat([]float64{math.Inf(1)}, 3), slices.Repeat([]float64{math.Inf(1)}, 3)
		requests, changes int
		failed            int64
	)
	for range e.rounds {
		for _, rotate := range []bool{false, true} {
			s := soak(e.soak, rotate)
			failed += s.failed
			best := calm
			if rotate {
				best = stormy
				requests, changes = requests+len(s.latencies), changes+s.changes
			}
			for i, q := range quantiles {
				best[i] = min(best[i], s.latencies[int(q*float64(len(s.latencies)))].Seconds())
			}
		}
	}
	const measure = "64 workers, the secret changes every second: "
	return []row{
		ratio(measure+"median latency", stormy[0], calm[0], "no change"),
		ratio(measure+"99th percentile", stormy[1], calm[1], "no change").atMost(1.3),
		ratio(measure+"99.9th percentile", stormy[2], calm[2], "no change"),
		exact(fmt.Sprintf("%sfailed of %d requests over %d changes", measure, requests, changes), float64(failed), "", 0),
	}, nil
}

// soaked is what a soak has found. Its latencies are in order.
type soaked struct {
	latencies []time.Duration
	failed    int64
	changes   int
}

// soak sends requests for a time. The store is changed first, then the server,
// which from then on rejects the token before.
func soak(length time.Duration, rotate bool) soaked {
	const workers = 64
	var wanted atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != *wanted.Load() {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	s := newStore("", 2*time.Millisecond)
	change := func(n int) {
		token := "token-" + strconv.Itoa(n)
		s.token.Store(&token)
		value := "Bearer " + token
		wanted.Store(&value)
	}
	change(0)

	base := pooled(workers)
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: ours.wrap(s, base)}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	var (
		result    soaked
		failed    atomic.Int64
		all       sync.WaitGroup
		latencies [workers][]time.Duration
		end       = time.Now().Add(length)
	)
	for i := range workers {
		all.Go(func() {
			for {
				req := newRequest(ctx, server.URL)
				start := time.Now()
				if start.After(end) {
					return
				}
				if status, err := get(client, req); err != nil || status != http.StatusOK {
					failed.Add(1)
				}
				latencies[i] = append(latencies[i], time.Since(start))
			}
		})
	}
	for next := time.Second; rotate && next < length; next += time.Second {
		time.Sleep(time.Until(end.Add(next - length)))
		result.changes++
		change(result.changes)
	}
	all.Wait()
	result.failed, result.latencies = failed.Load(), slices.Concat(latencies[:]...)
	slices.Sort(result.latencies)
	return result
}
