package proxy

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
)

// guard refuses requests before anything is sent on their behalf, and before any
// of their body is read.
type guard struct {
	anyHost bool            // behind a Unix socket no name leads to the proxy
	hosts   map[string]bool // what Host may be, in lower case, with the port
}

// refusal is an answer that the proxy gives itself.
type refusal struct {
	status    int
	reason    string // for the metrics
	text, fix string
}

// The methods of RFC 9110 and RFC 5789 that are passed on. So are those that neither
// knows, but metrics do not name them.
const allowedMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

// check says why r is refused, or nil.
func (g *guard) check(r *http.Request) *refusal {
	switch {
	case strings.EqualFold(r.Method, http.MethodConnect) || strings.EqualFold(r.Method, http.MethodTrace):
		// One opens a tunnel, the other echoes the header that holds the credential.
		// In any case: gunicorn before 22 takes trace for TRACE.
		return &refusal{http.StatusMethodNotAllowed, "method", r.Method + " is not passed on",
			"set MLFLOW_TRACKING_URI, not HTTP_PROXY, to this proxy"}
	case !g.anyHost && !g.hosts[strings.ToLower(r.Host)]:
		// A page of any site can have its own name lead to this address (DNS
		// rebinding), but not change the Host that a browser sends. A target in
		// absolute form is compared here too: net/http takes Host from it.
		return &refusal{http.StatusMisdirectedRequest, "host", "the request is for another host than this proxy",
			"use the address that the proxy has printed at its start; for another name of it see --host-name"}
	case r.URL.Scheme != "" && r.URL.Scheme != "http", r.URL.Opaque != "", !strings.HasPrefix(r.URL.Path, "/"):
		return &refusal{http.StatusBadRequest, "target", "the request's target is not a path",
			"set MLFLOW_TRACKING_URI, not HTTP_PROXY, to this proxy"}
	case dotted(r.URL.EscapedPath()):
		return &refusal{http.StatusBadRequest, "path", "the path has a segment of dots",
			"send the path as the server is to see it, without . and .."}
	case !ownSite(r):
		return &refusal{http.StatusForbidden, "site", "the request comes from a page of another site",
			"copy the address into the browser's address bar"}
	}
	return nil
}

// around guards what has no guard of its own.
func (g guard) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := g.check(r); why != nil {
			answer{why.text, why.fix}.write(w, why.status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ownSite is the judgement of the browser, which pages cannot forge (Fetch
// Metadata). It sends none to a host that is neither loopback nor https; then
// Origin tells. Programs send neither.
func ownSite(r *http.Request) bool {
	if sites := r.Header.Values("Sec-Fetch-Site"); len(sites) > 0 {
		return !slices.ContainsFunc(sites, func(site string) bool { return site != "same-origin" && site != "none" })
	}
	own := "http://" + r.Host
	return !slices.ContainsFunc(r.Header.Values("Origin"), func(origin string) bool { return !strings.EqualFold(origin, own) })
}

// maxEscaping is how often a path may be escaped before it is refused unread.
const maxEscaping = 4

// dotted reports whether an escaped path has a segment that some server may read as
// . or ..: escaped once or more, between backslashes, or before a parameter.
func dotted(path string) bool {
	for range maxEscaping {
		for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
			if end := strings.IndexAny(segment, ";?#\x00"); end >= 0 {
				segment = segment[:end]
			}
			if segment == "." || segment == ".." {
				return true
			}
		}
		next := unescape(path)
		if next == path {
			return false
		}
		path = next
	}
	return true
}

// unescape resolves what escapes there are, and leaves what looks like one.
func unescape(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			if c, err := hex.DecodeString(path[i+1 : i+3]); err == nil {
				b.Write(c)
				i += 2
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
