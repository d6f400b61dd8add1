package providertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// line is the way to the store, which can be made to fail.
type line struct {
	base     *http.Transport
	fault    atomic.Pointer[fault]
	odd      atomic.Pointer[detour]
	followed atomic.Bool // a redirect was
}

// fault is one way for a store to fail. Every one of them may pass, so the
// provider is to say ErrUnavailable, and to work again when it has passed.
type fault struct {
	name string
	act  func(*line, *http.Request) (*http.Response, error)
}

var faults = []*fault{
	{"the store hangs", func(_ *line, req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}},
	{"the store resets the connection", func(*line, *http.Request) (*http.Response, error) {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}},
	{"the store ends the connection", func(*line, *http.Request) (*http.Response, error) { return nil, io.EOF }},
	{"the answer is cut short", func(l *line, req *http.Request) (*http.Response, error) {
		resp, err := l.base.RoundTrip(req)
		if err == nil {
			resp.Body = &short{ReadCloser: resp.Body, left: 10}
		}
		return resp, err
	}},
	status("429 from the store", http.StatusTooManyRequests, "1"),
	status("429 from the store, to wait a year", http.StatusTooManyRequests, "31536000"),
	status("429 from the store, to wait for nonsense", http.StatusTooManyRequests, "-soon"),
	status("500 from the store", http.StatusInternalServerError, ""),
	status("503 from the store", http.StatusServiceUnavailable, ""),
	status("a redirect to another host", http.StatusFound, ""),
}

func status(name string, code int, retryAfter string) *fault {
	return &fault{name, func(_ *line, req *http.Request) (*http.Response, error) {
		header := http.Header{"Content-Type": {"text/plain"}}
		if retryAfter != "" {
			header.Set("Retry-After", retryAfter)
		}
		if code == http.StatusFound {
			header.Set("Location", "https://elsewhere.invalid/")
		}
		return &http.Response{
			StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: header, Body: io.NopCloser(strings.NewReader("no")), Request: req,
		}, nil
	}}
}

// RoundTrip keeps the contract of http.RoundTripper: a request that is not passed
// on has its body closed.
func (l *line) RoundTrip(req *http.Request) (*http.Response, error) {
	if odd := l.odd.Load(); odd != nil {
		return odd.RoundTrip(req)
	}
	f := l.fault.Load()
	if f == nil {
		return l.base.RoundTrip(req)
	}
	resp, err := f.act(l, req)
	if req.Body != nil {
		_ = req.Body.Close()
	}
	if req.URL.Hostname() == "elsewhere.invalid" {
		l.followed.Store(true) // an error would not do: providers do not repeat its text
	}
	return resp, err
}

// short is a body that breaks off.
type short struct {
	io.ReadCloser
	left int
}

func (s *short) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.ReadCloser.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

// survive breaks the line, reads, mends it and reads again.
func (s *suite) survive(f *fault) {
	s.Helper()
	if s.NoHTTP {
		s.Skip("the provider speaks no HTTP")
	}
	s.fields(map[string]string{"token": s.canary})
	s.want(secretsauth.NewToken(s.canary)) // logged in, and found
	s.line.fault.Store(f)

	// A hang ends by the context; everything else by itself.
	limit := patience
	if f == faults[0] {
		limit = time.Second
	}
	ctx, cancel := context.WithTimeout(s.Context(), limit)
	defer cancel()
	begun := time.Now()
	_, err := s.Provider.Fetch(ctx)
	switch {
	case s.line.followed.Load():
		s.Error("the redirect was followed")
	case !errors.Is(err, secretsauth.ErrUnavailable):
		s.Errorf("Fetch: error %s, want one that wraps %q", s.hide(fmt.Sprint(err)), secretsauth.ErrUnavailable)
	case time.Since(begun) > patience:
		s.Errorf("it took %v", time.Since(begun))
	}
	if err != nil {
		s.check(err)
	}

	s.line.fault.Store(nil)
	s.want(secretsauth.NewToken(s.canary))
}
