package providertest

import (
	"context"
	"net/http"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
)

// unasked are the ways in which a store sends more than its answer. A store that speaks
// before the first request is none of them: net/http prints that before a provider has
// the connection.
func unasked() (all []faults.Surplus) {
	for _, s := range faults.Surpluses() {
		if !s.SpeaksFirst() {
			all = append(all, s)
		}
	}
	return all
}

// detour leads requests to a peer, and from there to where they were sent.
type detour struct {
	*suite
	surplus faults.Surplus
	peers   map[string]*faults.Peer // by the origin that each is in place of
}

// at is the peer in place of the server that req is for.
func (d *detour) at(req *http.Request) *faults.Peer {
	origin := req.URL.Scheme + "://" + req.URL.Host
	if peer := d.peers[origin]; peer != nil {
		return peer
	}
	behind, err := faults.Behind(d.line.base, origin)
	if err != nil {
		d.Error("a request has no address that can be parsed")
		return nil
	}
	peer, err := faults.NewPeer(behind, d.surplus, d.canary)
	if err != nil {
		d.Error(err)
		return nil
	}
	d.Cleanup(peer.Close)
	d.peers[origin] = peer
	return peer
}

// send is RoundTrip by way of the peer.
func (l *line) send(d *detour, req *http.Request) (*http.Response, error) {
	l.mu.Lock()
	peer := d.at(req)
	l.mu.Unlock()
	if peer == nil {
		return nil, http.ErrServerClosed
	}
	own := req.Clone(req.Context())
	if own.Host == "" {
		own.Host = own.URL.Host
	}
	own.URL.Scheme, own.URL.Host = "http", peer.Address()
	resp, err := l.base.RoundTrip(own)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// hear reads from a store that sends more than its answers. Nothing of that may be
// printed: a provider sets [http.Request.Close], so that nobody reads from a connection
// after the answer.
func (s *suite) hear(surplus faults.Surplus) {
	s.Helper()
	if s.NoHTTP {
		s.Skip("the provider speaks no HTTP")
	}
	canary.Listen()
	s.fields(map[string]string{"token": s.canary})
	d := &detour{suite: s, surplus: surplus, peers: map[string]*faults.Peer{}}
	s.line.detour.Store(d)
	for range 3 {
		if !surplus.Spoils() {
			s.want(secretsauth.NewToken(s.canary))
			continue
		}
		ctx, cancel := context.WithTimeout(s.Context(), patience)
		if _, err := s.Provider.Fetch(ctx); err != nil {
			s.check(err)
		}
		cancel()
	}
	s.line.detour.Store(nil)
	if len(d.peers) == 0 {
		s.Error("no request came through the suite's client")
	}
	for _, peer := range d.peers {
		if !peer.Left(patience) {
			s.Error("a connection was kept: set Request.Close")
		}
	}
	if !canary.Listens() {
		s.Error("the standard logger has been led elsewhere, so it is not known what is printed")
	}
	if canary.Shows(canary.Printed(), s.canary) {
		s.Error("net/http has printed, through the standard logger, what the store sent unasked: set Request.Close")
	}
	s.want(secretsauth.NewToken(s.canary))
}
