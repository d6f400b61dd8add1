package secretsauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

var redirectCodes = []int{301, 302, 303, 307, 308}

// TestRedirects follows chains of redirects with a real http.Client and says at
// which hop the server gets the credential: with every status, for GET and POST,
// in Authorization and in a header that net/http never strips.
func TestRedirects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		allow []string
		hops  []string // the first is asked for, the others are Locations
		want  []bool   // whether the hop gets the credential
	}{
		{"S1: another host", []string{"a.test"}, []string{"http://a.test/", "http://b.test/"}, []bool{true, false}},
		{"S1: another host over https", []string{"a.test"}, []string{"https://a.test/", "https://b.test/"}, []bool{true, false}},
		{"S1: another host that only looks alike", []string{"a.test"}, []string{"http://a.test/", "http://a.test.b.test/"}, []bool{true, false}},
		{"S2: another host twice", []string{"a.test"}, []string{"http://a.test/", "http://b.test/1", "http://b.test/2"}, []bool{true, false, false}},
		{"S2: another host twice, relative", []string{"*"}, []string{"http://a.test/", "http://b.test/1", "/2"}, []bool{true, false, false}},
		{"S3: there and back", []string{"a.test"}, []string{"http://a.test/1", "http://b.test/", "http://a.test/2"}, []bool{true, false, false}},
		{"S3: there and back, and within", []string{"*"}, []string{"http://a.test/1", "http://b.test/", "http://a.test/2", "/3"}, []bool{true, false, false, false}},
		{"S3: there and back, twice", []string{"*"}, []string{"http://a.test/1", "http://b.test/1", "http://a.test/2", "http://b.test/2"}, []bool{true, false, false, false}},
		{"S3: another scheme and back", []string{"*"}, []string{"https://a.test/1", "http://a.test/", "https://a.test/2"}, []bool{true, false, false}},
		{"S3: another port and back", []string{"*"}, []string{"http://a.test/1", "http://a.test:81/", "http://a.test/2"}, []bool{true, false, false}},
		{"S3: late", []string{"*"}, []string{"http://a.test/1", "/2", "/3", "http://b.test/", "http://a.test/4"}, []bool{true, true, true, false, false}},
		{"S4: another allowed host", []string{"a.test", "b.test"}, []string{"http://a.test/", "http://b.test/"}, []bool{true, false}},
		{"S4: another host under the same wildcard", []string{"*.corp.test"}, []string{"https://a.corp.test/", "https://b.corp.test/"}, []bool{true, false}},
		{"S4: another host under a star", []string{"*"}, []string{"http://a.test/", "http://b.test/"}, []bool{true, false}},
		{"S5: from a host that is not allowed", []string{"a.test"}, []string{"http://b.test/", "http://a.test/"}, []bool{false, false}},
		{"S5: from a host that is not allowed, and within", []string{"a.test"}, []string{"http://b.test/", "http://a.test/1", "/2"}, []bool{false, false, false}},
		{"S5: from another scheme that is not allowed", []string{"https://a.test"}, []string{"http://a.test/", "https://a.test/"}, []bool{false, false}},
		{"S5: from a host that is no plain name", []string{"*"}, []string{"http://.a.test/", "http://a.test/"}, []bool{false, false}},
		{"S6: https to http", []string{"a.test"}, []string{"https://a.test/", "http://a.test/"}, []bool{true, false}},
		{"S6: https to http on the same port", []string{"a.test"}, []string{"https://a.test:8443/", "http://a.test:8443/"}, []bool{true, false}},
		{"S7: http to https", []string{"a.test"}, []string{"http://a.test/", "https://a.test/"}, []bool{true, false}},
		{"S8: another port", []string{"a.test"}, []string{"http://a.test/", "http://a.test:81/"}, []bool{true, false}},
		{"S8: another port over https", []string{"a.test"}, []string{"https://a.test/", "https://a.test:8443/"}, []bool{true, false}},
		{"S8: the default port of https, spelled out", []string{"a.test"}, []string{"https://a.test/", "https://a.test:443/", "https://a.test:/"}, []bool{true, true, true}},
		{"S8: the default port of http, spelled out", []string{"a.test"}, []string{"http://a.test:80/", "http://a.test/"}, []bool{true, true}},
		{"S8: a port spelled with a leading zero", []string{"a.test"}, []string{"http://a.test/", "http://a.test:080/"}, []bool{true, false}},
		{"S8: the same origin throughout", []string{"a.test:81"}, []string{"http://a.test:81/", "/1", "http://a.test:81/2", "2?x=y", "http://A.TEST.:81/"}, []bool{true, true, true, true, true}},
		{"S9: from a subdomain to the apex", []string{"*.a.test", "a.test"}, []string{"http://sub.a.test/", "http://a.test/"}, []bool{true, false}},
		{"S9: from the apex to a subdomain", []string{"*.a.test", "a.test"}, []string{"http://a.test/", "http://sub.a.test/"}, []bool{true, false}},
		{"S10: no scheme", []string{"*"}, []string{"http://a.test/", "//b.test/x"}, []bool{true, false}},
		{"S10: no scheme, the origin", []string{"*"}, []string{"http://a.test/", "//a.test/x"}, []bool{true, true}},
		{"S10: no scheme, with userinfo", []string{"a.test"}, []string{"http://a.test/", "//a.test@b.test/x"}, []bool{true, false}},
		{"S10: a leading space", []string{"*"}, []string{"http://a.test/", " http://b.test"}, []bool{true, false}},
		{"S10: a scheme in upper case", []string{"*"}, []string{"http://a.test/", "HTTP://b.test"}, []bool{true, false}},
		{"S10: a scheme in upper case, the origin", []string{"*"}, []string{"http://a.test/", "HTTP://a.test"}, []bool{true, true}},
		{"S11: backslashes stay on the origin", []string{"a.test"}, []string{"http://a.test/", `\\b.test`}, []bool{true, true}},
		{"S11: a slash and a backslash stay on the origin", []string{"a.test"}, []string{"http://a.test/", `/\b.test`}, []bool{true, true}},
		{"S12: userinfo, to the origin", []string{"a.test"}, []string{"http://a.test/", "http://user:pass@a.test/"}, []bool{true, true}},
		{"S12: userinfo, to another host", []string{"*"}, []string{"http://a.test/", "http://user:pass@b.test/"}, []bool{true, false}},
		{"S26: a host that Unicode lower-cases to the origin", []string{"*"}, []string{"http://mini.test/", "http://m\u0130ni.test/"}, []bool{true, false}},
		{"S27: an IPv6 zone that looks like a subdomain", []string{"*"}, []string{"http://a.test/", "http://[::1%25.a.test]/", "http://a.test/"}, []bool{true, false, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, header := range []string{"Authorization", "X-Api-Key"} { // the second is S13
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					for _, code := range redirectCodes {
						n := newInternet(t)
						n.header = header
						n.answer = redirects(code, c.hops[1:]...)
						resp, err := n.do(n.client(allow(c.allow...)), method, c.hops[0])
						if err != nil || resp.StatusCode != http.StatusOK {
							t.Fatalf("%s, %s, %d: the chain does not end: %v", header, method, code, err)
						}
						if got := n.credentials(); !slices.Equal(got, c.want) {
							t.Errorf("%s, %s, %d: credential at each hop: %v, want %v", header, method, code, got, c.want)
						}
						if n.carries(resp.Request.Header) {
							t.Errorf("%s, %s, %d: the response's request shows the credential", header, method, code)
						}
						want := int64(0)
						if slices.Contains(c.want, true) {
							want = 1
						}
						if got := n.fetches.Load(); got != want {
							t.Errorf("%s, %s, %d: the store was read %d times, want %d", header, method, code, got, want)
						}
						n.close()
					}
				}
			}
		})
	}
}

