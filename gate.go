package secretsauth

import (
	"net/http"
	"strings"
	"sync/atomic"
)

// gate decides, for one request, whether the credential may travel with it.
type gate struct {
	matcher *HostMatcher
	base    http.RoundTripper
	// known keeps the decisions on recent hosts, so that a long allow-list costs
	// no more than a short one. It is replaced, never changed. A client talks to
	// few hosts: to look through them takes less than to hash one.
	known atomic.Pointer[[]*hostDecision]
}

// hostDecision is what holds for every request to one host.
type hostDecision struct {
	HostDecision
	scheme, host string // as the URL spells them
	origin       origin
	plainHTTP    bool // and not loopback: the credential can be read on the way

	warned atomic.Bool // of this host's one warning, so that it costs no more than this
}

// maxKnown bounds what a client that talks to many hosts keeps.
const maxKnown = 32

// host decides on the request's own host; whether its chain of redirects may
// carry the credential is another question.
func (g *gate) host(req *http.Request) *hostDecision {
	u := req.URL
	known := g.known.Load()
	if known != nil && u.Opaque == "" {
		for _, d := range *known {
			if d.host == u.Host && d.scheme == u.Scheme {
				return d
			}
		}
	}
	d := &hostDecision{}
	var why string
	if d.origin, why = originOf(u); why != "" {
		d.Reason = why
	} else {
		d.HostDecision = g.matcher.explain(d.origin)
		d.plainHTTP = u.Scheme == "http" && !d.origin.loopback()
	}
	if u.Opaque == "" && len(u.Host) <= 300 {
		d.scheme, d.host = strings.Clone(u.Scheme), strings.Clone(u.Host)
		g.remember(known, d)
	}
	return d
}

// remember loses one of two simultaneous decisions, which are then made again.
func (g *gate) remember(known *[]*hostDecision, d *hostDecision) {
	next := []*hostDecision{d}
	if known != nil && len(*known) < maxKnown {
		next = append(next, *known...)
	}
	g.known.CompareAndSwap(known, &next)
}

// strayed says why a request to an allowed host must go without the credential
// all the same, or "".
func (g *gate) strayed(req *http.Request, to origin) string {
	if req.Response != nil && !sameOriginChain(req, to) {
		return "a redirect has led here from another scheme, host or port"
	}
	// A proxy is given http requests under the name in the Host header, and would
	// carry the credential there. With https, or without a proxy, the connection
	// goes to the URL's host whatever the header says.
	if req.URL.Scheme == "http" && req.Host != "" && req.Host != req.URL.Host && g.proxied(req) {
		return "a proxy would send it to the host in the Host header"
	}
	return ""
}

// sameOriginChain reports whether every request of the chain of redirects that
// led to req went to one origin (S1–S9). http.Client keeps the chain in
// req.Response.
func sameOriginChain(req *http.Request, to origin) bool {
	for hops := 0; req.Response != nil; hops++ {
		req = req.Response.Request
		if req == nil || hops > maxHops {
			return false // a chain that does not reach its beginning shows nothing
		}
		if from, why := originOf(req.URL); why != "" || from != to {
			return false
		}
	}
	return true
}

// maxHops only keeps a chain that a caller has tied into a ring from being
// followed for ever; http.Client stops after 10.
const maxHops = 1000

// proxied reports whether the base sends req through a proxy, as far as it can
// be told: a base that wraps another is taken to heed the environment, as
// http.DefaultTransport does.
func (g *gate) proxied(req *http.Request) bool {
	choose := http.ProxyFromEnvironment
	if transport, ok := g.base.(*http.Transport); ok {
		choose = transport.Proxy
	}
	if choose == nil {
		return false
	}
	proxy, err := choose(req)
	return err != nil || proxy != nil
}
