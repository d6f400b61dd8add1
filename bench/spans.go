package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// span is a time from its first to its second, in seconds since 1970.
type span [2]float64

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// spans are the times when a server was at work.
type spans struct {
	mu  sync.Mutex
	all []span
}

// before is a front door of a server that notes when that is at work.
func (s *spans) before(server string) *httptest.Server {
	target, err := url.Parse(server)
	if err != nil {
		panic(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = noting{s}
	return httptest.NewServer(proxy)
}

// noting waits for the whole answer, so that the server is done when the client
// gets the first of it.
type noting struct{ spans *spans }

func (n noting) RoundTrip(req *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	n.spans.mu.Lock()
	defer n.spans.mu.Unlock()
	n.spans.all = append(n.spans.all, span{seconds(start), seconds(time.Now())})
	return resp, nil
}

// without is how long a span is without what servers did in it.
func (s *spans) without(outer span) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := outer[1] - outer[0]
	for _, inner := range s.all {
		left -= max(0, min(inner[1], outer[1])-max(inner[0], outer[0]))
	}
	return left
}
