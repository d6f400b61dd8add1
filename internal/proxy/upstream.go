package proxy

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth/internal/loopback"
)

// upstream is the one server that requests go to.
type upstream struct {
	url *url.URL // its path without a slash at the end
}

// newUpstream checks u. The messages repeat no more of it than its host: a URL may
// hold a password (S154).
func newUpstream(u *url.URL, plainHTTP bool) (upstream, error) {
	const form = "use the form https://mlflow.company.com"
	switch {
	case u == nil || u.Hostname() == "":
		return upstream{}, config("the upstream has no host", form)
	case u.Scheme != "http" && u.Scheme != "https":
		return upstream{}, config("the upstream's scheme is neither http nor https", form)
	case u.User != nil:
		return upstream{}, config("the upstream holds a username or password", "take them out: the credential comes from the store")
	case u.Opaque != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return upstream{}, config("the upstream has more than scheme, host, port and path", form)
	case dotted(u.EscapedPath()):
		return upstream{}, config("the upstream's path has a segment of dots", "write the path as the server knows it")
	}
	rooted := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	to := upstream{rooted.JoinPath(u.EscapedPath())}
	to.url.Path, to.url.RawPath = strings.TrimRight(to.url.Path, "/"), strings.TrimRight(to.url.RawPath, "/")
	if u.Scheme == "http" && !plainHTTP && !loopback.Host(u.Hostname()) {
		return upstream{}, config(fmt.Sprintf("the upstream %q is asked over plain http, where the credential could be read on the way", u.Hostname()),
			"use its https URL, or --insecure-plain-http-upstream")
	}
	return to, nil
}

// port is that of a URL, also where it is not written.
func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// pattern covers the upstream's origin, and no other.
func (to upstream) pattern() string {
	return to.url.Scheme + "://" + net.JoinHostPort(to.url.Hostname(), port(to.url))
}

// origin is what a browser would write (RFC 6454).
func (to upstream) origin() string {
	o := to.url.Scheme + "://" + strings.ToLower(to.url.Host)
	standard := url.URL{Scheme: to.url.Scheme}
	return strings.TrimSuffix(o, ":"+port(&standard))
}

// owns reports whether u is of the upstream's origin.
func (to upstream) owns(u *url.URL) bool {
	return u.Scheme == to.url.Scheme && strings.EqualFold(u.Hostname(), to.url.Hostname()) && port(u) == port(to.url)
}

// below is what follows the base path in an escaped path; not ok if it leads
// elsewhere.
func (to upstream) below(path string) (rest string, ok bool) {
	base := to.url.EscapedPath()
	if path == base {
		return "/", true
	}
	if rest, ok = strings.CutPrefix(path, base); ok && strings.HasPrefix(rest, "/") {
		return rest, true
	}
	return "", false
}