func TestRedirectToNowhere(t *testing.T) {
	t.Parallel()
	for name, location := range map[string]string{
		"S11: an opaque URL":         "http:b.test",
		"S11: no host":               "https:///b.test",
		"S11: no host, http":         "http:///a.test",
		"S11: another scheme":        "ftp://a.test/",
		"S11: a host with a tab":     "http://a.test\t.b.test/",
		"S11: a host with a percent": "http://a.test%2f.b.test/",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			n.answer = redirects(302, location)
			_, err := n.do(n.client(allow("*")), http.MethodGet, "http://a.test/")
			if err == nil {
				t.Fatal("no error")
			}
			if errors.As(err, new(*secretsauth.Error)) {
				t.Error("the error is not net/http's own")
			}
			if strings.Contains(err.Error(), n.token) {
				t.Error("the error shows the credential")
			}
			if got := n.credentials(); !slices.Equal(got, []bool{true}) {
				t.Errorf("credential at each hop: %v, want only the first", got)
			}
		})
	}
}

func TestRedirectWithUserinfo(t *testing.T) {
	t.Parallel()
	const location = "http://user:pass@a.test/2"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:pass"))
	keep := func(c *secretsauth.Config) { c.KeepCallerHeader = true }

	t.Run("S12: the header made from it is overwritten", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.answer = redirects(302, location)
		n.mustDo(n.client(allow("a.test")), http.MethodGet, "http://a.test/1")
		if n.headerAt(1) != "Bearer "+n.token {
			t.Error("the second hop does not have the credential, or not alone")
		}
	})
	t.Run("S12: the keep option does not apply to it", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.answer = redirects(307, location)
		n.mustDo(n.client(allow("a.test"), keep), http.MethodPost, "http://a.test/1")
		if n.headerAt(0) != "Bearer "+n.token || n.headerAt(1) != "Bearer "+n.token {
			t.Error("a hop does not have the credential, or not alone")
		}
	})
	t.Run("S12: the keep option does not apply to it later in the chain", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.answer = redirects(302, location, "/3")
		n.mustDo(n.client(allow("a.test"), keep), http.MethodGet, "http://a.test/1")
		if n.headerAt(2) != "Bearer "+n.token {
			t.Error("the third hop does not have the credential, or not alone")
		}
	})
	t.Run("S12: the caller's own header is kept on every hop with the option", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.answer = redirects(302, location, "/3")
		req := n.request(http.MethodGet, "http://a.test/1")
		req.Header.Set("Authorization", "Bearer mine")
		n.mustSend(n.client(allow("a.test"), keep), req)
		for hop := range 3 {
			if n.headerAt(hop) != "Bearer mine" {
				t.Errorf("hop %d does not have the caller's header", hop)
			}
		}
		if n.fetches.Load() != 0 {
			t.Error("the store was read")
		}
	})
	t.Run("S12: on another host it is left", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.answer = redirects(302, "http://user:pass@b.test/")
		n.mustDo(n.client(allow("*")), http.MethodGet, "http://a.test/1")
		if n.headerAt(1) != basic {
			t.Error("the second hop does not have what its Location says")
		}
	})
}

