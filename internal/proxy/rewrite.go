package proxy

import (
	"context"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
)

// exchange is what the proxy knows of one request while it is under way. The
// request's context has it.
type exchange struct {
	host   string // by which the client knows the proxy
	body   *body  // what the client sends, or nil
	status int    // of the answer, once there is one
}

type exchangeKey struct{}

func withExchange(ctx context.Context, x *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	if x == nil {
		return &exchange{}
	}
	return x
}

// own is the proxy's origin as the client knows it.
func (x *exchange) own() string { return "http://" + x.host }

// rewrite makes the request that the upstream sees. The credential is put on it
// below, by the library, which sees where it goes.
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	pr.SetURL(p.upstream.url)
	pr.Out.URL.User = nil
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery // as it is: nothing here reads it
	h := pr.Out.Header
	h.Del("Authorization") // the client's token is between it and the proxy
	if p.cfg.PassCookies {
		p.clients.strip(h)
	} else {
		h.Del("Cookie")
	}
	// Servers refuse what seems to come from another site.
	if h.Get("Origin") != "" {
		h.Set("Origin", p.upstream.origin())
	}
	if referer := h.Get("Referer"); referer != "" {
		h.Del("Referer")
		if u, err := url.Parse(referer); err == nil && strings.EqualFold(u.Host, pr.In.Host) && u.Path != loginPath {
			u.Scheme, u.Host, u.User = p.upstream.url.Scheme, p.upstream.url.Host, nil
			u.Path, u.RawPath = p.upstream.url.Path+u.Path, ""
			h.Set("Referer", u.String())
		}
	}
	if long(pr.Out) {
		h.Set("Expect", "100-continue")
	}
}

// modify makes the answer that the client sees.
func (p *Proxy) modify(resp *http.Response) error {
	x := exchangeOf(resp.Request.Context())
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.status = resp.StatusCode // no ResponseWriter tells of it
	}
	p.scrub(resp.Header)
	for _, name := range []string{"Location", "Content-Location"} {
		if target := resp.Header.Get(name); target != "" {
			resp.Header.Set(name, p.home(target, x.own()))
		}
	}
	if parts := refresh.FindStringSubmatch(resp.Header.Get("Refresh")); parts != nil {
		resp.Header.Set("Refresh", parts[1]+p.home(parts[2], x.own()))
	}
	return nil
}

// refresh is "5; url=/next", in its common spellings.
var refresh = regexp.MustCompile(`(?i)^(\s*\d+\s*[;,]\s*url\s*=\s*)["']?([^"']+)["']?\s*$`)

// scrub removes what is not for the client. A challenge would make a browser ask
// for a password that the user is not to have; cookies, see [Config.PassCookies];
// Alt-Svc names a way around the proxy.
func (p *Proxy) scrub(h http.Header) {
	h.Del("WWW-Authenticate")
	h.Del("Alt-Svc")
	cookies := h["Set-Cookie"]
	h.Del("Set-Cookie")
	if !p.cfg.PassCookies {
		return
	}
	for _, line := range cookies {
		if cookie, err := http.ParseSetCookie(line); err == nil && cookie.Name != p.clients.cookie {
			cookie.Domain, cookie.Secure = "", false // of the upstream, which is https
			if rest, ok := p.upstream.below(cookie.Path); ok {
				cookie.Path = rest
			}
			h.Add("Set-Cookie", cookie.String())
		}
	}
}

// home is where a target of the upstream's is found at this proxy. Other targets
// stay as they are.
func (p *Proxy) home(target, own string) string {
	u, err := url.Parse(target)
	if err != nil || u.User != nil || u.Opaque != "" {
		return target
	}
	rooted := u.Scheme == "" && u.Host == ""
	if rooted {
		if !strings.HasPrefix(u.Path, "/") {
			return target // relative to where the client is, here as there
		}
		u.Host = p.upstream.url.Host
	}
	if u.Scheme == "" {
		u.Scheme = p.upstream.url.Scheme
	}
	if !p.upstream.owns(u) {
		return target
	}
	rest, ok := p.upstream.below(u.EscapedPath())
	switch {
	case ok:
	case rooted:
		return u.String() // outside the base path: not reached through this proxy
	default:
		return target
	}
	if u.RawQuery != "" || u.ForceQuery {
		rest += "?" + u.RawQuery
	}
	if u.Fragment != "" {
		rest += "#" + u.EscapedFragment()
	}
	return own + rest
}
