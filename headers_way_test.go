package secretsauth_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// What is done to the configuration, and by a base to a request, reaches no other
// request.
func TestHeadersAreCopied(t *testing.T) {
	t.Parallel()
	gate, workspace := canary.New(), []string{"team"}
	configured := http.Header{"X-Mlflow-Workspace": workspace, "X-Along": {"1", "2"}}
	var got []http.Header
	rt, err := newTransport(secretsauth.Static(secretsauth.NewToken(canary.New()).WithHeader("X-Gate", gate)), secretsauth.Config{
		AllowedHosts: []string{"mlflow.test"}, Headers: configured,
		Base: roundTripper(func(req *http.Request) (*http.Response, error) {
			got = append(got, req.Header.Clone())
			for name, values := range req.Header {
				for i := range values {
					values[i] = "changed"
				}
				req.Header[name] = append(values, "more")
			}
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	workspace[0] = "other"
	configured.Set("X-Late", "1")
	for range 2 {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://mlflow.test/", nil)
		resp, err := netted{rt}.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	sameHeaders(t, got[1], got[0])
	if got[0].Get("X-Mlflow-Workspace") != "team" || got[0].Get("X-Late") != "" || got[0].Get("X-Gate") != gate {
		t.Error("NewTransport has not copied the headers")
	}
}

// TestF16WhatABaseMayDo holds what Config.Base promises: header map and the values that
// are added are the request's own, and the caller's values are shared, so that a base
// clones the request before it changes one in place.
func TestF16WhatABaseMayDo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		base func(*http.Request) *http.Request
	}{
		{"it sets and deletes", func(req *http.Request) *http.Request {
			req.Header.Set("Accept", "text/plain")
			req.Header.Del("X-Mine")
			req.Header.Set("X-Traced", "1")
			return req
		}},
		{"it clones and edits in place", func(req *http.Request) *http.Request {
			again := req.Clone(req.Context())
			for name := range again.Header {
				again.Header[name][0] += " edited"
				again.Header.Add(name, "added")
			}
			return again
		}},
		{"it edits in place what was added for it", func(req *http.Request) *http.Request {
			for _, name := range []string{"Authorization", "X-Gate", "X-Mlflow-Workspace"} {
				req.Header[name][0] += " edited"
				req.Header.Add(name, "added")
			}
			return req
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			secret := secretsauth.NewToken(canary.New()).WithHeader("X-Gate", canary.New())
			rt, err := newTransport(secretsauth.Static(secret), secretsauth.Config{
				AllowedHosts: []string{"mlflow.test"}, Headers: http.Header{"X-Mlflow-Workspace": {"team"}},
				Base: roundTripper(func(req *http.Request) (*http.Response, error) {
					out := test.base(req)
					for _, values := range out.Header {
						_ = strings.Join(values, "")
					}
					return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://mlflow.test/", nil)
			req.Header = http.Header{"Accept": make([]string, 1, 8), "X-Mine": {"1"}}
			before := req.Header.Clone()
			together(4, func(int) { // the race detector looks on
				for range 50 {
					resp, err := rt.RoundTrip(req)
					if err != nil {
						t.Error(err)
						return
					}
					_ = resp.Body.Close()
				}
			})
			if !maps.EqualFunc(req.Header, before, slices.Equal) || req.Header["Accept"][:2][1] != "" {
				t.Error("the caller's headers were changed")
			}
		})
	}
}

// A rotation of one header alone is a rotation: the rejected request is replayed.
func TestARotationOfOneHeader(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		token, old, fresh := canary.New(), canary.New(), canary.New()
		var mu sync.Mutex
		stored, accepted := old, old
		var rt *secretsauth.Transport
		rt, err := newTransport(secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) {
			mu.Lock()
			defer mu.Unlock()
			return secretsauth.NewToken(token).WithHeader("X-Gate", stored), nil
		}), secretsauth.Config{AllowedHosts: []string{"mlflow.test"}, Base: roundTripper(func(req *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			code := http.StatusUnauthorized
			if slices.Equal(req.Header["X-Gate"], []string{accepted}) && req.Header.Get("Authorization") == "Bearer "+token {
				code = http.StatusOK
			}
			return &http.Response{StatusCode: code, Body: http.NoBody}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []uint64{0, 1, 1} {
			if i == 1 {
				mu.Lock()
				stored, accepted = fresh, fresh
				mu.Unlock()
			}
			req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://mlflow.test/", nil)
			resp, err := netted{rt}.RoundTrip(req)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("request %d: %v, want 200", i, err)
			}
			if s := rt.Stats(); s.Retries != want {
				t.Errorf("request %d: %d retries, want %d", i, s.Retries, want)
			}
		}
	})
}

// TestFurtherHeadersFollowTheCredential compares, hop by hop, what a server gets of the
// credential, of a further header, and of a configured one: all or none of them (S14).
func TestFurtherHeadersFollowTheCredential(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		allow []string
		hops  []string
		want  []bool
	}{
		{"S1 another host", []string{"a.test"}, []string{"http://a.test/", "http://b.test/"}, []bool{true, false}},
		{"S2 another host twice", []string{"*"}, []string{"http://a.test/", "http://b.test/1", "/2"}, []bool{true, false, false}},
		{"S3 there and back", []string{"*"}, []string{"http://a.test/1", "http://b.test/", "http://a.test/2", "/3"}, []bool{true, false, false, false}},
		{"S4 another allowed host", []string{"a.test", "b.test"}, []string{"http://a.test/", "http://b.test/"}, []bool{true, false}},
		{"S5 from a host that is not allowed", []string{"a.test"}, []string{"http://b.test/", "http://a.test/1", "/2"}, []bool{false, false, false}},
		{"S6 https to http", []string{"a.test"}, []string{"https://a.test/", "http://a.test/"}, []bool{true, false}},
		{"S7 http to https", []string{"a.test"}, []string{"http://a.test/", "https://a.test/"}, []bool{true, false}},
		{"S8 another port", []string{"a.test"}, []string{"http://a.test/", "http://a.test:81/"}, []bool{true, false}},
		{"S8 the same origin throughout", []string{"a.test"}, []string{"http://a.test:80/", "/1", "http://a.test/2"}, []bool{true, true, true}},
		{"S9 to a subdomain", []string{"*.a.test", "a.test"}, []string{"http://a.test/", "http://sub.a.test/"}, []bool{true, false}},
		{"S10 no scheme, with userinfo", []string{"a.test"}, []string{"http://a.test/", "//a.test@b.test/x"}, []bool{true, false}},
		{"S11 backslashes stay on the origin", []string{"a.test"}, []string{"http://a.test/", `\\b.test`}, []bool{true, true}},
		{"S12 userinfo, to the origin", []string{"a.test"}, []string{"http://a.test/", "http://user:pass@a.test/"}, []bool{true, true}},
		{"S12 userinfo, to another host", []string{"*"}, []string{"http://a.test/", "http://user:pass@b.test/"}, []bool{true, false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, code := range redirectCodes {
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					n := newInternet(t)
					n.answer = redirects(code, test.hops[1:]...)
					gate := canary.New()
					rt, err := newTransport(secretsauth.Static(secretsauth.NewToken(n.token).WithHeader("X-Gate", gate)),
						secretsauth.Config{AllowedHosts: test.allow, Base: n.base, Headers: http.Header{"X-Mlflow-Workspace": {"team"}}})
					if err != nil {
						t.Fatal(err)
					}
					client := &http.Client{Transport: netted{rt}, CheckRedirect: func(req *http.Request, via []*http.Request) error {
						for _, r := range append(slices.Clone(via), req) {
							if r.Header.Get("X-Gate") != "" || r.Header.Get("X-Mlflow-Workspace") != "" {
								t.Error("http.Client knows a header of ours, and would take it to the next hop")
							}
						}
						return nil
					}}
					n.mustDo(client, method, test.hops[0])
					if len(n.arrivals) != len(test.want) {
						t.Fatalf("%s, %d: %d requests, want %d", method, code, len(n.arrivals), len(test.want))
					}
					for hop, want := range test.want {
						h := n.arrival(hop).header
						got := []bool{n.headerAt(hop) == "Bearer "+n.token, slices.Equal(h["X-Gate"], []string{gate}), slices.Equal(h["X-Mlflow-Workspace"], []string{"team"})}
						if !slices.Equal(got, []bool{want, want, want}) {
							t.Errorf("%s, %d, hop %d: credential, further header, configured header: %v, want %v of each", method, code, hop, got, want)
						}
						if !want && (h.Get("X-Gate") != "" || h.Get("X-Mlflow-Workspace") != "") {
							t.Errorf("%s, %d, hop %d: a header of ours has come along", method, code, hop)
						}
					}
					n.close()
				}
			}
		})
	}
}

// A shared cache serves transports for which a header means different things.
func TestASharedCacheAndAHeaderOfItsName(t *testing.T) {
	t.Parallel()
	cache := secretsauth.NewCache(secretsauth.Static(secretsauth.NewToken(canary.New()).WithHeader("X-Api-Key", canary.New())), secretsauth.Config{})
	for name, kind := range map[string]error{"": nil, "X-Gate": nil, "x-api-key": secretsauth.ErrInvalidSecret} {
		rt, err := newTransport(cache, secretsauth.Config{AllowedHosts: []string{"*"}, HeaderName: name})
		if err != nil {
			t.Fatal(err)
		}
		if err := rt.Warm(t.Context()); !errors.Is(err, kind) {
			t.Errorf("%q: %v, want %v", name, err, kind)
		}
	}
}

// What arrives over a connection is what was to be sent, also of names that net/http
// would spell otherwise.
func TestFurtherHeadersOnTheWire(t *testing.T) {
	t.Parallel()
	gate := canary.New()
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { got = req.Header.Clone() }))
	defer server.Close()
	rt, err := newTransport(secretsauth.Static(secretsauth.Secret{}.WithHeader("CF-access-CLIENT-secret", gate)),
		secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}, Headers: http.Header{"X-MLFLOW-WORKSPACE": {"team"}}})
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	req.Header = http.Header{"cf-access-client-secret": {"mine", "too"}}
	resp, err := netted{rt}.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if !slices.Equal(got["Cf-Access-Client-Secret"], []string{gate}) || got.Get("X-Mlflow-Workspace") != "team" || got.Get("Authorization") != "" {
		t.Error("not what was to be sent")
	}
}

