package faults

import (
	"net/http"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// Stage is a test of a client with peers that send more than they were asked for.
type Stage struct {
	*testing.T
	Surplus Surplus
	Link    string // a key of Links

	peers   []*Peer
	secrets []string
}

// EverySurplus runs a test with each of surpluses over each of links. When the test has
// returned, the client must have closed its connections, and nobody have printed a
// secret. The test's package needs [canary.Net].
func EverySurplus(t *testing.T, links []string, surpluses []Surplus, test func(*Stage)) {
	t.Helper()
	for _, link := range links {
		for _, surplus := range surpluses {
			t.Run(link+", "+surplus.Name, func(t *testing.T) {
				s := &Stage{T: t, Surplus: surplus, Link: link}
				test(s)
				s.end()
			})
		}
	}
}

// Start starts a peer that answers by handler, and has secrets.
func (s *Stage) Start(handler http.Handler, secrets ...string) *Peer {
	s.Helper()
	peer, err := Links[s.Link](handler, s.Surplus, secrets[0])
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(peer.Close)
	s.peers = append(s.peers, peer)
	s.Hide(secrets...)
	return peer
}

// Hide adds secrets that nobody must print.
func (s *Stage) Hide(secrets ...string) { s.secrets = append(s.secrets, secrets...) }

// patience is for what has to happen, on the slowest of machines.
const patience = 30 * time.Second

func (s *Stage) end() {
	s.Helper()
	for _, peer := range s.peers {
		if !peer.Left(patience) {
			s.Error("a connection was kept")
		}
		if peer.Answered() == 0 {
			s.Error("the peer was not asked, so nothing was tested")
		}
	}
	if !canary.Listens() {
		s.Error("the standard logger leads elsewhere, so nothing was tested")
	}
	canary.Absent(s, "what is printed through the standard logger", canary.Printed(), s.secrets...)
}
