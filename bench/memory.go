package main

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
)

// memory is what transports and the requests on their way hold in the heap. It
// leaves stacks out: with net/http at work they vary by more than any of these
// transports adds.
func memory(effort) (rows []row, err error) {
	const allowance = 2 << 10
	compare := func(measure string, held func(wrapper) float64) {
		own, theirs := held(wrapOne), held(oauth.wrap)
		rows = append(rows, row{measure: measure, ours: kilobytes(own),
			beside:  fmt.Sprintf("%s: %s, %s: %s", oauth.name, kilobytes(theirs), google.name, kilobytes(held(google.wrap))),
			goal:    "at most oauth2 + 2 KB",
			reached: reachedIf(own <= theirs+allowance)})
	}
	compare("memory of a transport with its token", ofTransport)
	ofRequests(oauth.wrap) // the goroutines, which the runtime keeps, are made here
	compare("memory of 1,000 requests under way", ofRequests)
	return rows, nil
}

type wrapper func(*store, http.RoundTripper) http.RoundTripper

// wrapOne is ours with one host, as most have it.
func wrapOne(s *store, base http.RoundTripper) http.RoundTripper {
	return newOurs(s, base, "mlflow.company.com")
}

func kilobytes(bytes float64) string { return fmt.Sprintf("%.1f KB", bytes/1024) }

// ofTransport is what one transport holds when it has sent a request.
func ofTransport(wrap wrapper) float64 {
	const n = 2000
	req := bareRequest(runsGet)
	all := make([]http.RoundTripper, n)
	before := heap()
	for i := range all {
		all[i] = wrap(newStore("token", 0), bare{})
		if _, err := all[i].RoundTrip(req); err != nil { //nolint:bodyclose // it has none
			panic(err)
		}
	}
	held := heap() - before
	runtime.KeepAlive(all)
	return held / n
}

// waiting is a base that holds requests back.
type waiting struct {
	arrived sync.WaitGroup
	release chan struct{}
}

func (w *waiting) RoundTrip(req *http.Request) (*http.Response, error) {
	w.arrived.Done()
	<-w.release
	return bare{}.RoundTrip(req)
}

// ofRequests is what 1,000 requests hold, beyond the caller's own, while they
// wait for the server.
func ofRequests(wrap wrapper) float64 {
	const n = 1000
	base := &waiting{release: make(chan struct{})}
	base.arrived.Add(n)
	rt := wrap(newStore("token", 0), base)
	requests := make([]*http.Request, n)
	for i := range requests {
		requests[i] = bareRequest(runsGet)
	}
	before := heap()
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(n, func(i int) {
			if _, err := rt.RoundTrip(requests[i]); err != nil { //nolint:bodyclose // it has none
				panic(err)
			}
		})
	}()
	base.arrived.Wait()
	held := heap() - before
	close(base.release)
	<-done
	runtime.KeepAlive(requests) // as their senders do
	return held
}

// heap is the size of what is reachable.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers have freed
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
