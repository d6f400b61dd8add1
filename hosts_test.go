package secretsauth_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// recorder is a base that notes whether it is handed the credential, also when
// what it wraps then refuses to send the request.
type recorder struct {
	*internet
	mu   sync.Mutex
	seen []bool
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.seen = append(r.seen, r.carries(req.Header))
	r.mu.Unlock()
	return r.base.RoundTrip(req)
}

func through(r http.RoundTripper) func(*secretsauth.Config) {
	return func(c *secretsauth.Config) { c.Base = r }
}

func logTo(b *warnBook) func(*secretsauth.Config) {
	return func(c *secretsauth.Config) { c.Logger = b.logger() }
}

// TestHostsOverTheWire sends a request to every URL of hostCases with a real
// client, whose transport dials what it makes of the host.
func TestHostsOverTheWire(t *testing.T) {
	t.Parallel()
	for _, c := range hostCases {
		if c.patterns == nil {
			continue // NewTransport refuses
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, raw := range c.urls {
				n := newInternet(t)
				r := &recorder{internet: n}
				client := n.client(allow(c.patterns...), through(r))
				_, err := n.do(client, http.MethodGet, raw)
				want := c.want
				switch {
				case slices.Contains(r.seen, true) != want:
					t.Errorf("%q: the base is handed the credential: %v, want %v", raw, !want, want)
				case slices.Contains(n.credentials(), true) != want:
					t.Errorf("%q: a server gets the credential: %v, want %v; %v", raw, !want, want, err)
				case want && n.headerAt(0) != "Bearer "+n.token:
					t.Errorf("%q: the header is not the credential alone", raw)
				case n.fetches.Load() != 0 && !want:
					t.Errorf("%q: the store was read for a host that is not allowed", raw)
				}
				if errors.As(err, new(*secretsauth.Error)) {
					t.Errorf("%q: the library fails the request, instead of passing it on", raw)
				}
				n.close()
			}
		})
	}
}

// TestHostHeaderPlaysNoPart: the credential goes where the connection goes.
func TestHostHeaderPlaysNoPart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, url, host string
		dialled         string
		want            bool
	}{
		{"S19: the Host header is the allowed host, the URL is not", "http://evil.test/", "mlflow.test", "evil.test:80", false},
		{"S19: the same over https", "https://evil.test/", "mlflow.test", "evil.test:443", false},
		{"S19: the URL is the allowed host, the Host header is not", "http://mlflow.test/", "evil.test", "mlflow.test:80", true},
		{"S19: the same over https, behind a front", "https://mlflow.test/", "evil.test", "mlflow.test:443", true},
		{"S19: an empty Host header", "http://mlflow.test/", "", "mlflow.test:80", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			req := n.request(http.MethodGet, c.url)
			req.Host = c.host
			n.mustSend(n.client(allow("mlflow.test")), req)
			got := n.arrival(0)
			if got.credential != c.want || got.dialled != c.dialled {
				t.Errorf("credential %v at %q, want %v at %q", got.credential, got.dialled, c.want, c.dialled)
			}
			if c.host != "" && got.host != c.host {
				t.Errorf("the Host header is %q, not the caller's", got.host)
			}
			if req.Host != c.host {
				t.Error("the caller's request has changed")
			}
		})
	}
}

