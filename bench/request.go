package main

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
)

// newRequest is a request with four headers.
func newRequest(ctx context.Context, url string) *http.Request {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"Accept", "Content-Type", "User-Agent", "X-Request-Id"} {
		req.Header.Set(name, "value")
	}
	return req
}

const runsGet = "https://mlflow.company.com/api/2.0/mlflow/runs/get"

// bare is a base without a network. It answers with the response that the
// request's context brings along: to make one would cost as much as what is
// measured, and all cores would quarrel about a single one.
type bare struct{}

type responseKey struct{}

func (bare) RoundTrip(req *http.Request) (*http.Response, error) {
	return req.Context().Value(responseKey{}).(*http.Response), nil
}

func bareRequest(url string) *http.Request {
	resp := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
	return newRequest(context.WithValue(context.Background(), responseKey{}, resp), url)
}

// sender sends requests to urls in turn, from every core that the program may use.
func sender(name string, rt http.RoundTripper, urls ...string) contender {
	requests := make([][]*http.Request, runtime.GOMAXPROCS(0)) // each core has its own
	for i := range requests {
		for _, url := range urls {
			requests[i] = append(requests[i], bareRequest(url))
		}
	}
	send := func(n int, requests []*http.Request) {
		for i := range n {
			if _, err := rt.RoundTrip(requests[i%len(requests)]); err != nil { //nolint:bodyclose // it has none
				panic(fmt.Sprintf("%s: %v", name, err))
			}
		}
	}
	send(len(urls), requests[0]) // reads the store
	return contender{name, func(n int) {
		if cores := runtime.GOMAXPROCS(0); cores > 1 {
			together(cores, func(core int) { send(n/cores, requests[core]) })
		} else {
			send(n, requests[0])
		}
	}}
}

// together runs n calls of f at once and waits for them.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// addedCost is what a transport adds to a request whose token is at hand.
func addedCost(e effort) (rows []row, err error) {
	peers := []peer{oauth, google, plain}
	base, own := sender("the base", bare{}, runsGet), sender(ours.name, ours.wrap(newStore("token", 0), bare{}), runsGet)
	all := []contender{base, own}
	for _, p := range peers {
		all = append(all, sender(p.name, p.wrap(newStore("token", 0), bare{}), runsGet))
	}
	compare := func(measure string, t []float64) {
		for i, p := range peers {
			r := ratio(measure, t[1]-t[0], t[2+i]-t[0], p.name)
			if p.name == oauth.name {
				r = r.atMost(0.55)
			}
			rows = append(rows, r)
		}
	}
	compare("time added to a request, on 1 core", e.raceOnOneCore(all...))
	if cores := runtime.GOMAXPROCS(0); cores > 1 {
		compare(fmt.Sprintf("time added to a request, on %d cores", cores), e.short().race(all...))
	}
	beside := make([]string, len(peers))
	for i, p := range peers {
		beside[i] = p.name + ": " + number(all[2+i].allocations())
	}
	return append(rows, exact("allocations added to a request", own.allocations(), strings.Join(beside, ", "), 3)), nil
}
