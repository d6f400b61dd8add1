package proxy_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

// Another user or process of the machine can connect, and must have the token.
func TestAnotherProcessOnTheMachine(t *testing.T) { //nolint:tparallel // they count what one server gets
	t.Parallel()
	w := newWorld(t, fine)
	for name, tc := range map[string]struct {
		set  func(*http.Request)
		want int
	}{
		"nothing":           {func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"wrong token":       {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+w.token[1:]) }, 401},
		"wrong password":    {func(r *http.Request) { r.SetBasicAuth("trainer", "guess") }, 401},
		"token as username": {func(r *http.Request) { r.SetBasicAuth(w.token, "") }, 401},
		"no scheme":         {func(r *http.Request) { r.Header.Set("Authorization", w.token) }, 401},
		"two headers":       {func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+w.token) }, 401},
		"wrong cookie":      {func(r *http.Request) { r.Header.Set("Cookie", cookieName(w)+"=guess"); r.Header.Del("Authorization") }, 401},
		"token as cookie": {func(r *http.Request) {
			r.Header.Set("Cookie", cookieName(w)+"="+w.token)
			r.Header.Del("Authorization")
		}, 401},
		"bearer":              {func(*http.Request) {}, 200},
		"bearer, other case":  {func(r *http.Request) { r.Header.Set("Authorization", "bearer "+w.token) }, 200},
		"password, any user":  {func(r *http.Request) { r.SetBasicAuth("anyone", w.token) }, 200},
		"password, no user":   {func(r *http.Request) { r.SetBasicAuth("", w.token) }, 200},
		"password with colon": {func(r *http.Request) { r.SetBasicAuth("anyone", w.token+":") }, 401},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.on(t)
			before := len(w.server.requests())
			req := w.request(http.MethodGet, "/", nil)
			tc.set(req)
			got := w.do(req)
			w.wantStatus(got, tc.want)
			if got.Header.Get("WWW-Authenticate") != "" {
				t.Error("the answer makes a browser ask for a password")
			}
			sent := w.server.requests()[before:]
			if tc.want == 401 && (len(sent) > 0 || !strings.Contains(got.text, `"fix":"set MLFLOW_TRACKING_TOKEN`)) {
				t.Errorf("%d requests sent, answer %s", len(sent), got.text)
			}
			for _, r := range sent {
				if strings.Contains(fmt.Sprint(r.Header, r.URL), w.token) {
					t.Error("the client's token was forwarded")
				}
			}
		})
	}
}

func cookieName(w *world) string {
	u, _ := url.Parse(w.proxy.URL())
	return "mlflow-secrets-auth-" + u.Port()
}

// A browser has no way to send a token, but to open a link.
func TestBrowserComesInByALinkOnce(t *testing.T) {
	t.Parallel()
	for _, pass := range []bool{false, true} {
		t.Run(fmt.Sprintf("pass cookies %v", pass), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fine, with(func(c *proxy.Config) { c.PassCookies = pass }))
			link := strings.TrimPrefix(w.proxy.LoginURL(), w.proxy.URL())
			visit := func(method, path string) reply {
				req := w.request(method, path, nil)
				req.Header.Del("Authorization")
				req.Header.Set("Sec-Fetch-Site", "none")
				return w.do(req)
			}
			w.wantStatus(visit(http.MethodHead, link), 405) // a preview does not use it up
			w.wantStatus(visit(http.MethodGet, link[:len(link)-1]), 401)
			got := visit(http.MethodGet, link)
			w.wantStatus(got, 303)
			cookies := got.Cookies()
			if len(cookies) != 1 || got.Header.Get("Location") != "/" {
				t.Fatalf("cookies %v, location %q", cookies, got.Header.Get("Location"))
			}
			c := cookies[0]
			if c.Name != cookieName(w) || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.Value == w.token {
				t.Errorf("cookie %+v", c)
			}
			w.wantStatus(visit(http.MethodGet, link), 401)

			req := w.request(http.MethodGet, "/", nil)
			req.Header.Del("Authorization")
			req.AddCookie(&http.Cookie{Name: "theme", Value: "dark"})
			req.AddCookie(c)
			w.wantStatus(w.do(req), 200)
			sent := w.server.requests()[0].Header.Get("Cookie")
			if strings.Contains(sent, c.Value) || pass != (sent == "theme=dark") {
				t.Errorf("the upstream got the cookies %q", sent)
			}
			if first, second := w.proxy.LoginURL(), w.proxy.LoginURL(); first == second {
				t.Error("two links are the same")
			}
		})
	}
}