func TestRedirectCopiesTheCallersHeadersOnly(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"X-Api-Key", "Authorization", "X-Databricks-Token"} {
		t.Run("S13: "+name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			n.header = name
			n.answer = redirects(302, "http://b.test/")
			req := n.request(http.MethodGet, "http://a.test/")
			req.Header.Set("X-Mine", "1")
			before := maps.Clone(req.Header)
			n.mustSend(n.client(allow("*")), req)
			if !maps.EqualFunc(req.Header, before, slices.Equal) {
				t.Error("the caller's headers have changed")
			}
			if got := n.credentials(); !slices.Equal(got, []bool{true, false}) {
				t.Errorf("credential at each hop: %v", got)
			}
			if n.arrival(1).header.Get("X-Mine") != "1" {
				t.Error("the caller's own header has not travelled")
			}
		})
	}
}

// TestRedirectAddsOneHeader compares what arrives with what arrives without the
// library.
func TestRedirectAddsOneHeader(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Authorization", "X-Api-Key"} {
		t.Run("S14: "+name, func(t *testing.T) {
			t.Parallel()
			hops := []string{"http://a.test/", "/2", "http://b.test/", "http://a.test/3"}
			var seen [2][]arrival
			for i := range seen {
				n := newInternet(t)
				n.header = name
				n.answer = redirects(307, hops[1:]...)
				client := n.client(allow("*"))
				if i == 1 {
					client.Transport = n.base
				}
				n.mustDo(client, http.MethodPost, hops[0])
				seen[i] = n.arrivals
			}
			for hop := range hops {
				with, without := seen[0][hop].header.Clone(), seen[1][hop].header
				if with.Get("Proxy-Authorization") != "" {
					t.Errorf("hop %d has Proxy-Authorization", hop)
				}
				if (with.Get(name) != "") != (hop < 2) {
					t.Errorf("hop %d: the header is there: %v", hop, hop >= 2)
				}
				with.Del(name)
				if !maps.EqualFunc(with, without, slices.Equal) {
					t.Errorf("hop %d: other headers differ too", hop)
				}
			}
		})
	}
	t.Run("S14: Proxy-Authorization is refused as the name", func(t *testing.T) {
		t.Parallel()
		_, err := newTransport(secretsauth.Static(secretsauth.NewToken(canary.New())),
			secretsauth.Config{AllowedHosts: []string{"a.test"}, HeaderName: "proxy-authorization"})
		if !errors.Is(err, secretsauth.ErrConfig) {
			t.Errorf("error %v", err)
		}
	})
}

