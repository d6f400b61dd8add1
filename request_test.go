package secretsauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// trackedBody is a body that may be closed from any goroutine.
type trackedBody struct {
	io.Reader
	closes atomic.Int32
}

func (b *trackedBody) Close() error { b.closes.Add(1); return nil }

// trip is one request on its way through a transport whose base answers as it is
// told, one answer for each time that the request is sent.
type trip struct {
	store   *fakeStore
	cfg     secretsauth.Config
	shared  bool // the transport shares a cache that was made for AuthAuto
	zero    bool // the transport was not made with NewTransport
	req     *http.Request
	body    *trackedBody   // the caller's
	copies  []*trackedBody // what GetBody gave
	answers []answer
	sends   int
}

// answer is what a base does once it has read a request.
type answer struct {
	resp       *http.Response
	err        error
	leavesBody bool // breaks the contract: does not close the body
	rotates    bool // meanwhile the store gets another value
}

func status(code int) answer {
	return answer{resp: &http.Response{StatusCode: code, Body: http.NoBody}}
}

// outdated is a 401 for a value that the store has replaced by now.
func outdated() answer { a := status(http.StatusUnauthorized); a.rotates = true; return a }

func (p *trip) RoundTrip(req *http.Request) (*http.Response, error) {
	p.sends++
	if p.sends > len(p.answers) {
		return nil, errors.New("sent once too often")
	}
	a := p.answers[p.sends-1]
	if req.Body != nil && !a.leavesBody {
		_, _ = io.Copy(io.Discard, req.Body)
		_ = req.Body.Close()
	}
	if a.rotates {
		p.store.put(canary.New())
	}
	if a.resp != nil {
		a.resp.Request = req // as http.Transport does: it would show the credential
	}
	return a.resp, a.err
}

// newTrip is a POST with a body that can be sent again.
func newTrip(t *testing.T, answers ...answer) *trip {
	t.Helper()
	p := &trip{store: &fakeStore{}, body: &trackedBody{Reader: strings.NewReader("body")}, answers: answers}
	p.store.put(canary.New())
	p.cfg = secretsauth.Config{AllowedHosts: []string{"mlflow.test"}, Base: p}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://mlflow.test/api?x=1#f", p.body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = 4
	req.GetBody = func() (io.ReadCloser, error) {
		again := &trackedBody{Reader: strings.NewReader("body")}
		p.copies = append(p.copies, again)
		return again, nil
	}
	req.Header = http.Header{"Authorization": {"Bearer placeholder"}, "authorization": {"other", "spelling"}, "Accept": {"a", "b"}}
	p.req = req
	return p
}

