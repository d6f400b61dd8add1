// Package store is what the clients of all stores have in common.
package store

import (
	"context"
	"net/http"
	"net/http/httptrace"
)

// Single sends every request on a connection of its own, and reads from that
// connection only the answer.
//
// A connection that net/http keeps for the next request goes on being read. What the
// peer sends on it unasked, an answer sent twice or an echo of the request, net/http
// prints through the standard logger of the whole program, and so it prints secrets.
// It does the same with a peer that speaks before the first request. A store is read
// once in minutes, so that a new connection for each request costs nothing that
// counts.
//
// Single does not pass on CloseIdleConnections: the transport that was handed in may
// have other users.
type Single struct {
	base    http.RoundTripper // as handed in
	through http.RoundTripper // what sends

	// Where base is a transport, through is a copy of it that holds back reads, and
	// proxied another, for proxies that speak TLS.
	proxied *http.Transport
}

// NewSingle returns a Single that sends through base; nil is [NewTransport].
//
// A [*http.Transport] is copied, so that its dialers can be told to hold back reads
// until something was written; everything else of it stays as it is, HTTP/2 too. Other
// RoundTrippers are used as they are, with [http.Request.Close] set: of those, a peer
// that speaks first can still be heard.
func NewSingle(base http.RoundTripper) *Single {
	switch base := base.(type) {
	case nil:
		return NewSingle(NewTransport())
	case *Single:
		return base
	case *http.Transport:
		own := holding(base)
		return &Single{base: base, through: own, proxied: behindTLS(own)}
	}
	return &Single{base: base, through: base}
}

// Base is what was handed in.
func (s *Single) Base() http.RoundTripper { return s.base }

// RoundTrip sends a copy of req. The caller's request is not changed, and is the one
// that the response refers to.
func (s *Single) RoundTrip(req *http.Request) (*http.Response, error) {
	var w way
	ctx := req.Context()
	if s.proxied != nil {
		ctx = httptrace.WithClientTrace(context.WithValue(ctx, wayKey{}, &w), w.trace())
	}
	own := req.WithContext(ctx)
	own.Close = true
	resp, err := s.via(own).RoundTrip(own)
	if resp != nil {
		if resp.Request == own {
			resp.Request = req
		}
		if resp.TLS == nil {
			resp.TLS = w.security()
		}
	}
	return resp, err
}

// via is what a request is sent through.
func (s *Single) via(req *http.Request) http.RoundTripper {
	switch {
	case s.proxied == nil, req.URL == nil:
		return s.through
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return s.base // copies do not know the schemes that were registered with it
	case s.proxied.Proxy == nil:
		return s.through
	}
	if proxy, err := s.proxied.Proxy(req); err == nil && proxy != nil && proxy.Scheme == "https" {
		return s.proxied
	}
	return s.through
}
