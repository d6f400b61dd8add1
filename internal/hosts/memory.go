// Package hosts decides which hosts get the credential. List is the allow-list,
// Memory applies it to requests and remembers the decisions, and Host is such a
// decision.
package hosts

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
)

// Memory decides about hosts, and keeps the decisions on recent ones, so that a
// long allow-list costs a request no more than a short one.
type Memory struct {
	list List
	// recent is replaced and never changed, so that it is read without a lock. It
	// is searched from end to end: a client talks to few hosts, and comparing them
	// is faster than hashing one.
	recent atomic.Pointer[[]*Host]
	logged lineSet // the warnings that have been logged
}

// NewMemory returns a memory that decides by list.
func NewMemory(list List) *Memory { return &Memory{list: list} }

// Host is what Memory has decided about one host.
type Host struct {
	Decision
	Label     string // how a log names the host, also one that Decision has no name for
	PlainHTTP bool   // the scheme is http and the host is another machine: the network can read the credential

	origin       origin
	scheme, host string                 // the spelling in the URL
	lastWarning  atomic.Pointer[string] // what FirstWarning was last asked about this host
}

const (
	maxRecent   = 32  // hosts remembered at a time
	maxHostSize = 300 // bytes of a host that is remembered; a real one has fewer
)

// Decide says whether u's host may get the credential. A request to it may have
// to go without all the same: see [Host.Withhold].
func (m *Memory) Decide(u *url.URL) *Host {
	recent := m.recent.Load()
	if recent != nil && u.Opaque == "" {
		for _, h := range *recent {
			if h.host == u.Host && h.scheme == u.Scheme {
				return h
			}
		}
	}
	h := m.list.host(u)
	if u.Opaque == "" && len(u.Host) <= maxHostSize {
		// The clones do not keep the rest of the URL in memory.
		h.scheme, h.host = strings.Clone(u.Scheme), strings.Clone(u.Host)
		m.remember(recent, h)
	}
	return h
}

// remember puts h in front of recent; when that is full, h alone remains. If two
// goroutines race, one entry is lost and computed again later.
func (m *Memory) remember(recent *[]*Host, h *Host) {
	next := []*Host{h}
	if recent != nil && len(*recent) < maxRecent {
		next = append(next, *recent...)
	}
	m.recent.CompareAndSwap(recent, &next)
}

// host makes a new decision about u's host.
func (l List) host(u *url.URL) *Host {
	o, why := originOf(u)
	if why != "" {
		return &Host{Decision: Decision{Reason: why}, Label: quoted(u.Host)}
	}
	return &Host{
		Decision:  l.decide(o),
		Label:     o.host,
		PlainHTTP: o.scheme == "http" && !o.isLoopback(),
		origin:    o,
	}
}

// quoted makes a host that is not a plain one fit for a log: short, printable, and
// without a password.
func quoted(host string) string {
	if text := fmt.Sprintf("%.100q", host); !strings.Contains(text, "@") {
		return text
	}
	return "(a host with a username)" // and perhaps a password
}