// KeepCallerHeader is decided by a header that only the stored secret names, so the body
// may have been read ahead by then. On the wire the request is what the caller made of it.
func TestARequestThatKeepsItsHeaderIsUntouchedWhateverWasReadAhead(t *testing.T) {
	t.Parallel()
	secret := secretsauth.NewToken(canary.New()).WithHeader("X-Gate", canary.New())
	var got *http.Request
	var body string
	rt, err := newTransport(secretsauth.Static(secret), secretsauth.Config{
		AllowedHosts: []string{"mlflow.test"}, KeepCallerHeader: true, BufferBodies: 1 << 10,
		Base: roundTripper(func(req *http.Request) (*http.Response, error) {
			text, err := io.ReadAll(req.Body)
			got, body = req, string(text)
			return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody}, err
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://mlflow.test/", io.MultiReader(strings.NewReader("metrics")))
	req.Header.Set("X-Gate", "mine")
	resp, err := netted{rt}.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if body != "metrics" || got.ContentLength != req.ContentLength || got.GetBody != nil || got.Header.Get("X-Gate") != "mine" || got.Header.Get("Authorization") != "" {
		t.Errorf("body of %d bytes, announced as %d, X-Gate %q", len(body), got.ContentLength, got.Header.Get("X-Gate"))
	}
	if resp.Request != req || rt.Stats().Rejections != 0 {
		t.Error("its 401 counts as a rejection, or its response is not the request's")
	}
}