func TestRedirectDecisionReadsOnlyTheURLs(t *testing.T) {
	t.Parallel()
	t.Run("S15: CheckRedirect edits headers and Host", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.answer = redirects(302, "http://b.test/", "http://a.test/2")
		client := n.client(allow("*"))
		client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
			req.Host = "a.test"
			req.Header.Set("Host", "a.test")
			req.Header.Set("Referer", "http://a.test/")
			req.Header.Set("Authorization", "Bearer placeholder")
			req.Header.Set("X-Forwarded-Host", "a.test")
			return nil
		}
		n.mustDo(client, http.MethodGet, "http://a.test/1")
		if got := n.credentials(); !slices.Equal(got, []bool{true, false, false}) {
			t.Errorf("credential at each hop: %v", got)
		}
		if n.headerAt(1) != "Bearer placeholder" {
			t.Error("another host does not get what CheckRedirect has set")
		}
	})
	t.Run("S15: CheckRedirect removes headers within the origin", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.answer = redirects(307, "/2")
		client := n.client(allow("a.test"))
		client.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
			req.Header = http.Header{}
			return nil
		}
		n.mustDo(client, http.MethodPost, "http://a.test/1")
		if got := n.credentials(); !slices.Equal(got, []bool{true, true}) {
			t.Errorf("credential at each hop: %v", got)
		}
	})
	t.Run("S15: a relative redirect keeps a custom Host", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.answer = redirects(302, "/2", "http://b.test/", "/3")
		req := n.request(http.MethodGet, "http://a.test/1")
		req.Host = "front.test"
		n.mustSend(n.client(allow("a.test", "b.test")), req)
		if got := n.credentials(); !slices.Equal(got, []bool{true, true, false, false}) {
			t.Errorf("credential at each hop: %v", got)
		}
		if n.arrival(0).host != "front.test" || n.arrival(1).host != "front.test" {
			t.Error("the Host header is not the caller's")
		}
	})
	t.Run("S15: a custom Host that is the allowed one", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.answer = redirects(302, "/2")
		req := n.request(http.MethodGet, "http://b.test/1")
		req.Host = "a.test"
		n.mustSend(n.client(allow("a.test")), req)
		if got := n.credentials(); !slices.Equal(got, []bool{false, false}) {
			t.Errorf("credential at each hop: %v", got)
		}
	})
}

func TestRedirectWithoutAClient(t *testing.T) {
	t.Parallel()
	t.Run("S16: every request is a chain of its own", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		rt := n.transport(allow("a.test", "c.test"))
		for _, u := range []string{"http://a.test/", "http://b.test/", "http://a.test/", "https://a.test/", "http://c.test/"} {
			resp, err := rt.RoundTrip(n.request(http.MethodGet, u))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		if got := n.credentials(); !slices.Equal(got, []bool{true, false, true, true, true}) {
			t.Errorf("credential: %v", got)
		}
	})
	t.Run("S16: a redirect is returned, not followed", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.answer = redirects(302, "http://b.test/")
		resp, err := n.transport(allow("a.test")).RoundTrip(n.request(http.MethodGet, "http://a.test/"))
		if err != nil || resp.StatusCode != 302 || len(n.arrivals) != 1 {
			t.Fatalf("%d requests, %v", len(n.arrivals), err)
		}
		resp.Body.Close()
	})
	t.Run("S16: a chain that does not reach its beginning gets none", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		rt := n.transport(allow("a.test"))
		ring := n.request(http.MethodGet, "http://a.test/")
		ring.Response = &http.Response{Request: ring}
		torn := n.request(http.MethodGet, "http://a.test/")
		torn.Response = &http.Response{}
		noURL := n.request(http.MethodGet, "http://a.test/")
		noURL.Response = &http.Response{Request: &http.Request{}}
		for _, req := range []*http.Request{ring, torn, noURL} {
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		if got := n.credentials(); !slices.Equal(got, []bool{false, false, false}) {
			t.Errorf("credential: %v", got)
		}
	})
}

