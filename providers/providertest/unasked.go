package providertest

import (
	"bytes"
	"context"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	oddities "github.com/mlflow-secrets-auth/secretsauth/internal/faults"
)

// detour leads requests through a peer that asks the store, and answers with more than
// the store does. Plain HTTP leads to the peer, whatever the store speaks.
type detour struct {
	base    *http.Transport // to the store
	through *http.Transport // to the peer
	secret  string
}

// The headers of the detour: where a request is to go, and what nobody must print.
const (
	destination = "Providertest-Destination"
	marker      = "Providertest-Canary"
)

// RoundTrip sends req to the peer. Whether the connection is kept is the provider's to
// say, by req.Close.
func (d *detour) RoundTrip(req *http.Request) (*http.Response, error) {
	there := req.Clone(req.Context())
	there.Header.Set(destination, req.URL.Scheme+"://"+req.URL.Host)
	there.Header.Set(marker, d.secret)
	if there.Host == "" {
		there.Host = req.URL.Host
	}
	there.URL.Scheme = "http"
	resp, err := d.through.RoundTrip(there)
	if err == nil {
		resp.Request = req
	}
	return resp, err
}

// ServeHTTP is the peer's: it asks the store.
func (d *detour) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	to, err := url.Parse(req.Header.Get(destination))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out := req.Clone(req.Context())
	out.RequestURI, out.URL.Scheme, out.URL.Host = "", to.Scheme, to.Host
	for _, name := range []string{destination, marker, "Connection"} {
		out.Header.Del(name)
	}
	resp, err := d.base.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = resp.Body.Close() }()
	maps.Copy(w.Header(), resp.Header)
	w.Header().Set(marker, d.secret)
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// ignore reads from a store that sends more than its answer.
func (s *suite) ignore(surplus oddities.Surplus) {
	s.Helper()
	if s.NoHTTP {
		s.Skip("the provider speaks no HTTP")
	}
	s.fields(map[string]string{"token": s.canary})
	s.want(secretsauth.NewToken(s.canary))

	odd := &detour{base: s.line.base, secret: s.canary}
	peer, err := oddities.NewPeer(odd, surplus, s.canary)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(peer.Close)
	address := strings.TrimPrefix(peer.URL, "http://")
	odd.through = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}}
	s.Cleanup(odd.through.CloseIdleConnections)
	printed.watch(s)
	s.line.odd.Store(odd)
	for range 2 {
		if !surplus.Spoils() {
			s.want(secretsauth.NewToken(s.canary))
		} else if _, err := s.fetch(); err != nil {
			s.check(err)
		}
	}
	s.line.odd.Store(nil)

	switch {
	case peer.Answered() == 0:
		s.Error("the provider does not use the suite's client; set Fixture.NoHTTP if it speaks no HTTP")
	case !peer.Left(patience):
		s.Error("the provider keeps a connection to the store, on which the store may say anything: set Close of its requests")
	case printed.shows(s.canary):
		s.Error("net/http printed the secret through the standard logger, from a connection that the provider keeps: set Close of its requests")
	}
	s.want(secretsauth.NewToken(s.canary))
}

// printed is what goes through the standard logger while somebody watches. It goes to
// where it went before, too.
var printed tee

type tee struct {
	installing sync.Mutex
	watchers   int
	to         atomic.Pointer[io.Writer]

	mu   sync.Mutex // apart: the logger holds a lock of its own while it writes
	text bytes.Buffer
}

func (p *tee) watch(s *suite) {
	p.installing.Lock()
	defer p.installing.Unlock()
	p.watchers++
	if before := log.Writer(); before != io.Writer(p) {
		p.to.Store(&before)
		log.SetOutput(p)
	}
	s.Cleanup(func() {
		p.installing.Lock()
		defer p.installing.Unlock()
		if p.watchers--; p.watchers == 0 && log.Writer() == io.Writer(p) {
			log.SetOutput(*p.to.Load())
		}
	})
}

func (p *tee) Write(line []byte) (int, error) {
	p.mu.Lock()
	_, _ = p.text.Write(line)
	p.mu.Unlock()
	return (*p.to.Load()).Write(line)
}

func (p *tee) shows(secret string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return canary.Shows(p.text.String(), secret)
}