// TestHostMadeByHand: what net/url would refuse, put into a URL by hand.
func TestHostMadeByHand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		hosts []string
	}{
		{"S21: forbidden bytes and bad brackets", []string{
			`evil.test\@mlflow.test`, "mlflow.test%40evil.test", "evil.test%23.corp.test", "evil.test%2f.corp.test", "evil.test%00.corp.test", "evil.test%0a.corp.test",
			"evil.test\t.corp.test", "evil .corp.test", "[evil]", "[v1.x]", "[127.0.0.1]", "[::1].corp.test", "::1",
		}},
		{"S32: ports that do not parse", []string{"mlflow.test:+80", "mlflow.test:80:90", "mlflow.test:abc"}},
		{"S37: line ends and control characters", []string{
			"mlflow.test\r", "mlflow.test\n", "mlflow.test\r\nX: y", "mlflow.test\x00", "\x1b[31mmlflow.test", "x.\rcorp.test",
		}},
		{"S38: percent escapes", []string{"mlflow%2etest", "%6dlflow.test", "mlflow.test%"}},
		{"S39: parts of a URL inside Host", []string{"evil.test/.corp.test", "evil.test?.corp.test", "evil.test#.corp.test", "mlflow.test@evil.test"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, host := range c.hosts {
				n := newInternet(t)
				book := &warnBook{}
				r := &recorder{internet: n}
				rt := n.transport(allow("mlflow.test", "*.corp.test", "*"), through(r), logTo(book))
				resp, err := rt.RoundTrip(&http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: host, Path: "/path"}, Header: http.Header{}})
				if err == nil {
					resp.Body.Close()
				}
				if slices.Contains(r.seen, true) || slices.Contains(n.credentials(), true) || n.fetches.Load() != 0 {
					t.Errorf("%q: the credential has left, or was read", host)
				}
				if errors.As(err, new(*secretsauth.Error)) {
					t.Errorf("%q: the library fails the request, instead of passing it on", host)
				}
				if strings.ContainsFunc(book.everything(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
					t.Errorf("%q is logged with its control characters", host)
				}
			}
		})
	}
	t.Run("S39: an opaque URL, after a plain one of the same host", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		r := &recorder{internet: n}
		rt := n.transport(allow("*"), through(r))
		for _, opaque := range []string{"", "//evil.test/", ""} {
			u := &url.URL{Scheme: "http", Host: "mlflow.test", Opaque: opaque, Path: "/"}
			resp, err := rt.RoundTrip(&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}})
			if err == nil {
				resp.Body.Close()
			}
		}
		if !slices.Equal(r.seen, []bool{true, false, true}) {
			t.Errorf("credential %v", r.seen)
		}
	})
	t.Run("S21: no message repeats a password", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		book := &warnBook{}
		password := n.token[:12]
		n.token = n.token[12:]
		rt := n.transport(allow("mlflow.test"), logTo(book))
		for _, u := range []*url.URL{
			{Scheme: "http", Host: "user:" + password + "@evil.test"},
			{Scheme: "http", Host: "user:" + password + "@mlflow.test"},
			{Scheme: "http", User: url.UserPassword("user", password), Host: "evil.test"},
			{Scheme: "http", User: url.UserPassword("user", password), Host: "evil..test"},
			{Scheme: "http", Host: "evil.test", RawQuery: "sig=" + password},
			{Scheme: "http", Opaque: "//user:" + password + "@mlflow.test/"},
		} {
			if strings.Contains(compile(t, "mlflow.test").Explain(u).Reason, password) {
				t.Error("the reason shows the password")
			}
			resp, err := rt.RoundTrip(&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}})
			if err == nil {
				resp.Body.Close()
			}
		}
		if strings.Contains(book.everything(), password) {
			t.Error("the log shows the password")
		}
	})
}

func TestHostWithAnotherScheme(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"S36: a protocol that the transport has been taught": "ftp://mlflow.test/x",
		"S41: mlflow-artifacts":                              "mlflow-artifacts://mlflow.test/x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			r := &recorder{internet: n}
			u := parse(t, raw)
			n.base.RegisterProtocol(u.Scheme, protocol{})
			n.mustDo(n.client(allow("*"), through(r)), http.MethodGet, raw)
			if !slices.Equal(r.seen, []bool{false}) || n.fetches.Load() != 0 {
				t.Error("the credential has left, or was read")
			}
		})
	}
	t.Run("S35: no scheme", func(t *testing.T) {
		t.Parallel()
		for _, raw := range []string{"mlflow.test/", "mlflow.test:5000/x", "//mlflow.test/"} {
			n := newInternet(t)
			rt := n.transport(allow("*"))
			if _, err := n.do(&http.Client{Transport: rt}, http.MethodGet, raw); err == nil {
				t.Errorf("%q: no error", raw)
			}
			if len(n.arrivals) != 0 || n.fetches.Load() != 0 {
				t.Errorf("%q: a request is sent, or the store read", raw)
			}
			if reason := compile(t, "*").Explain(parse(t, raw)).Reason; !strings.Contains(reason, "scheme") {
				t.Errorf("%q: the reason does not name the scheme: %q", raw, reason)
			}
		}
	})
}