// take sends the request.
func (p *trip) take(t *testing.T) (*http.Response, error) {
	t.Helper()
	if p.zero {
		return new(secretsauth.Transport).RoundTrip(p.req)
	}
	provider := secretsauth.Provider(p.store)
	if p.shared {
		provider = secretsauth.NewCache(p.store, secretsauth.Config{})
	}
	rt, err := newTransport(provider, p.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return netted{rt}.RoundTrip(p.req)
}

// photograph returns a check that req is what it is now: every field the same,
// not only equal, and every header with the values it has.
func photograph(req *http.Request) func(*testing.T) {
	before, header := *req, req.Header.Clone()
	ctx := req.Context()
	var address any
	if req.URL != nil {
		address = *req.URL
	}
	values := map[string]uintptr{}
	for name, v := range req.Header {
		values[name] = reflect.ValueOf(v).Pointer()
	}
	return func(t *testing.T) {
		t.Helper()
		now := *req
		for name, same := range map[string]bool{
			"Method":        now.Method == before.Method,
			"URL":           now.URL == before.URL && (now.URL == nil || *now.URL == address),
			"Header's map":  reflect.ValueOf(now.Header).Pointer() == reflect.ValueOf(before.Header).Pointer(),
			"Header":        reflect.DeepEqual(now.Header, header),
			"Body":          now.Body == before.Body,
			"GetBody":       reflect.ValueOf(now.GetBody).Pointer() == reflect.ValueOf(before.GetBody).Pointer(),
			"ContentLength": now.ContentLength == before.ContentLength,
			"Host":          now.Host == before.Host,
			"Response":      now.Response == before.Response,
			"Context":       now.Context() == ctx,
			"the rest": now.Close == before.Close && now.Trailer == nil && now.TransferEncoding == nil &&
				now.Form == nil && now.PostForm == nil && now.RequestURI == before.RequestURI,
		} {
			if !same {
				t.Errorf("S69 the caller's request was changed: %s", name)
			}
		}
		for name, v := range now.Header {
			if reflect.ValueOf(v).Pointer() != values[name] {
				t.Errorf("S69 the caller's request was changed: the values of %s were replaced", name)
			}
		}
	}
}

// The contract of http.RoundTripper, on every way out of the transport: the
// request is not modified, each body is closed, resp.Request is the caller's.
func TestTheCallersRequestOnEveryPath(t *testing.T) {
	t.Parallel()
	reset := errors.New("connection reset")
	for _, test := range []struct {
		name    string
		answers []answer
		change  func(*trip)
		sends   int
		status  int   // of the response; 0: none
		err     error // what the error is; nil: none
		// The base has broken its contract, so that nobody can tell whether the
		// body is closed already: at least once is what can be asked for.
		atLeast bool
	}{
		{name: "S62 S157 sent", answers: []answer{status(200)}, sends: 1, status: 200},
		{name: "S110 another failure of the server", answers: []answer{status(407)}, sends: 1, status: 407},
		{name: "S63 S157 host not allowed", answers: []answer{status(200)}, sends: 1, status: 200,
			change: func(p *trip) { p.cfg.AllowedHosts = []string{"other.test"} }},
		{name: "S63 a host that is not allowed answers 401", answers: []answer{status(401)}, sends: 1, status: 401,
			change: func(p *trip) { p.cfg.AllowedHosts = []string{"other.test"} }},
		{name: "S36 another scheme", answers: []answer{status(200)}, sends: 1, status: 200,
			change: func(p *trip) { p.req.URL.Scheme = "ftp" }},
		{name: "S5 a redirect from elsewhere", answers: []answer{status(200)}, sends: 1, status: 200,
			change: func(p *trip) {
				p.req.Response = &http.Response{Request: httptest.NewRequest(http.MethodGet, "https://other.test/", nil)}
			}},
		{name: "S62 the caller's header is kept", answers: []answer{status(401)}, sends: 1, status: 401,
			change: func(p *trip) { p.cfg.KeepCallerHeader = true }},
		{name: "S93 rejected, and the store has nothing else", answers: []answer{status(401)}, sends: 1, status: 401},
		{name: "S97 S157 rejected and replayed", answers: []answer{outdated(), status(200)}, sends: 2, status: 200},
		{name: "S92 rejected, replayed, and rejected again", answers: []answer{outdated(), outdated()}, sends: 2, status: 401},
		{name: "S68 rejected and replayed, no body", answers: []answer{outdated(), status(200)}, sends: 2, status: 200,
			change: func(p *trip) { p.req.Body, p.req.GetBody, p.req.ContentLength, p.body = nil, nil, 0, nil }},
		{name: "S68 rejected and replayed, NoBody", answers: []answer{outdated(), status(200)}, sends: 2, status: 200,
			change: func(p *trip) { p.req.Body, p.req.GetBody, p.req.ContentLength, p.body = http.NoBody, nil, 0, nil }},
		{name: "S66 nil header, replayed", answers: []answer{outdated(), status(200)}, sends: 2, status: 200,
			change: func(p *trip) { p.req.Header = nil }},
		{name: "S98 a body that cannot be had again", answers: []answer{outdated()}, sends: 1, status: 401,
			change: func(p *trip) { p.req.GetBody = nil }},
		{name: "S99 GetBody fails", answers: []answer{outdated()}, sends: 1, status: 401,
			change: func(p *trip) { p.req.GetBody = func() (io.ReadCloser, error) { return nil, reset } }},
		{name: "the replay fails", answers: []answer{outdated(), {err: reset}}, sends: 2, err: reset},
		{name: "the base fails", answers: []answer{{err: reset}}, sends: 1, err: reset},

		{name: "S67 nil URL", err: secretsauth.ErrConfig, change: func(p *trip) { p.req.URL = nil }},
		{name: "S70 a transport that was not made", err: secretsauth.ErrConfig, change: func(p *trip) { p.zero = true }},
		{name: "S70 TLS required", err: secretsauth.ErrConfig,
			change: func(p *trip) { p.cfg.RequireTLS, p.req.URL.Scheme = true, "http" }},
		{name: "S70 the store is down", err: secretsauth.ErrUnavailable, change: func(p *trip) { p.store.fail(down()) }},
		{name: "S70 the store refuses", err: secretsauth.ErrDenied, change: func(p *trip) { p.store.fail(denied()) }},
		{name: "S70 the secret cannot be sent", err: secretsauth.ErrInvalidSecret, change: func(p *trip) { p.store.put(canary.New() + "\n" + canary.New()) }},
		{name: "S70 the secret cannot be sent in the mode of one transport", err: secretsauth.ErrInvalidSecret,
			change: func(p *trip) { p.shared, p.cfg.Mode = true, secretsauth.AuthBasic }},
		{name: "S70 the caller has given up", err: context.Canceled, change: func(p *trip) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			p.store.slow(time.Second)
			p.req = p.req.WithContext(ctx)
		}},

		{name: "S108 nothing", answers: []answer{{}}, sends: 1, err: secretsauth.ErrConfig, atLeast: true},
		{name: "S108 nothing, and the body left open", answers: []answer{{leavesBody: true}}, sends: 1, err: secretsauth.ErrConfig},
		{name: "S108 nothing for the replay", answers: []answer{outdated(), {}}, sends: 2, err: secretsauth.ErrConfig, atLeast: true},
		{name: "S108 nothing for the replay, and the body left open", answers: []answer{outdated(), {leavesBody: true}}, sends: 2,
			err: secretsauth.ErrConfig, atLeast: true},
		{name: "S108 response and error", answers: []answer{{resp: status(200).resp, err: reset}}, sends: 1, status: 200, err: reset},
		{name: "S108 response and error, 401", answers: []answer{{resp: outdated().resp, err: reset}}, sends: 1, status: 401, err: reset},
		{name: "S108 nil body", answers: []answer{{resp: &http.Response{StatusCode: 200}}}, sends: 1, status: 200},
		{name: "S108 nil body, rejected and replayed", sends: 2, status: 200,
			answers: []answer{{resp: &http.Response{StatusCode: 401}, rotates: true}, {resp: &http.Response{StatusCode: 200}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(time.Minute) // for what was under way
				p := newTrip(t, test.answers...)
				if test.change != nil {
					test.change(p)
				}
				unchanged := photograph(p.req)
				resp, err := p.take(t)

				if !errors.Is(err, test.err) || test.err == nil && err != nil {
					t.Errorf("error %v, want %v", err, test.err)
				}
				switch {
				case (resp != nil) != (test.status != 0):
					t.Errorf("response: %v, want status %d", resp != nil, test.status)
				case resp != nil && resp.StatusCode != test.status:
					t.Errorf("status %d, want %d", resp.StatusCode, test.status)
				case resp != nil && resp.Request != p.req:
					t.Error("S157 resp.Request is not the caller's")
				}
				if p.sends != test.sends {
					t.Errorf("sent %d times, want %d", p.sends, test.sends)
				}
				unchanged(t)
				if p.body != nil {
					p.checkCloses(t, "the caller's body", p.body, test.atLeast)
				}
				for _, again := range p.copies {
					p.checkCloses(t, "the body of the replay", again, test.atLeast)
				}
			})
		})
	}
}

