package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
)

// pooled is a base with connections of its own, enough for n requests at a time.
func pooled(n int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = n, n
	return t
}

// get sends one request and reads the answer.
func get(client *http.Client, req *http.Request) (status int, err error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// loopback is a whole request: HTTP/1.1 to a server in this process, which
// answers at once, on a connection that is kept.
func loopback(e effort) (rows []row, err error) {
	const bareClient = "a bare client"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"experiments":[]}`)
	}))
	defer server.Close()

	client := func(name string, rt http.RoundTripper) contender {
		c, req := &http.Client{Transport: rt}, newRequest(context.Background(), server.URL)
		if name == bareClient {
			req.Header.Set("Authorization", "Bearer token") // the same bytes on the wire
		}
		return contender{name, func(n int) {
			for range n {
				if status, err := get(c, req); status != http.StatusOK || err != nil {
					panic(fmt.Sprintf("%s: status %d, %v", name, status, err))
				}
			}
		}}
	}
	// A connection may be lucky in how its goroutines are placed: each round has
	// new ones.
	t := slices.Repeat([]float64{math.Inf(1)}, 4)
	for range e.rounds {
		bases := [4]*http.Transport{pooled(1), pooled(1), pooled(1), pooled(1)}
		all := []contender{client(bareClient, bases[0])}
		for i, p := range []peer{ours, oauth, google} {
			all = append(all, client(p.name, p.wrap(newStore("token", 0), bases[i+1])))
		}
		few := effort{batches: max(1, e.batches/e.rounds), batch: e.batch}
		for i, took := range few.short().race(all...) {
			t[i] = min(t[i], took)
			bases[i].CloseIdleConnections()
		}
	}
	const measure = "a whole request on loopback, HTTP/1.1, kept connection: time"
	return []row{
		ratio(measure, t[1], t[0], bareClient).atMost(1.05),
		ratio(measure, t[1], t[2], oauth.name),
		ratio(measure, t[1], t[3], google.name),
	}, nil
}