type protocol struct{}

func (protocol) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

// TestHostOfAnotherParty: an SDK that uses the same client for other hosts finds
// its requests unchanged.
func TestHostOfAnotherParty(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, url string
		header    http.Header
	}{
		{"S41: a presigned URL", "https://bucket.s3.amazonaws.com/a?X-Amz-Credential=AKID%2F20260101&X-Amz-Signature=00ff", http.Header{"X-Amz-Content-Sha256": {"UNSIGNED-PAYLOAD"}}},
		{"S42: IMDS", "http://169.254.169.254/metadata/identity/oauth2/token?resource=x", http.Header{"Metadata": {"true"}}},
		{"S42: OIDC", "https://login.microsoftonline.com/common/oauth2/v2.0/token", http.Header{"Authorization": {"Basic b3RoZXI6c2VjcmV0"}}},
		{"S42: another service's own token", "https://discovery.test/", http.Header{"Authorization": {"Bearer other"}, "X-Api-Key": {"k1", "k2"}, "x-api-key": {"k3"}}},
		{"S63: no header", "http://evil.test/", http.Header{}},
		{"S63: the caller's Authorization", "http://evil.test/", http.Header{"Authorization": {"Bearer mine"}, "authorization": {"Bearer mine too"}}},
		{"S63: a host that is no plain name", "http://.evil.test/", http.Header{"Authorization": {"Bearer mine"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var seen [2]http.Header
			for i := range seen {
				n := newInternet(t)
				client := n.client(allow("mlflow.test"))
				if i == 1 {
					client.Transport = n.base // without the library
				}
				req := n.request(http.MethodPost, c.url)
				req.Header = c.header.Clone()
				n.mustSend(client, req)
				if seen[i] = n.arrival(0).header; n.arrival(0).credential || n.fetches.Load() != 0 {
					t.Error("the credential has left, or was read")
				}
				if !maps.EqualFunc(req.Header, c.header, slices.Equal) {
					t.Error("the caller's headers have changed")
				}
			}
			for _, h := range seen {
				for _, values := range h {
					slices.Sort(values) // two spellings of one name arrive in any order
				}
			}
			if !maps.EqualFunc(seen[0], seen[1], slices.Equal) {
				t.Error("what arrives is not what arrives without the library")
			}
		})
	}
	t.Run("S41: a star sends it everywhere, and is warned of", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		book := &warnBook{}
		n.mustDo(n.client(allow("*"), logTo(book)), http.MethodGet, "https://bucket.s3.amazonaws.com/a?X-Amz-Signature=00ff")
		if !n.arrival(0).credential || len(book.all()) != 1 {
			t.Errorf("credential sent: %v; warnings: %q", n.arrival(0).credential, book.all())
		}
	})
}

func TestHostNotAllowedIsLoggedOnce(t *testing.T) {
	t.Parallel()
	n := newInternet(t)
	book := &warnBook{}
	client := n.client(allow("mlflow.test"), logTo(book))
	together(16, func(i int) {
		n.mustDo(client, http.MethodGet, []string{"http://external.example.com/", "https://EXTERNAL.example.com.:444/x"}[i%2])
	})
	n.mustDo(client, http.MethodGet, "http://other.example.com/")
	n.mustDo(client, http.MethodGet, "http://mlflow.test./") // allowed, over plain http
	want := []string{"Host not allowed: external.example.com", "Host not allowed: other.example.com", "Credential sent over plain http: mlflow.test"}
	if got := book.all(); !slices.Equal(got, want) {
		t.Errorf("S43: warnings %q, want %q", got, want)
	}
}