func (p *trip) checkCloses(t *testing.T, which string, b *trackedBody, atLeast bool) {
	t.Helper()
	if n := b.closes.Load(); n == 0 || n > 1 && !atLeast {
		t.Errorf("S70 %s was closed %d times", which, n)
	}
}

// The headers that a server gets, over a connection, from requests that had
// their own.
func TestTheCallersHeadersOnTheWire(t *testing.T) {
	t.Parallel()
	secret := secretsauth.NewToken(canary.New())
	token, _ := secret.Token()
	for _, test := range []struct {
		name    string
		in      http.Header
		change  func(*secretsauth.Config)
		user    string // of the URL
		want    []string
		through http.Header // what must arrive besides
	}{
		{name: "S62 a placeholder", in: http.Header{"Authorization": {"Bearer placeholder"}}, want: []string{"Bearer " + token}},
		{name: "S62 userinfo of the URL", user: "name", want: []string{"Bearer " + token}},
		{name: "S62 kept on request", in: http.Header{"Authorization": {"Bearer mine"}}, want: []string{"Bearer mine"},
			change: func(c *secretsauth.Config) { c.KeepCallerHeader = true }},
		{name: "S64 an empty Bearer, which there is nothing to keep of", in: http.Header{"Authorization": {"Bearer "}}, want: []string{"Bearer " + token},
			change: func(c *secretsauth.Config) { c.KeepCallerHeader = true }},
		{name: "S62 kept on request, but there is none", want: []string{"Bearer " + token},
			change: func(c *secretsauth.Config) { c.KeepCallerHeader = true }},
		{name: "S63 host not allowed", in: http.Header{"Authorization": {"Bearer mine"}}, want: []string{"Bearer mine"},
			change: func(c *secretsauth.Config) { c.AllowedHosts = []string{"mlflow.test"} }},
		{name: "S63 host not allowed, no header", want: nil,
			change: func(c *secretsauth.Config) { c.AllowedHosts = []string{"mlflow.test"} }},
		{name: "S64 an empty Bearer", in: http.Header{"Authorization": {"Bearer "}}, want: []string{"Bearer " + token}},
		{name: "S65 several values and spellings", in: http.Header{"Authorization": {"a", "b"}, "authorization": {"c"}, "AUTHORIZATION": {"d", "e"}},
			want: []string{"Bearer " + token}},
		{name: "S66 nil header", want: []string{"Bearer " + token}},
		{name: "S71 other headers", in: http.Header{"X-Mlflow-Workspace": {"team"}, "X-Several": {"a", "b"}}, want: []string{"Bearer " + token},
			through: http.Header{"X-Mlflow-Workspace": {"team"}, "X-Several": {"a", "b"}}},
		{name: "S14 a custom header leaves Authorization alone", in: http.Header{"Authorization": {"Bearer mine"}}, want: []string{"Bearer mine"},
			change: func(c *secretsauth.Config) { c.HeaderName = "x-api-key" }, through: http.Header{"X-Api-Key": {token}}},
		{name: "S14 Proxy-Authorization is not ours", want: []string{"Bearer " + token}, through: http.Header{"Proxy-Authorization": nil}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got http.Header
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { got = req.Header.Clone() }))
			defer server.Close()
			cfg := secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}, Base: server.Client().Transport}
			if test.change != nil {
				test.change(&cfg)
			}
			rt, err := newTransport(secretsauth.Static(secret), cfg)
			if err != nil {
				t.Fatal(err)
			}
			target := server.URL
			if test.user != "" {
				target = strings.Replace(target, "://", "://"+test.user+":pass@", 1)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
			if err != nil {
				t.Fatal(err)
			}
			if req.Header = test.in; test.in == nil && test.change != nil {
				req.Header = http.Header{} // a host that is not allowed gets the request as it is
			}
			unchanged := photograph(req)
			resp, err := (&http.Client{Transport: netted{rt}}).Do(req)
			if err != nil {
				t.Fatal("S152: the request failed")
			}
			_ = resp.Body.Close()
			unchanged(t)
			if !reflect.DeepEqual(got["Authorization"], test.want) {
				t.Errorf("%d values of Authorization arrive, and not those that were wanted", len(got["Authorization"]))
			}
			for name, values := range test.through {
				if !reflect.DeepEqual(got[name], values) {
					t.Errorf("%s does not arrive as it should", name)
				}
			}
		})
	}
}