func TestRedirectThatIsNotFollowed(t *testing.T) {
	t.Parallel()
	type body struct{ io.Reader } // hides its type: NewRequest sets no GetBody
	for _, c := range []struct {
		name string
		code int
		body io.Reader
	}{
		{"S17: 307 with a body that cannot be had again", 307, body{strings.NewReader("x")}},
		{"S17: 308 with a body that cannot be had again", 308, body{strings.NewReader("x")}},
		{"S17: 300", 300, nil},
		{"S17: 304", 304, nil},
		{"S17: 305", 305, nil},
		{"S17: 306", 306, nil},
		{"S17: 399", 399, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			n.answer = redirects(c.code, "http://a.test/2", "http://a.test/3")
			rt := n.transport(allow("a.test"))
			client := &http.Client{Transport: rt}
			for i := range 2 {
				n.answer = redirects(c.code, "http://a.test/2", "http://a.test/3")
				req, err := http.NewRequest(http.MethodPost, "http://a.test/1", c.body)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != c.code || resp.Header.Get("Location") != "http://a.test/2" || len(n.arrivals) != i+1 {
					t.Errorf("the response is not the server's own: status %d, %d requests", resp.StatusCode, len(n.arrivals))
				}
			}
			if s := rt.Stats(); s.Rejections != 0 || s.Retries != 0 || n.fetches.Load() != 1 {
				t.Errorf("it counts as a rejection: %+v", s)
			}
		})
	}
}

func TestRedirectRefusedHopDoesNotReadTheStore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		hops []string
	}{
		{"S18: a refused host", []string{"http://b.test/"}},
		{"S18: a refused host that answers 401", []string{"http://b.test/unauthorized"}},
		{"S18: refused hosts only", []string{"http://b.test/", "http://c.test/"}},
		{"S18: an allowed host at the end of a refused chain", []string{"http://b.test/", "http://a.test/"}},
		{"S18: an allowed host that answers 401 at the end of a refused chain", []string{"http://b.test/", "http://a.test/unauthorized"}},
		{"S18: no plain host", []string{"http://a.test:0/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t)
			n.answer = redirects(302, c.hops[1:]...)
			rt := n.transport(allow("a.test"))
			n.mustDo(&http.Client{Transport: rt}, http.MethodGet, c.hops[0])
			if n.fetches.Load() != 0 {
				t.Errorf("the store was read %d times", n.fetches.Load())
			}
			if s := rt.Stats(); s.Withheld != uint64(len(c.hops)) || s.Rejections != 0 || s.Misses != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
	t.Run("S18: a refused hop after an allowed one, with an empty cache", func(t *testing.T) {
		t.Parallel()
		n := newInternet(t)
		n.answer = redirects(302, "http://b.test/unauthorized")
		rt := n.transport(allow("*"))
		client := &http.Client{Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error {
			rt.ClearCache()
			return nil
		}}
		n.mustDo(client, http.MethodGet, "http://a.test/")
		if n.fetches.Load() != 1 {
			t.Errorf("the store was read %d times, want once for the first hop", n.fetches.Load())
		}
	})
}

// internet is a plain and a TLS server on loopback that stand for every host.
// Its dialers take any name to one of them, and remember by which name they were
// asked.
type internet struct {
	testing.TB
	token   string // the canary
	fetches atomic.Int64
	header  string // the name of the header that carries the credential
	base    *http.Transport
	// answer is called with the number of the request, from 0.
	answer func(n int, w http.ResponseWriter, r *http.Request)

	plain, secure *httptest.Server

	mu       sync.Mutex
	dialled  map[string]string // by the connection's local address
	arrivals []arrival
}

// arrival is a request as a server gets it.
type arrival struct {
	dialled, host string
	header        http.Header
	credential    bool
}

func newInternet(tb testing.TB) *internet {
	n := &internet{TB: tb, token: canary.New(), header: "Authorization", dialled: map[string]string{}}
	n.plain = httptest.NewServer(n)
	n.secure = httptest.NewTLSServer(n)
	roots := x509.NewCertPool()
	roots.AddCert(n.secure.Certificate())
	n.base = &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return n.dial(ctx, n.plain, addr) },
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			conn, err := n.dial(ctx, n.secure, addr)
			if err != nil {
				return nil, err
			}
			return tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "example.com"}), nil
		},
	}
	tb.Cleanup(n.close)
	return n
}

func (n *internet) close() {
	n.base.CloseIdleConnections()
	n.plain.Close()
	n.secure.Close()
}

func (n *internet) dial(ctx context.Context, server *httptest.Server, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dialled[conn.LocalAddr().String()] = addr
	return conn, nil
}