func TestHostOverPlainHTTP(t *testing.T) {
	t.Parallel()
	loopback := []string{"http://localhost:5000/", "http://127.0.0.1/", "http://127.8.9.10/", "http://[::1]:81/", "http://LOCALHOST./", "http://mlflow.localhost/", "http://[::ffff:127.0.0.1]/"}

	t.Run("S43: one warning per host", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		book := &warnBook{}
		client := n.client(allow("a.test", "b.test", "10.1.2.3", "0.0.0.0"), logTo(book))
		hosts := []string{"http://a.test/", "http://A.test.:81/x", "http://b.test/", "http://10.1.2.3:5000/", "http://[::ffff:10.1.2.3]/", "http://0.0.0.0/", "https://a.test/"}
		together(10*len(hosts), func(i int) { n.mustDo(client, http.MethodGet, hosts[i%len(hosts)]) })
		if slices.Contains(n.credentials(), false) {
			t.Error("a request goes without the credential")
		}
		got := book.all()
		slices.Sort(got)
		const what = "Credential sent over plain http: "
		if want := []string{what + "0.0.0.0", what + "10.1.2.3", what + "a.test", what + "b.test"}; !slices.Equal(got, want) {
			t.Errorf("warnings %q, want %q", got, want)
		}
	})
	t.Run("S43: none for loopback", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		book := &warnBook{}
		client := n.client(allow("localhost", "mlflow.localhost", "127.0.0.1", "127.8.9.10", "[::1]"), logTo(book))
		for _, u := range loopback {
			n.mustDo(client, http.MethodGet, u)
		}
		if slices.Contains(n.credentials(), false) || len(book.all()) != 0 {
			t.Errorf("credential %v, warnings %q", n.credentials(), book.all())
		}
	})
	t.Run("S43: a redirect from https does not count as sent", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		book := &warnBook{}
		n.answer = redirects(302, "http://a.test/")
		n.mustDo(n.client(allow("a.test"), logTo(book)), http.MethodGet, "https://a.test/")
		for _, w := range book.all() {
			if strings.Contains(w, "plain http") {
				t.Errorf("warning %q of what was withheld", w)
			}
		}
	})
	t.Run("S44: refused before any fetch with the TLS option", func(t *testing.T) {
		t.Parallel()
		for _, u := range []string{"http://a.test/", "http://a.test:443/", "http://10.1.2.3/", "http://0.0.0.0/", "http://localhost.evil.test/", "http://notlocalhost/"} {
			for _, patterns := range [][]string{{"*"}, {"http://a.test", "10.1.2.3", "0.0.0.0", "*.evil.test", "notlocalhost"}} {
				n := newInternet(t)
				r := &recorder{internet: n}
				rt := n.transport(allow(patterns...), through(r), requireTLS)
				body := &closeCounter{Reader: strings.NewReader("body")}
				req := n.request(http.MethodPost, u)
				req.Body, req.GetBody = body, nil
				resp, err := rt.RoundTrip(req)
				typed, ok := errors.AsType[*secretsauth.Error](err)
				if resp != nil || !ok || !errors.Is(err, secretsauth.ErrConfig) || typed.Fix == "" {
					t.Errorf("%q: the error is not an *Error of ErrConfig that says what to do: %v", u, err)
				}
				if body.closed != 1 {
					t.Errorf("%q: the body was closed %d times", u, body.closed)
				}
				if n.fetches.Load() != 0 || len(r.seen) != 0 || len(n.arrivals) != 0 {
					t.Errorf("%q: the store was read, or the request sent", u)
				}
			}
		}
	})
	t.Run("S44: https and loopback are not refused", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		client := n.client(allow("*"), requireTLS)
		for _, u := range append([]string{"https://a.test/", "https://a.test:80/"}, loopback...) {
			n.mustDo(client, http.MethodGet, u)
		}
		if slices.Contains(n.credentials(), false) {
			t.Errorf("credential %v", n.credentials())
		}
	})
	t.Run("S44: hosts that are not allowed are not refused", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.mustDo(n.client(allow("a.test"), requireTLS), http.MethodGet, "http://b.test/")
		if got := n.credentials(); !slices.Equal(got, []bool{false}) {
			t.Errorf("credential %v", got)
		}
	})
	t.Run("S44: a redirect from https is followed without the credential", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.answer = redirects(302, "http://a.test/")
		n.mustDo(n.client(allow("a.test"), requireTLS), http.MethodGet, "https://a.test/")
		if got := n.credentials(); !slices.Equal(got, []bool{true, false}) {
			t.Errorf("credential at each hop: %v", got)
		}
	})
}