// One request, sent by many goroutines at once over real connections while the
// credential rotates, and read by another one all the time.
func TestOneRequestInManyHands(t *testing.T) {
	t.Parallel()
	t.Run("S69 from several goroutines", func(t *testing.T) {
		t.Parallel()
		store := &fakeStore{}
		old, fresh := canary.New(), canary.New()
		store.put(old)
		var accepted atomic.Pointer[string]
		accepted.Store(&old)
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			if req.Header.Get("Authorization") != "Bearer "+*accepted.Load() {
				rw.WriteHeader(http.StatusUnauthorized)
			}
		}))
		defer server.Close()
		rt, err := newTransport(store, secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}, Base: server.Client().Transport})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/json")
		unchanged := photograph(req)
		reading := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-reading:
					return
				default:
					unchanged(t)
				}
			}
		}()
		together(20, func(i int) {
			if i == 10 {
				store.put(fresh)
				accepted.Store(&fresh)
			}
			for range 10 {
				resp, err := netted{rt}.RoundTrip(req)
				if err != nil {
					t.Error("a request failed")
					return
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK || resp.Request != req {
					t.Errorf("status %d, the caller's request: %v", resp.StatusCode, resp.Request == req)
				}
			}
		})
		close(reading)
		<-done
	})
	t.Run("S69 the next call sends the rotated value", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://mlflow.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, token := range []string{w.old, w.fresh} {
			if token == w.fresh {
				w.rotate()
				w.rt.ClearCache()
			}
			resp, err := netted{w.rt}.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if len(w.server.got) != i+1 || w.server.got[i] != "Bearer "+token {
				t.Errorf("call %d did not send the value of its time", i)
			}
		}
	})
}