// A web page in the user's browser can send requests to loopback, also under a name
// of its own.
func TestAWebPageInTheBrowser(t *testing.T) { //nolint:tparallel // they count what one server gets
	t.Parallel()
	w := newWorld(t, func(out http.ResponseWriter, r *http.Request) {
		out.Header().Set("WWW-Authenticate", "Basic")
		out.Header().Add("Set-Cookie", "session=upstream")
		out.Header().Set("Alt-Svc", `h3=":443"`)
		out.WriteHeader(http.StatusTeapot)
	}, with(func(c *proxy.Config) { c.Names = []string{"mlproxy"} }))
	address := strings.TrimPrefix(w.proxy.URL(), "http://")
	port := address[strings.LastIndex(address, ":"):]

	for host, want := range map[string]int{
		address: 418, "localhost" + port: 418, "LOCALHOST" + port: 418, "[::1]" + port: 418, "mlproxy" + port: 418,
		"evil.example" + port: 421, "127.0.0.1": 421, "127.0.0.1:1": 421, "127.0.0.1.evil.example" + port: 421,
		"localhost": 421, "127.0.0.2" + port: 421, "evil.example:80": 421, "localhost." + port: 421,
	} {
		t.Run("rebinding to "+host, func(t *testing.T) {
			w := w.on(t)
			before := len(w.server.requests())
			req := w.request(http.MethodGet, "/", nil)
			req.Host = host
			got := w.do(req)
			w.wantStatus(got, want)
			if want == 421 && len(w.server.requests()) != before {
				t.Error("it was sent all the same")
			}
		})
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "websocket"} {
		for _, site := range []string{"cross-site", "same-site", "", "SAME-ORIGIN", "none", "same-origin"} {
			t.Run(fmt.Sprintf("%s from %q", method, site), func(t *testing.T) {
				w := w.on(t)
				want := 403
				if site == "none" || site == "same-origin" {
					want = 418
				}
				before := len(w.server.requests())
				req := w.request(method, "/", nil)
				if method == "websocket" {
					req = w.request(http.MethodGet, "/", nil)
					req.Header.Set("Connection", "Upgrade")
					req.Header.Set("Upgrade", "websocket")
				}
				req.Header["Sec-Fetch-Site"] = []string{site}
				req.Header.Set("Origin", "http://"+address)
				req.Header.Set("Referer", "http://"+address+"/page?q=1")
				got := w.do(req)
				w.wantStatus(got, want)
				sent := w.server.requests()[before:]
				if want == 403 {
					if len(sent) > 0 {
						t.Error("it was sent all the same")
					}
					return
				}
				if h := sent[0].Header; h.Get("Origin") != w.server.URL || h.Get("Referer") != w.server.URL+"/page?q=1" || sent[0].Host != strings.TrimPrefix(w.server.URL, "http://") {
					t.Errorf("the upstream sees origin %q, referer %q, host %q", h.Get("Origin"), h.Get("Referer"), sent[0].Host)
				}
				for _, name := range []string{"WWW-Authenticate", "Set-Cookie", "Alt-Svc"} {
					if got.Header.Get(name) != "" {
						t.Errorf("%s reaches the browser", name)
					}
				}
			})
		}
	}
	for origin, want := range map[string]int{"http://" + address: 418, "https://evil.example": 403, "null": 403, "http://localhost:1": 403} {
		t.Run("old browser, origin "+origin, func(t *testing.T) {
			w := w.on(t)
			req := w.request(http.MethodPost, "/", nil)
			req.Header.Set("Origin", origin)
			w.wantStatus(w.do(req), want)
		})
	}
	t.Run("referer of elsewhere", func(t *testing.T) {
		w := w.on(t)
		before := len(w.server.requests())
		req := w.request(http.MethodGet, "/", nil)
		req.Header.Set("Referer", "https://intranet.example/secret-project")
		w.do(req)
		if got := w.server.requests()[before].Header.Get("Referer"); got != "" {
			t.Errorf("the upstream learns of %q", got)
		}
	})
}

