package main

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"
)

// cold is a burst of requests while nothing is cached: how often the store is
// read, and how long it takes until all are sent, in reads of the store.
func cold(e effort) ([]row, error) {
	const requests, delay = 10_000, 200 * time.Millisecond
	peers := []peer{ours, oauth, google, azure}
	wall, reads := make([]float64, len(peers)), make([]int64, len(peers))
	one := math.Inf(1)
	for i := range wall {
		wall[i] = math.Inf(1)
	}
	for range e.rounds {
		start := time.Now()
		newStore("token", delay).read()
		one = min(one, time.Since(start).Seconds())
		for i, p := range peers {
			s := newStore("token", delay)
			took, err := burst(p.wrap(s, bare{}), requests)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			wall[i], reads[i] = min(wall[i], took.Seconds()), max(reads[i], s.reads.Load())
		}
	}
	var theirWall, theirReads []string
	for i, p := range peers[1:] {
		theirWall = append(theirWall, p.name+": "+multiple(wall[i+1]/one))
		theirReads = append(theirReads, p.name+": "+number(float64(reads[i+1])))
	}
	const measure = "10,000 requests at once, nothing cached: "
	return []row{
		exact(measure+"reads of the store", float64(reads[0]), strings.Join(theirReads, ", "), 1),
		ratio(measure+"time until all are sent", wall[0], one,
			"one read of the store ("+strings.Join(theirWall, ", ")+")").atMost(1.3),
	}, nil
}

// burst sends n requests at once. The goroutines and requests are made before.
func burst(rt http.RoundTripper, n int) (took time.Duration, err error) {
	start := make(chan struct{})
	errs := make([]error, n)
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			req := bareRequest(runsGet)
			ready.Done()
			<-start
			_, errs[i] = rt.RoundTrip(req) //nolint:bodyclose // it has none
		})
	}
	ready.Wait()
	begin := time.Now()
	close(start)
	done.Wait()
	took = time.Since(begin)
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return took, nil
}