func TestCloseIdleConnectionsOfAnyBase(t *testing.T) {
	t.Parallel()
	t.Run("S118 forwarded by http.Client", func(t *testing.T) {
		t.Parallel()
		base := &closerBase{}
		w := newWorld(t, func(c *secretsauth.Config) { c.Base = base })
		(&http.Client{Transport: w.rt}).CloseIdleConnections()
		if !base.closed {
			t.Error("the base was not asked")
		}
	})
	t.Run("S118 a base without the method", func(t *testing.T) {
		t.Parallel()
		newWorld(t).rt.CloseIdleConnections()
		new(secretsauth.Transport).CloseIdleConnections()
	})
}

// Rows whose other half is the stores': what the root does with their answers.
func TestWhatStoresAnswer(t *testing.T) {
	t.Parallel()
	t.Run("S82 a deleted version is not found", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t)
			w.store.fail(&secretsauth.Error{Kind: secretsauth.ErrNotFound, Summary: "version 3 is deleted"})
			w.wantErr("/", secretsauth.ErrNotFound)
		})
	})
	t.Run("S83 nothing at all, and a binary secret", func(t *testing.T) {
		t.Parallel()
		if _, err := secretsauth.ParseSecret(nil); !errors.Is(err, secretsauth.ErrInvalidSecret) {
			t.Errorf("nil: %v", err)
		}
		s, err := secretsauth.ParseSecret([]byte{'{', '"', 't', 'o', 'k', 'e', 'n', '"', ':', '"', 'a', '"', '}'})
		if token, ok := s.Token(); err != nil || !ok || token != "a" {
			t.Errorf("bytes that are text: %v", err)
		}
		if _, err := secretsauth.ParseSecret([]byte{0x1f, 0x8b, 0x08, 0x00}); !errors.Is(err, secretsauth.ErrInvalidSecret) {
			t.Errorf("bytes that are none: %v", err)
		}
	})
	t.Run("S74 a provider that answers nothing", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t)
			w.store.set(func(s *fakeStore) { s.secret = secretsauth.Secret{} })
			w.wantErr("/", secretsauth.ErrInvalidSecret)
		})
	})
	t.Run("S88 the second of two transports is incomplete", func(t *testing.T) {
		t.Parallel()
		var sent []string
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			sent = append(sent, req.Header.Get("Authorization"))
			return status(200).resp, nil
		})
		for _, test := range []struct {
			secret secretsauth.Secret
			err    error
		}{
			{secretsauth.NewUserPassword("first", canary.New()), nil},
			{secretsauth.NewUserPassword("second", ""), secretsauth.ErrInvalidSecret},
		} {
			rt, err := newTransport(secretsauth.Static(test.secret), secretsauth.Config{AllowedHosts: []string{"*"}, Base: base})
			if err != nil {
				t.Fatal(err)
			}
			req := httptest.NewRequest(http.MethodGet, "https://mlflow.test/", nil)
			resp, err := netted{rt}.RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			if !errors.Is(err, test.err) || test.err == nil && err != nil {
				t.Errorf("%v, want %v", err, test.err)
			}
		}
		if len(sent) != 1 {
			t.Errorf("%d requests were sent, want the first one's alone", len(sent))
		}
	})
	t.Run("S90 a value is replaced before its expiry", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t, func(c *secretsauth.Config) { c.TTL = time.Hour })
			w.store.set(func(s *fakeStore) { s.secret = s.secret.WithExpiry(time.Now().Add(10 * time.Minute)) })
			w.want("/", http.StatusOK)
			w.rotate()
			w.server.accept(w.old, w.fresh)
			time.Sleep(8*time.Minute + time.Second) // 80 % of its life, and two minutes of it left
			w.want("/", http.StatusOK)
			synctest.Wait()
			w.server.accept(w.fresh) // from here on the old one is refused early
			w.want("/", http.StatusOK)
			if w.rt.Stats().Rejections != 0 {
				t.Error("the expiring value was still sent")
			}
		})
	})
}