func (n *internet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	n.mu.Lock()
	number := len(n.arrivals)
	n.arrivals = append(n.arrivals, arrival{
		dialled:    n.dialled[r.RemoteAddr],
		host:       r.Host,
		header:     r.Header.Clone(),
		credential: n.carries(r.Header) || strings.Contains(r.RequestURI, n.token),
	})
	n.mu.Unlock()
	if n.answer != nil {
		n.answer(number, w, r)
	}
}

// redirects answers the first requests with these Locations and the others with
// 200, or 401 if the path says so.
func redirects(code int, locations ...string) func(int, http.ResponseWriter, *http.Request) {
	var next atomic.Int64
	return func(_ int, w http.ResponseWriter, r *http.Request) {
		switch n := int(next.Add(1)) - 1; {
		case n < len(locations):
			w.Header().Set("Location", locations[n])
			w.WriteHeader(code)
		case r.URL.Path == "/unauthorized":
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
}

// carries reports whether h shows the credential, in whatever field.
func (n *internet) carries(h http.Header) bool {
	for _, values := range h {
		for _, v := range values {
			plain, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(v, "Basic "))
			if strings.Contains(v, n.token) || strings.Contains(string(plain), n.token) {
				return true
			}
		}
	}
	return false
}

func (n *internet) credentials() []bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []bool
	for _, a := range n.arrivals {
		all = append(all, a.credential)
	}
	return all
}

func (n *internet) arrival(hop int) arrival {
	n.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if hop >= len(n.arrivals) {
		n.Fatalf("only %d requests have arrived", len(n.arrivals))
	}
	return n.arrivals[hop]
}

// headerAt is the credential's header at a hop, if it has exactly one value.
// Never print it.
func (n *internet) headerAt(hop int) string {
	n.Helper()
	if values := n.arrival(hop).header.Values(n.header); len(values) == 1 {
		return values[0]
	}
	return ""
}

func (n *internet) provider() secretsauth.Provider {
	return secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) {
		n.fetches.Add(1)
		return secretsauth.NewToken(n.token), nil
	})
}

func (n *internet) transport(change ...func(*secretsauth.Config)) *secretsauth.Transport {
	n.Helper()
	cfg := secretsauth.Config{HeaderName: n.header, Base: n.base}
	for _, c := range change {
		c(&cfg)
	}
	rt, err := newTransport(n.provider(), cfg)
	if err != nil {
		n.Fatal(err)
	}
	return rt
}

func (n *internet) client(change ...func(*secretsauth.Config)) *http.Client {
	n.Helper()
	return &http.Client{Transport: netted{n.transport(change...)}}
}

func allow(hosts ...string) func(*secretsauth.Config) {
	return func(c *secretsauth.Config) { c.AllowedHosts = hosts }
}

// request has a body that can be had again, unless it is a GET.
func (n *internet) request(method, u string) *http.Request {
	n.Helper()
	var body io.Reader
	if method != http.MethodGet {
		body = strings.NewReader("body")
	}
	req, err := http.NewRequest(method, u, body)
	if err != nil {
		n.Fatal(err)
	}
	return req
}

func (n *internet) do(client *http.Client, method, u string) (*http.Response, error) {
	n.Helper()
	resp, err := client.Do(n.request(method, u))
	if err != nil {
		return nil, err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp, resp.Body.Close()
}

func (n *internet) mustDo(client *http.Client, method, u string) {
	n.Helper()
	n.mustSend(client, n.request(method, u))
}

func (n *internet) mustSend(client *http.Client, req *http.Request) {
	n.Helper()
	resp, err := client.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		n.Fatalf("the request failed: %v", err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

// warnBook keeps what is logged at WARN and above, as "message", and all of it.
type warnBook struct {
	mu       sync.Mutex
	messages []string
	text     strings.Builder // with the attributes
}

func (b *warnBook) logger() *slog.Logger { return slog.New(b) }

func (*warnBook) Enabled(context.Context, slog.Level) bool { return true }
func (b *warnBook) WithAttrs([]slog.Attr) slog.Handler     { return b }
func (b *warnBook) WithGroup(string) slog.Handler          { return b }

func (b *warnBook) Handle(_ context.Context, r slog.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Level >= slog.LevelWarn {
		b.messages = append(b.messages, r.Message)
	}
	b.text.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b.text, " %s=%v", a.Key, a.Value)
		return true
	})
	return nil
}

func (b *warnBook) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.messages)
}

func (b *warnBook) everything() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
