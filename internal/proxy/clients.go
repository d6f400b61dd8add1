package proxy

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// clients knows who may use the proxy: whoever sends the token, or a browser that
// has come in by a one-time link. On one machine every process of every user can
// connect to a port of the loopback interface.
type clients struct {
	open    bool // no token is asked for
	token   digest
	cookie  string // its name, bound to the port: cookies are not
	value   string // of the cookie, so that it does not give the token away
	session digest

	mu    sync.Mutex
	codes []digest // of links that have not been used
}

// digest makes secrets of any length take the same time to compare.
type digest [sha256.Size]byte

func digestOf(text string) digest { return sha256.Sum256([]byte(text)) }

func (d digest) is(text string) bool {
	other := digestOf(text)
	return subtle.ConstantTimeCompare(d[:], other[:]) == 1
}

func newClients(token, port string) *clients {
	value := rand.Text()
	return &clients{
		open: token == "", token: digestOf(token),
		cookie: "mlflow-secrets-auth-" + port, value: value, session: digestOf(value),
	}
}

// know reports whether r may pass.
func (c *clients) know(r *http.Request) bool {
	if c.open {
		return true
	}
	if fields := r.Header.Values("Authorization"); len(fields) == 1 {
		if _, password, ok := r.BasicAuth(); ok {
			return c.token.is(password) // whatever the username
		}
		if scheme, token, ok := strings.Cut(fields[0], " "); ok && strings.EqualFold(scheme, "Bearer") {
			return c.token.is(strings.TrimSpace(token))
		}
	}
	for _, cookie := range r.CookiesNamed(c.cookie) {
		if c.session.is(cookie.Value) {
			return true
		}
	}
	return false
}

const (
	// loginPath is below a name that no MLflow server has.
	loginPath = "/.mlflow-secrets-auth/login"
	// maxCodes links can wait to be used; the oldest makes room.
	maxCodes = 16
)

// link is the path and query of a new one-time link.
func (c *clients) link() string {
	code := rand.Text()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.codes = append(c.codes, digestOf(code)); len(c.codes) > maxCodes {
		c.codes = c.codes[1:]
	}
	return loginPath + "?" + url.Values{"code": {code}}.Encode()
}

// redeem reports whether code is that of a link, which is then used up.
func (c *clients) redeem(code string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, d := range c.codes {
		if d.is(code) {
			c.codes = append(c.codes[:i], c.codes[i+1:]...)
			return true
		}
	}
	return false
}

// login answers a one-time link with the cookie. Only GET uses it up, so that what
// looks at links beforehand does not.
func (c *clients) login(w http.ResponseWriter, r *http.Request) *refusal {
	switch {
	case r.Method != http.MethodGet:
		return &refusal{http.StatusMethodNotAllowed, "method", "the link is for a browser", "open it in one"}
	case !c.open && !c.redeem(r.URL.Query().Get("code")):
		return &refusal{http.StatusUnauthorized, "token", "the link has been used, or is not of this run of the proxy",
			"restart the proxy for a new one, or send the token"}
	}
	if !c.open {
		http.SetCookie(w, &http.Cookie{ //nolint:gosec // not Secure: the proxy speaks http, on loopback
			Name: c.cookie, Value: c.value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", "/")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// strip removes the proxy's own cookie from what is passed on.
func (c *clients) strip(h http.Header) {
	all, err := http.ParseCookie(strings.Join(h["Cookie"], "; "))
	h.Del("Cookie")
	if err != nil {
		return // a header that cannot be read cannot be cleaned either
	}
	var kept []string
	for _, cookie := range all {
		if cookie.Name != c.cookie {
			kept = append(kept, cookie.String())
		}
	}
	if len(kept) > 0 {
		h.Set("Cookie", strings.Join(kept, "; "))
	}
}