// A credential in the environment is not one of ours: no variable of MLflow's
// own clients is read, and the allow-list holds for all.
func TestCredentialsOfTheEnvironment(t *testing.T) {
	t.Setenv("MLFLOW_TRACKING_TOKEN", canary.New())
	t.Setenv("MLFLOW_TRACKING_USERNAME", "user")
	t.Setenv("MLFLOW_TRACKING_PASSWORD", canary.New())
	t.Run("S89 no fallback", func(t *testing.T) {
		w := newWorld(t)
		w.store.fail(down())
		w.wantErr("/", secretsauth.ErrUnavailable)
	})
	t.Run("S89 bound to the allow-list", func(t *testing.T) {
		w := newWorld(t, func(c *secretsauth.Config) { c.AllowedHosts = []string{"other.test"} })
		if _, err := w.do("/"); err != nil {
			t.Fatal(err)
		}
		if len(w.server.got) != 1 || w.server.got[0] != "" {
			t.Error("a credential was sent to a host that is not allowed")
		}
		w.wantReads(0)
	})
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
		resp, err := netted{w.rt}.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	if got[0] != got[1] {
		t.Error("the second request got what the base had written")
	}
}

func TestS113EachCopyKeepsGetBody(t *testing.T) {
	t.Parallel()
	var sends int
	w := newWorld(t)
	base := w.server
	rt, err := newTransport(w.store, secretsauth.Config{
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
	resp, err := netted{rt}.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if sends != 2 || resp.StatusCode != http.StatusOK {
		t.Errorf("%d sends, status %d", sends, resp.StatusCode)
	}
}

// closerBase is a base with the method that http.Client looks for.
type closerBase struct {
	roundTripper
	closed bool
}

func (b *closerBase) CloseIdleConnections() { b.closed = true }