func requireTLS(c *secretsauth.Config) { c.RequireTLS = true }

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error {
	c.closed++
	return nil
}

// TestHostBehindAProxy: the proxy stands on loopback and records what it sees.
func TestHostBehindAProxy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, url, host string
		proxySees       bool // the credential
		serverSees      bool
		withheld        uint64
	}{
		{"S46: http goes to the proxy in the clear", "http://mlflow.test/x", "", true, false, 0},
		{"S46: http to a host that is not allowed", "http://evil.test/x", "", false, false, 1},
		{"S46: https goes through CONNECT", "https://mlflow.test/x", "", false, true, 0},
		{"S46: http with another Host header, which the proxy would follow", "http://mlflow.test/x", "evil.test", false, false, 1},
		{"S46: http with the allowed Host header, to another URL", "http://evil.test/x", "mlflow.test", false, false, 1},
		{"S46: https with another Host header", "https://mlflow.test/x", "front.test", false, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			proxy := newProxy(t, n)
			roots := n.secure.Client().Transport.(*http.Transport).TLSClientConfig
			roots.ServerName = "example.com"
			base := &http.Transport{Proxy: http.ProxyURL(parse(t, proxy.URL)), TLSClientConfig: roots}
			defer base.CloseIdleConnections()
			rt := n.transport(allow("mlflow.test"), through(base))
			req := n.request(http.MethodGet, c.url)
			if c.host != "" {
				req.Host = c.host
			}
			n.mustSend(&http.Client{Transport: rt}, req)
			if proxy.credential() != c.proxySees {
				t.Errorf("the proxy sees the credential: %v, want %v", !c.proxySees, c.proxySees)
			}
			if got := slices.Contains(n.credentials(), true); got != c.serverSees {
				t.Errorf("the server behind it gets the credential: %v, want %v", got, c.serverSees)
			}
			if got := rt.Stats().Withheld; got != c.withheld {
				t.Errorf("withheld %d times, want %d", got, c.withheld)
			}
		})
	}
	t.Run("S46: userinfo of the proxy's URL stays the proxy's", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		proxy := newProxy(t, n)
		u := parse(t, proxy.URL)
		u.User = url.UserPassword("proxy", "password")
		base := &http.Transport{Proxy: http.ProxyURL(u)}
		defer base.CloseIdleConnections()
		n.mustDo(n.client(allow("mlflow.test"), through(base)), http.MethodGet, "http://mlflow.test/")
		if !strings.HasPrefix(proxy.seen[0].Get("Proxy-Authorization"), "Basic ") || proxy.seen[0].Get("Authorization") != "Bearer "+n.token {
			t.Error("the proxy does not get its own header, or not the request's")
		}
	})
}

type proxy struct {
	*httptest.Server
	n    *internet
	mu   sync.Mutex
	seen []http.Header
}

