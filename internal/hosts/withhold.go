package hosts

import "net/http"

// Withhold says why req must go without the credential although its host is
// allowed, or returns "". base is what sends req.
func (h *Host) Withhold(req *http.Request, base http.RoundTripper) (why string) {
	if req.Response != nil && !sameOriginChain(req, h.origin) {
		return "a redirect has led here from another scheme, host or port"
	}
	// A proxy sends an http request to the host in the Host header, and the
	// credential with it. With https, and without a proxy, the connection goes to
	// the URL's host, whatever the header says.
	if req.URL.Scheme == "http" && req.Host != "" && req.Host != req.URL.Host && usesProxy(req, base) {
		return "a proxy would send it to the host in the Host header"
	}
	return ""
}

// sameOriginChain reports whether all requests before req, whose redirects have
// led to it, went to the origin of req (S1–S9). http.Client links each request to
// the one before it by req.Response.
func sameOriginChain(req *http.Request, of origin) bool {
	for hops := 0; req.Response != nil; hops++ {
		req = req.Response.Request
		if req == nil || hops > maxHops {
			return false // the first request cannot be found, so nothing is known of it
		}
		if o, why := originOf(req.URL); why != "" || o != of {
			return false
		}
	}
	return true
}

// maxHops ends the search in a chain that a caller has tied into a ring.
// http.Client itself stops after 10 redirects.
const maxHops = 1000

// usesProxy reports whether base sends req through a proxy. For a base that we
// cannot inspect, it assumes the proxies of the environment, which
// http.DefaultTransport uses.
func usesProxy(req *http.Request, base http.RoundTripper) bool {
	choose := http.ProxyFromEnvironment
	if transport, ok := base.(*http.Transport); ok {
		choose = transport.Proxy
	}
	if choose == nil {
		return false
	}
	proxy, err := choose(req)
	return err != nil || proxy != nil
}