// What leaves the upstream, or its base path, by the request line alone.
func TestTheRequestLine(t *testing.T) { //nolint:tparallel // they count what one server gets
	t.Parallel()
	w := unproxied(t, fine)
	w.server.Start()
	w.start(with(func(c *proxy.Config) { c.Upstream = c.Upstream.JoinPath("/mlflow/") }))
	address := strings.TrimPrefix(w.proxy.URL(), "http://")
	for target, want := range map[string]int{
		"CONNECT evil.example:443": 405, "CONNECT " + address: 405, "TRACE /": 405, "trace /": 405, "connect " + address: 400, // net/http itself
		"GET http://evil.example/": 421, "GET http://" + address + "/x": 200, "GET https://" + address + "/x": 400,
		"GET http://evil@" + address + "/": 200, // userinfo is dropped
		"OPTIONS *":                        400,
		"GET /../admin":                    400, "GET /a/../../admin": 400, "GET /a/./b": 400, "GET /..": 400, "GET /a/..": 400,
		"GET /%2e%2e/admin": 400, "GET /%2E%2e/admin": 400, "GET /.%2e/admin": 400, "GET /%2e./admin": 400, "GET /a/%2e/b": 400,
		"GET /..%2fadmin": 400, "GET /..%2Fadmin": 400, "GET /a%2f..%2fadmin": 400, "GET /%2e%2e%2fadmin": 400,
		`GET /..\admin`: 400, "GET /..%5cadmin": 400, "GET /%2e%2e%5Cadmin": 400, `GET /a\..\b`: 400,
		"GET /%252e%252e/admin": 400, "GET /%25252e%25252e/admin": 400, "GET /..%252fadmin": 400,
		"GET /..;/admin": 400, "GET /..;a=b/admin": 400, "GET /..%00/admin": 400, "GET /%252525252561": 400,
		"GET /a..b/.hidden/...": 200, "GET /a?path=../x": 200, "GET /a?x=1;y=%zz&z": 200, "GET //double": 200, "GET /100%25": 200, "GET /a%2Fb%20c": 200, "GET /": 200,
	} {
		t.Run(target, func(t *testing.T) {
			w := w.on(t)
			before := len(w.server.requests())
			method, path, _ := strings.Cut(target, " ")
			host := address
			if u, err := url.Parse(path); err == nil && u.Host != "" && method != "CONNECT" && !strings.HasPrefix(path, "//") {
				host = "ignored.example" // in favour of the target's
			}
			got, _, _ := w.raw(method + " " + path + " HTTP/1.1\nHost: " + host + "\nAuthorization: Bearer " + w.token + "\nConnection: close\n\n")
			w.wantStatus(got, want)
			sent := w.server.requests()[before:]
			if want != 200 {
				if len(sent) > 0 {
					t.Errorf("it was sent on as %s", sent[0].RequestURI)
				}
				return
			}
			if !strings.HasPrefix(sent[0].RequestURI, "/mlflow/") {
				t.Errorf("it left the base path: %s", sent[0].RequestURI)
			}
			if strings.HasPrefix(target, "GET /") && sent[0].RequestURI != "/mlflow"+strings.TrimPrefix(target, "GET ") {
				t.Errorf("it was sent on as %s", sent[0].RequestURI)
			}
		})
	}
}

// What the client says cannot move the credential, take it off, or replace it.
func TestTheWrongHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fine)
	for name, value := range map[string]string{
		"Connection": "Authorization", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example",
		"X-Original-Url": "http://evil.example/", "Proxy-Authorization": "Basic eDp5", "Keep-Alive": "Authorization",
	} {
		req := w.request(http.MethodGet, "/", nil)
		req.Header.Set(name, value)
		w.wantStatus(w.do(req), 200) // the server has had the credential
		for _, r := range w.server.requests() {
			if r.Host != strings.TrimPrefix(w.server.URL, "http://") || r.Header.Get("X-Forwarded-Host")+r.Header.Get("Forwarded")+r.Header.Get("X-Forwarded-For")+r.Header.Get("Proxy-Authorization") != "" {
				t.Errorf("%s: the server got %v", name, r.Header)
			}
		}
	}
	t.Run("custom header", func(t *testing.T) {
		t.Parallel()
		w := unproxied(t, fine)
		w.server.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { w.server.note(r) })
		w.server.Start()
		w.start(func(_ *world, _ *proxy.Config, l *secretsauth.Config) {
			l.HeaderName, l.KeepCallerHeader = "X-Api-Key", true
		})
		req := w.request(http.MethodGet, "/", nil)
		req.Header.Set("X-Api-Key", "the client's")
		w.wantStatus(w.do(req), 200)
		got := w.server.requests()[0].Header
		if key := got.Get("X-Api-Key"); key == "the client's" || got.Get("Authorization") != "" {
			t.Error("the client's header went to the server")
		}
	})
}

