package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// rotating is a server that has changed its token while requests with the old
// one were under way, and gets round to them one after another.
type rotating struct {
	old, fresh string
	late       chan struct{} // one for each request that is to be rejected now
	arrived    sync.WaitGroup
}

func (r *rotating) RoundTrip(req *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}
	switch req.Header.Get("Authorization") {
	case "Bearer " + r.old:
		r.arrived.Done()
		<-r.late
		resp.StatusCode = http.StatusUnauthorized
		resp.Header.Set("WWW-Authenticate", `Bearer realm="mlflow"`)
	case "Bearer " + r.fresh:
	default:
		resp.StatusCode = http.StatusBadRequest
	}
	return resp, nil
}

// stragglers counts the reads of the store that 1,000 rejections of one old token
// lead to. They come over a second, and a read takes 5 ms: most rejections come
// when the new token has been read already.
func stragglers(effort) ([]row, error) {
	const requests, gap, delay = 1000, time.Millisecond, 5 * time.Millisecond
	var reads []int64
	peers := []peer{ours, azure, mutex}
	for _, p := range peers {
		s := newStore("old", delay)
		server := &rotating{old: "old", fresh: "fresh", late: make(chan struct{})}
		rt := p.wrap(s, server)
		server.arrived.Add(requests)
		var bad sync.Map
		var all sync.WaitGroup
		for range requests {
			all.Go(func() {
				resp, err := rt.RoundTrip(newRequest(bareRequest("").Context(), runsGet)) //nolint:bodyclose // it has none
				if err != nil || resp.StatusCode != http.StatusOK {
					bad.Store(fmt.Sprint(resp, err), true)
				}
			})
		}
		server.arrived.Wait()
		fresh := "fresh"
		s.token.Store(&fresh)
		before := s.reads.Load()
		for range requests {
			server.late <- struct{}{}
			time.Sleep(gap)
		}
		all.Wait()
		for why := range bad.Range {
			return nil, fmt.Errorf("%s: a request has failed: %v", p.name, why)
		}
		reads = append(reads, s.reads.Load()-before)
	}
	var beside []string
	for i, p := range peers[1:] {
		beside = append(beside, fmt.Sprintf("%s: %d", p.name, reads[i+1]))
	}
	return []row{exact("1,000 requests rejected one by one with the token before: reads of the store",
		float64(reads[0]), strings.Join(beside, ", "), 1)}, nil
}