func newProxy(t *testing.T, n *internet) *proxy {
	p := &proxy{n: n}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) credential() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.seen, p.n.carries)
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, r.Header.Clone())
	p.mu.Unlock()
	if r.Method != http.MethodConnect {
		return // it answers 200 for everybody
	}
	server, err := net.Dial("tcp", p.n.secure.Listener.Addr().String())
	if err != nil {
		http.Error(w, "no server", http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	fmt.Fprint(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func(r *bufio.Reader) { _, _ = io.Copy(server, r); server.Close() }(buffered.Reader)
	_, _ = io.Copy(client, server)
}

// TestHostOfTheCallersHeader: what the caller has set before the transport runs.
func TestHostOfTheCallersHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		url    string
		header http.Header
		keep   bool
		want   string // "" for the credential
	}{
		{"S62: a placeholder is overwritten", "https://mlflow.test/", http.Header{"Authorization": {"Bearer placeholder"}}, false, ""},
		{"S62: several values in several spellings are overwritten", "https://mlflow.test/", http.Header{"Authorization": {"Bearer a", "Basic Yjpj"}, "authorization": {"Bearer b"}, "AUTHORIZATION": {"Bearer c"}}, false, ""},
		{"S62: userinfo of the URL is overwritten", "https://user:pass@mlflow.test/", http.Header{}, false, ""},
		{"S62: the caller's header is kept with the option", "https://mlflow.test/", http.Header{"Authorization": {"Bearer mine"}}, true, "Bearer mine"},
		{"S62: the caller's header in another spelling is kept with the option", "https://mlflow.test/", http.Header{"authorization": {"Bearer mine"}}, true, "Bearer mine"},
		{"S62: userinfo of the URL is kept with the option", "https://user:pass@mlflow.test/", http.Header{}, true, "Basic dXNlcjpwYXNz"},
		{"S62: without a header of the caller's the option changes nothing", "https://mlflow.test/", http.Header{}, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			client := n.client(allow("mlflow.test"), func(cfg *secretsauth.Config) { cfg.KeepCallerHeader = c.keep })
			req := n.request(http.MethodGet, c.url)
			req.Header = c.header.Clone()
			n.mustSend(client, req)
			want := c.want
			if want == "" {
				want = "Bearer " + n.token
			}
			if n.headerAt(0) != want {
				t.Error("the server does not get the header wanted, or not alone")
			}
			if kept := n.fetches.Load() == 0; kept != (c.want != "") {
				t.Errorf("the store was read %d times", n.fetches.Load())
			}
			if !maps.EqualFunc(req.Header, c.header, slices.Equal) {
				t.Error("the caller's headers have changed")
			}
		})
	}
	t.Run("S62: a custom header leaves the caller's Authorization", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.header = "X-Api-Key"
		req := n.request(http.MethodGet, "https://mlflow.test/")
		req.Header = http.Header{"Authorization": {"Bearer mine"}, "X-Api-Key": {"stale"}, "x-api-key": {"staler"}}
		n.mustSend(n.client(allow("mlflow.test")), req)
		if n.headerAt(0) != n.token || n.arrival(0).header.Get("Authorization") != "Bearer mine" {
			t.Error("the server does not get both")
		}
	})
}

// TestHostsReached: the odd hosts that may get the credential get it at the
// address that is meant.
func TestHostsReached(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, pattern, url, dialled string }{
		{"S29: a mapped address", "127.0.0.1", "http://[::ffff:127.0.0.1]:81/", "127.0.0.1:81"},
		{"S29: an unspecified address", "0.0.0.0", "http://0.0.0.0/", "0.0.0.0:80"},
		{"S30: upper case and a trailing dot", "mlflow.test", "http://MLFLOW.Test./", "mlflow.test:80"},
		{"S32: an empty port", "mlflow.test", "https://mlflow.test:/", "mlflow.test:443"},
		{"S33: a default port", "mlflow.test:443", "https://mlflow.test/", "mlflow.test:443"},
		{"S40: a path prefix", "mlflow.test", "https://mlflow.test/mlflow/api", "mlflow.test:443"},
		{"S58: an address in brackets", "[::1]:5000", "http://[::1]:5000/", "[::1]:5000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			n.mustDo(n.client(allow(c.pattern)), http.MethodGet, c.url)
			got := n.arrival(0)
			if !got.credential || plainAddr(t, got.dialled) != c.dialled {
				t.Errorf("credential %v at %q, want it at %q", got.credential, plainAddr(t, got.dialled), c.dialled)
			}
		})
	}
}

// plainAddr is an address given to a dialer in one spelling.
func plainAddr(tb testing.TB, addr string) string {
	tb.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		tb.Fatalf("dialled %q: %v", addr, err)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	return net.JoinHostPort(strings.TrimSuffix(strings.ToLower(host), "."), port)
}
