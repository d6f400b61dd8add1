package secretsauth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
)

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	const (
		auto   = secretsauth.AuthAuto
		bearer = secretsauth.AuthBearer
		basic  = secretsauth.AuthBasic
	)
	b64 := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	parsed := func(raw string) secretsauth.Secret {
		s, err := secretsauth.ParseSecret([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	token, pair, both := secretsauth.NewToken("abc"), secretsauth.NewUserPassword("u", "p"), parsed(`{"token":"abc","username":"u","password":"p"}`)
	for _, test := range []struct {
		name   string
		secret secretsauth.Secret
		mode   secretsauth.AuthMode
		header string
		want   string // empty: refused
	}{
		{"auto, token", token, auto, "", "Bearer abc"},
		{"auto, pair", pair, auto, "", b64("u:p")},
		{"S84 auto, both: the token", both, auto, "", "Bearer abc"},
		{"S84 basic, both: the pair", both, basic, "", b64("u:p")},
		{"auto, bare user:password", parsed("u:p"), auto, "", b64("u:p")},
		{"bearer, token", token, bearer, "", "Bearer abc"},
		{"bearer, bare user:password, whole", parsed("u:p:q"), bearer, "", "Bearer u:p:q"},
		{"bearer, pair", pair, bearer, "", ""},
		{"basic, pair", pair, basic, "", b64("u:p")},
		{"basic, token user:password", secretsauth.NewToken("u:p:q"), basic, "", b64("u:p:q")},
		{"basic, token", token, basic, "", ""},
		{"auto, token with a colon", secretsauth.NewToken("u:p"), auto, "", "Bearer u:p"},
		{"basic, outside ASCII", secretsauth.NewUserPassword("ü", "pä"), basic, "", b64("ü:pä")},
		{"hint basic", secretsauth.NewToken("u:p").WithMode(basic), auto, "", b64("u:p")},
		{"hint bearer", parsed("u:p").WithMode(bearer), auto, "", "Bearer u:p"},
		{"Config wins over the hint", token.WithMode(basic), bearer, "", "Bearer abc"},

		{"S85 Bearer stored with the token", secretsauth.NewToken("Bearer abc"), auto, "", "Bearer abc"},
		{"S85 bearer in lower case, two spaces", secretsauth.NewToken("bearer  abc"), auto, "", "Bearer abc"},
		{"S85 Basic stored with the token", secretsauth.NewToken("Basic dTpw"), auto, "", ""},
		{"S85 Bearer Basic", secretsauth.NewToken("Bearer Basic dTpw"), auto, "", ""},
		{"S85 a token that only begins like it", secretsauth.NewToken("Bearerabc"), auto, "", "Bearer Bearerabc"},
		{"S74 S85 Bearer alone", secretsauth.NewToken("Bearer "), auto, "", ""},
		{"S74 nothing", secretsauth.Secret{}, auto, "", ""},
		{"S74 empty token", secretsauth.NewToken(" \n"), auto, "", ""},
		{"empty password", secretsauth.NewUserPassword("u", ""), auto, "", ""},
		{"S77 colon in the username", secretsauth.NewUserPassword("u:v", "p"), auto, "", ""},
		{"S78 line end inside the password", secretsauth.NewUserPassword("u", "p\r\nq"), auto, "", ""},
		{"S73 line end inside the token", secretsauth.NewToken("a\nb"), auto, "", ""},
		{"S73 line end inside, custom header", secretsauth.NewToken("a\nb"), auto, "X-Api-Key", ""},
		{"S76 outside ASCII, custom header", secretsauth.NewToken("é"), auto, "X-Api-Key", ""},

		{"custom header, token", token, auto, "X-Api-Key", "abc"},
		{"custom header, bearer", token, bearer, "x-api-key", "abc"},
		{"custom header, Bearer stored with it", secretsauth.NewToken("Bearer abc"), auto, "X-Api-Key", "Bearer abc"},
		{"custom header, bare user:password", parsed("u:p"), auto, "X-Api-Key", "u:p"},
		{"custom header, pair", pair, auto, "X-Api-Key", b64("u:p")},
		{"custom header, basic", secretsauth.NewToken("u:p"), basic, "X-Api-Key", b64("u:p")},
		{"Authorization in another case", token, auto, "authorization", "Bearer abc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			name := "Authorization"
			if test.header != "" {
				name = test.header
			}
			var got []string
			sent := false
			rt, err := secretsauth.NewTransport(secretsauth.Static(test.secret), secretsauth.Config{
				AllowedHosts: []string{"mlflow.test"}, Mode: test.mode, HeaderName: test.header,
				Base: roundTripper(func(req *http.Request) (*http.Response, error) {
					sent, got = true, req.Header.Values(name)
					return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://mlflow.test/", nil)
			resp, err := rt.RoundTrip(req)
			if test.want == "" {
				if !errors.Is(err, secretsauth.ErrInvalidSecret) || sent {
					t.Fatalf("error %v, sent %v; want ErrInvalidSecret, unsent", err, sent)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if len(got) != 1 || got[0] != test.want {
				t.Errorf("%d values, and not the one that was wanted", len(got))
			}
		})
	}
}

func TestASharedCacheServesEveryMode(t *testing.T) {
	t.Parallel()
	both, err := secretsauth.ParseSecret([]byte(`{"token":"abc","username":"u","password":"p"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		secret secretsauth.Secret
		mode   secretsauth.AuthMode
		kind   error
	}{
		{"bearer", both, secretsauth.AuthBearer, nil},
		{"basic", both, secretsauth.AuthBasic, nil},
		{"basic of a token", secretsauth.NewToken("abc"), secretsauth.AuthBasic, secretsauth.ErrInvalidSecret},
	} {
		cache := secretsauth.NewCache(secretsauth.Static(test.secret), secretsauth.Config{})
		rt, err := secretsauth.NewTransport(cache, secretsauth.Config{AllowedHosts: []string{"*"}, Mode: test.mode})
		if err != nil {
			t.Fatal(err)
		}
		if err := rt.Warm(t.Context()); !errors.Is(err, test.kind) {
			t.Errorf("%s: %v, want %v", test.name, err, test.kind)
		}
	}
}

func TestS86HeaderNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Host", "Content-Length", "content-length", "Transfer-Encoding", "Proxy-Authorization", "Cookie", "Connection",
		"X Api Key", "X-Api-Key:", "X-Api-Key\r\nEvil", "Ünïcode", "\x00",
	} {
		_, err := secretsauth.NewTransport(secretsauth.Static(secretsauth.NewToken("t")), secretsauth.Config{AllowedHosts: []string{"*"}, HeaderName: name})
		if !errors.Is(err, secretsauth.ErrConfig) || !strings.Contains(err.Error(), "MLFLOW_AUTH_HEADER_NAME") {
			t.Errorf("S14 %q: %v, want ErrConfig that names the variable", name, err)
		}
	}
}

// The caller's request.

// readCloseCounter is a body that counts how often it is closed.
type readCloseCounter struct {
	io.Reader
	closed int
}

func (r *readCloseCounter) Close() error { r.closed++; return nil }

func TestS70TheBodyIsClosedOnceOnEveryPath(t *testing.T) {
	t.Parallel()
	closing := func(code int) roundTripper { // as the contract wants
		return func(req *http.Request) (*http.Response, error) {
			if req.Body != nil {
				_ = req.Body.Close()
			}
			return &http.Response{StatusCode: code, Body: http.NoBody}, nil
		}
	}
	for _, test := range []struct {
		name   string
		url    string
		base   http.RoundTripper
		store  error
		tls    bool
		header bool
	}{
		{name: "sent", url: "https://mlflow.test/", base: closing(200)},
		{name: "rejected", url: "https://mlflow.test/", base: closing(401)},
		{name: "host not allowed", url: "https://other.test/", base: closing(200)},
		{name: "the store fails", url: "https://mlflow.test/", base: closing(200), store: down()},
		{name: "S44 TLS required", url: "http://mlflow.test/", base: closing(200), tls: true},
		{name: "the base fails", url: "https://mlflow.test/", base: roundTripper(func(req *http.Request) (*http.Response, error) {
			_ = req.Body.Close()
			return nil, errors.New("reset")
		})},
		{name: "S108 the base returns nothing", url: "https://mlflow.test/", base: roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, nil //nolint:nilnil // a base that breaks its contract
		})},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			store := &fakeStore{}
			store.put("abc")
			store.fail(test.store)
			rt, err := secretsauth.NewTransport(store, secretsauth.Config{AllowedHosts: []string{"mlflow.test"}, Base: test.base, RequireTLS: test.tls})
			if err != nil {
				t.Fatal(err)
			}
			body := &readCloseCounter{Reader: strings.NewReader("x")}
			req, _ := http.NewRequest(http.MethodPost, test.url, body)
			if resp, err := rt.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
				if resp.Request != req {
					t.Error("S157 resp.Request is not the caller's")
				}
			}
			if body.closed != 1 {
				t.Errorf("the body was closed %d times", body.closed)
			}
		})
	}
	t.Run("S67 no URL", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		body := &readCloseCounter{Reader: strings.NewReader("x")}
		if _, err := w.rt.RoundTrip(&http.Request{Body: body}); !errors.Is(err, secretsauth.ErrConfig) || body.closed != 1 { //nolint:bodyclose // it fails
			t.Errorf("%v; closed %d times", err, body.closed)
		}
	})
}

func TestS66S69TheCallersRequestIsNotModified(t *testing.T) {
	t.Parallel()
	for _, header := range []http.Header{
		nil,
		{},
		{"Accept": {"a", "b"}, "X-Mlflow-Workspace": {"team"}},
		{"Authorization": {"Bearer placeholder"}},
		{"authorization": {"one", "two"}, "AUTHORIZATION": {"three"}},
	} {
		w := newWorld(t)
		req, _ := http.NewRequest(http.MethodGet, "https://mlflow.test/path?q=1", nil)
		req.Header = header
		before, url := header.Clone(), *req.URL
		for range 2 {
			resp, err := w.rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.Request != req {
				t.Error("S157 resp.Request is not the caller's")
			}
			w.rotate() // and the replay leaves it alone too
		}
		if len(req.Header) != len(before) || *req.URL != url || (req.Header == nil) != (before == nil) {
			t.Error("the request was changed")
		}
		for name, values := range before {
			if strings.Join(req.Header[name], ",") != strings.Join(values, ",") {
				t.Errorf("header %s was changed", name)
			}
		}
	}
}

func TestS62S64S65S71WhatTheServerGetsOfTheCallersHeaders(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		in   http.Header
	}{
		{"S62 a token", http.Header{"Authorization": {"Bearer placeholder"}}},
		{"S64 an empty Bearer", http.Header{"Authorization": {"Bearer "}}},
		{"S64 an empty value", http.Header{"Authorization": {""}}},
		{"S64 no value", http.Header{"Authorization": {}}},
		{"S65 several values", http.Header{"Authorization": {"one", "two"}}},
		{"S65 other cases", http.Header{"authorization": {"one"}, "AUTHORIZATION": {"two"}, "Authorization": {"three"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got http.Header
			w := newWorld(t, func(c *secretsauth.Config) {
				c.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
					got = req.Header.Clone()
					return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
				})
			})
			req, _ := http.NewRequest(http.MethodGet, "https://mlflow.test/", nil)
			req.Header = test.in
			req.Header["X-Mlflow-Workspace"] = []string{"team"}
			resp, err := w.rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if len(got) != 2 || len(got["Authorization"]) != 1 || got["Authorization"][0] != "Bearer "+w.old {
				t.Errorf("%d headers arrive, %d of them the credential's", len(got), len(got["Authorization"]))
			}
			if got.Get("X-Mlflow-Workspace") != "team" {
				t.Error("S71 another header was touched")
			}
		})
	}
}

func TestS69ARequestIsReusedByManyGoroutines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req, _ := http.NewRequest(http.MethodGet, "https://mlflow.test/", nil)
	req.Header.Set("Accept", "application/json")
	together(50, func(i int) {
		if i == 25 {
			w.rotate()
		}
		resp, err := w.rt.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
	})
	if req.Header.Get("Authorization") != "" {
		t.Error("the request was changed")
	}
}

func TestABaseThatEditsHeadersInPlaceDoesNotReachTheCache(t *testing.T) {
	t.Parallel()
	var got []string
	w := newWorld(t, func(c *secretsauth.Config) {
		c.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
			got = append(got, req.Header["Authorization"][0])
			req.Header["Authorization"][0] = "masked"
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})
	})
	for range 2 {
		req, _ := http.NewRequest(http.MethodGet, "https://mlflow.test/", nil)
		resp, err := w.rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	if got[0] != got[1] {
		t.Error("the second request got what the base had written")
	}
}

func TestS108ABaseThatReturnsBoth(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	both := &http.Response{StatusCode: 200, Body: http.NoBody}
	w := newWorld(t, func(c *secretsauth.Config) {
		c.Base = roundTripper(func(*http.Request) (*http.Response, error) { return both, boom })
	})
	req, _ := http.NewRequest(http.MethodGet, "https://mlflow.test/", nil)
	resp, err := w.rt.RoundTrip(req) //nolint:bodyclose // NoBody
	if !errors.Is(err, boom) || resp != both {
		t.Errorf("%v, %v: the pair was not passed on", resp, err)
	}
	t.Run("S108 nil body in a 401", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(c *secretsauth.Config) {
			c.Base = roundTripper(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 401}, nil })
		})
		if err := w.rt.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.rotate()
		req, _ := http.NewRequest(http.MethodGet, "https://mlflow.test/", nil)
		if resp, err := w.rt.RoundTrip(req); err != nil || resp.StatusCode != 401 { //nolint:bodyclose // it has none
			t.Error(err)
		}
	})
}

type closerBase struct {
	roundTripper
	closed bool
}

func (b *closerBase) CloseIdleConnections() { b.closed = true }

func TestS118CloseIdleConnectionsIsForwarded(t *testing.T) {
	t.Parallel()
	base := &closerBase{}
	w := newWorld(t, func(c *secretsauth.Config) { c.Base = base })
	(&http.Client{Transport: w.rt}).CloseIdleConnections()
	if !base.closed {
		t.Error("the base was not asked")
	}
}

func TestS88TwoTransportsKeepTheirCredentialsApart(t *testing.T) {
	t.Parallel()
	a, b := newWorld(t), newWorld(t)
	a.want("/", http.StatusOK)
	b.store.fail(&secretsauth.Error{Kind: secretsauth.ErrNotFound})
	b.wantErr("/", secretsauth.ErrNotFound) // and nothing of a's
	b.store.put(b.old)
	b.rt.ClearCache()
	b.want("/", http.StatusOK)
	a.want("/", http.StatusOK)
}

func TestS89NoCredentialOfTheEnvironmentIsAFallback(t *testing.T) {
	t.Setenv("MLFLOW_TRACKING_TOKEN", "from-the-environment")
	w := newWorld(t)
	w.store.fail(down())
	w.wantErr("/", secretsauth.ErrUnavailable)
}

func TestS113EachCopyKeepsGetBody(t *testing.T) {
	t.Parallel()
	var sends int
	w := newWorld(t)
	base := w.server
	rt, err := secretsauth.NewTransport(w.store, secretsauth.Config{
		AllowedHosts: []string{"mlflow.test"},
		Base: roundTripper(func(req *http.Request) (*http.Response, error) {
			if sends++; req.GetBody == nil || req.ContentLength != 4 {
				t.Error("net/http could not replay this copy after a GOAWAY")
			}
			return base.RoundTrip(req)
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.rotate()
	req, _ := http.NewRequest(http.MethodPost, "https://mlflow.test/", strings.NewReader("body"))
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if sends != 2 || resp.StatusCode != http.StatusOK {
		t.Errorf("%d sends, status %d", sends, resp.StatusCode)
	}
}