// What a proxy must not be, it is not by mistake.
func TestRefusedConfigurations(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*proxy.Config, *secretsauth.Config)
		want   string // "": accepted
	}{
		"all interfaces":       {func(c *proxy.Config, _ *secretsauth.Config) { c.Listen = ":0" }, "--danger-listen-on-network"},
		"any address":          {func(c *proxy.Config, _ *secretsauth.Config) { c.Listen = "0.0.0.0:0" }, "--danger-listen-on-network"},
		"any address, v6":      {func(c *proxy.Config, _ *secretsauth.Config) { c.Listen = "[::]:0" }, "--danger-listen-on-network"},
		"a name":               {func(c *proxy.Config, _ *secretsauth.Config) { c.Listen = "proxy.company.com:0" }, "--danger-listen-on-network"},
		"meant":                {func(c *proxy.Config, _ *secretsauth.Config) { c.Listen, c.DangerListenOnNetwork = "0.0.0.0:0", true }, ""},
		"localhost":            {func(c *proxy.Config, _ *secretsauth.Config) { c.Listen = "localhost:0" }, ""},
		"no port":              {func(c *proxy.Config, _ *secretsauth.Config) { c.Listen = "127.0.0.1" }, "use the form 127.0.0.1:5001"},
		"admin on the network": {func(c *proxy.Config, _ *secretsauth.Config) { c.Admin, c.DangerListenOnNetwork = ":0", true }, "other machines"},
		"no token":             {func(c *proxy.Config, _ *secretsauth.Config) { c.ClientToken = "" }, "no token for clients"},
		"no token, meant":      {func(c *proxy.Config, _ *secretsauth.Config) { c.ClientToken, c.NoClientToken = "", true }, ""},
		"both":                 {func(c *proxy.Config, _ *secretsauth.Config) { c.NoClientToken = true }, "at once"},
		"open to the network": {func(c *proxy.Config, _ *secretsauth.Config) {
			c.Listen, c.ClientToken, c.NoClientToken, c.DangerListenOnNetwork = ":0", "", true, true
		}, "must ask its clients for a token"},
		"plain http":           {upstreamURL("http://mlflow.company.com"), "--insecure-plain-http-upstream"},
		"plain http, odd name": {upstreamURL("http://localhost.company.com"), "--insecure-plain-http-upstream"},
		"plain http, meant": {func(c *proxy.Config, l *secretsauth.Config) {
			upstreamURL("http://mlflow.company.com")(c, l)
			c.InsecurePlainHTTPUpstream = true
		}, ""},
		"loopback names":    {upstreamURL("http://mlflow.localhost:5000"), ""},
		"no upstream":       {func(c *proxy.Config, _ *secretsauth.Config) { c.Upstream = nil }, "no host"},
		"other scheme":      {upstreamURL("ftp://mlflow.company.com"), "neither http nor https"},
		"userinfo":          {upstreamURL("https://trainer:pass@mlflow.company.com"), "username or password"},
		"query":             {upstreamURL("https://mlflow.company.com/?a=b"), "more than"},
		"dots":              {upstreamURL("https://mlflow.company.com/a/%2e%2e"), "segment of dots"},
		"not a plain name":  {upstreamURL("https://mlflöw.company.com"), "punycode"},
		"listed":            {allowed("https://mlflow.company.com", "other.company.com", "*.company.com"), ""},
		"not listed":        {allowed("https://mlflow.company.com", "*.other.com"), "the allow-list does not cover the upstream https://mlflow.company.com"},
		"other port listed": {allowed("https://mlflow.company.com", "mlflow.company.com:8443"), "does not cover"},
		"listed with star":  {allowed("https://mlflow.company.com", "x.com", "*"), ""},
		"unset":             {allowed("https://mlflow.company.com", "*"), ""},
		"bad list":          {allowed("https://mlflow.company.com", "mlflow company"), "host pattern"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, _ := url.Parse("https://mlflow.company.com/base")
			cfg := proxy.Config{Upstream: u, Listen: "127.0.0.1:0", ClientToken: "client-token"}
			library := secretsauth.Config{AllowedHosts: []string{"*"}}
			tc.change(&cfg, &library)
			p, err := proxy.New(t.Context(), &store{}, library, cfg)
			if err == nil {
				defer p.Close()
			}
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !errors.Is(err, secretsauth.ErrConfig)):
				t.Errorf("error %v", err)
			case err != nil && strings.Contains(err.Error(), "pass@"):
				t.Error("the error shows a password")
			}
		})
	}
}

func upstreamURL(text string) func(*proxy.Config, *secretsauth.Config) {
	return func(c *proxy.Config, _ *secretsauth.Config) { c.Upstream, _ = url.Parse(text) }
}

func allowed(upstream string, patterns ...string) func(*proxy.Config, *secretsauth.Config) {
	return func(c *proxy.Config, l *secretsauth.Config) {
		c.Upstream, _ = url.Parse(upstream)
		l.AllowedHosts = patterns
	}
}
