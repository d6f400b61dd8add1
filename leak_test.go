package secretsauth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// Every test whose secret could get out makes it with canary.New, and what comes out
// of transports is kept for the leak net: the log at every level, the errors, the
// requests that responses refer to, what transports print as.

// made are the transports of the tests.
var made struct {
	mu  sync.Mutex
	rts []*secretsauth.Transport
}

// newTransport is secretsauth.NewTransport with the net beneath it.
func newTransport(p secretsauth.Provider, cfg secretsauth.Config) (*secretsauth.Transport, error) {
	handler := slog.Handler(brief{new(atomic.Int32), slog.NewTextHandler(canary.Log(), &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { // so that equal lines are equal
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})})
	if cfg.Logger != nil {
		handler = slog.NewMultiHandler(cfg.Logger.Handler(), handler)
	}
	cfg.Logger = slog.New(handler)
	rt, err := secretsauth.NewTransport(p, cfg)
	if err != nil {
		canary.KeepValue("an error of NewTransport", err)
		return rt, err
	}
	made.mu.Lock()
	made.rts = append(made.rts, rt)
	made.mu.Unlock()
	return rt, nil
}

// brief is for a log that says the same at every request: of its lines below INFO
// it wants the first hundred.
type brief struct {
	lines *atomic.Int32
	slog.Handler
}

func (b brief) Enabled(ctx context.Context, level slog.Level) bool {
	return b.Handler.Enabled(ctx, level) && (level >= slog.LevelInfo || b.lines.Load() < 100 && b.lines.Add(1) <= 100)
}

// netted is a transport whose responses and errors are kept.
type netted struct{ *secretsauth.Transport }

func (n netted) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := n.Transport.RoundTrip(req)
	canary.KeepExchange(req, resp, err)
	return resp, err
}

func TestMain(m *testing.M) {
	if os.Getenv(canaryVariable) != "" {
		os.Exit(m.Run()) // a child process, whose parent looks
	}
	os.Exit(canary.Net(transportsKept{m}).Run())
}

// transportsKept are tests that show at the end what transports print as.
type transportsKept struct{ canary.Tests }

func (k transportsKept) Run() int {
	code := k.Tests.Run()
	for _, rt := range made.rts {
		canary.KeepValue("Transport", rt)
		canary.KeepValue("Stats", rt.Stats())
	}
	return code
}

// leakyProvider holds its secret as people do.
type leakyProvider struct{ Password string }

func (*leakyProvider) Name() string { return "leaky" }
func (p *leakyProvider) Fetch(context.Context) (secretsauth.Secret, error) {
	return secretsauth.NewToken(p.Password), nil
}

// TestS152TheLeakNet drives a transport through everything that can go wrong and
// looks at all that comes out.
func TestS152TheLeakNet(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"token", "username and password", "headers", "a token and a header"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := canary.New()
			secret := secretsauth.NewToken(c)
			switch kind {
			case "username and password":
				secret = secretsauth.NewUserPassword("user", c)
			case "headers":
				secret = secretsauth.Secret{}.WithHeader("CF-Access-Client-Id", c).WithHeader("CF-Access-Client-Secret", c)
			case "a token and a header":
				secret = secret.WithHeader("X-Gate", c)
			}
			var answer func(http.ResponseWriter, *http.Request)
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) { answer(rw, req) }))
			defer server.Close()
			var log canary.Journal
			failing := errors.New("")
			store := &fakeStore{}
			store.set(func(s *fakeStore) { s.secret = secret })
			cfg := secretsauth.Config{AllowedHosts: []string{"127.0.0.1", "*.test"}, Logger: log.Logger()}
			cache := secretsauth.NewCache(store, cfg)
			rt, err := secretsauth.NewTransport(cache, cfg)
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: rt}
			get := func(name, url string) {
				resp, err := client.Get(url)
				if err != nil {
					canary.AbsentFrom(t, name+": the error", err, c)
					return
				}
				defer resp.Body.Close()
				_, _ = io.Copy(io.Discard, resp.Body)
				canary.Absent(t, name+": S157 resp.Request", fmt.Sprintf("%v %+v", resp.Request, resp.Request.Header), c)
			}

			ok := func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok") }
			say := func(code int) func(http.ResponseWriter, *http.Request) {
				return func(rw http.ResponseWriter, req *http.Request) { // S162: it echoes the headers
					rw.WriteHeader(code)
					_ = req.Header.Write(rw)
				}
			}
			answer = ok
			get("success", server.URL)
			get("a hit", server.URL)
			for _, code := range []int{401, 403, 500, 302} {
				answer = say(code)
				get(fmt.Sprint("S162 ", code), server.URL)
			}
			answer = func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Location", "http://[::1%zz/")
				rw.WriteHeader(302)
			}
			get("S153 a bad Location", server.URL)
			answer = func(rw http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
			get("a reset", server.URL)
			get("S154 userinfo", strings.Replace(server.URL, "://", "://name:other@", 1))
			get("a host that does not resolve", "http://nowhere.test/")
			get("a host that is not allowed", "http://localhost:1/")

			for _, err := range []error{down(), denied(), failing, &secretsauth.Error{}, context.Canceled} {
				store.fail(err)
				rt.ClearCache()
				get(fmt.Sprintf("S160 the store fails with %T", err), server.URL)
				canary.AbsentFrom(t, "Warm", rt.Warm(t.Context()), c)
			}
			for name, bad := range map[string]secretsauth.Secret{
				"S161 a line end inside": secretsauth.NewToken(c + "\n" + c),
				"S161 outside ASCII":     secretsauth.NewToken(c + "é"),
				"a ready-made header":    secretsauth.NewToken("Basic " + c),
				"S163 a colon":           secretsauth.NewUserPassword("a:b", c),
				"a header's bad value":   secretsauth.NewToken(c).WithHeader("X-Gate", c+"\n"+c),
				"a header's bad name":    secretsauth.NewToken(c).WithHeader(c+"=", c),
				"a header not for it":    secretsauth.NewToken(c).WithHeader("Cookie", c),
				"the credential's own":   secretsauth.NewToken(c).WithHeader("Authorization", c),
				"zero":                   {},
			} {
				store.set(func(s *fakeStore) { s.secret, s.err = bad, nil })
				rt.ClearCache()
				get(name, server.URL)
			}

			canary.Absent(t, "the log", log.String(), c)
			if !strings.Contains(log.String(), "Authentication successful") {
				t.Error("the log was not captured")
			}
			leaky := secretsauth.NewCache(&leakyProvider{c}, cfg)
			for name, v := range map[string]any{
				"Transport": rt, "Cache": cache, "Cache of a provider that hides nothing": leaky, "Stats": rt.Stats(), "Secret": secret,
				"Static": secretsauth.Static(secret), "client": client,
			} {
				canary.AbsentFrom(t, "S155 S166 "+name, v, c)
			}
		})
	}
}

// Texts that are put into a secret's place, cut off anywhere, nested anyhow: the
// error names fields and nothing else.
func TestErrorsOfBadSecretsShowNoPartOfThem(t *testing.T) {
	t.Parallel()
	c := canary.New()
	t.Run("S87 cut off at every byte", func(t *testing.T) {
		t.Parallel()
		for _, whole := range []string{
			`{"token":"` + c + `","username":"` + c + `","password":"` + c + `"}`,
			`{"` + c + `":{"` + c + `":["` + c + `"]}}`,
			`{"token":"` + c + `","headers":{"X-Gate":"` + c + `","` + c + `":"` + c + `"}}`,
		} {
			for i := range whole {
				if _, err := secretsauth.ParseSecret([]byte(whole[:i])); err != nil {
					canary.AbsentFrom(t, fmt.Sprintf("the error for %d bytes", i), err, c)
				} else {
					t.Errorf("%d bytes are taken for a secret", i)
				}
			}
		}
	})
	for name, raw := range map[string]string{
		"S152 nested in data.data":           `{"data":{"data":{"token":"` + c + `"},"metadata":{"version":1}}}`,
		"S81 nested in a field of ours":      `{"token":{"token":"` + c + `"}}`,
		"S75 in an array":                    `["` + c + `"]`,
		"S75 a JSON string":                  `"` + c + `"`,
		"S160 a number that overflows":       `{"token":1e999,"password":"` + c + `"}`,
		"S160 the name of a field":           `{"` + c + `":1}`,
		"S160 the name of a header":          `{"headers":{"` + c + `":1}}`,
		"S160 the value of a header":         `{"headers":{"X-Gate":["` + c + `"]}}`,
		"S160 after the end of the object":   `{"token":"t"} ` + c,
		"S160 a bad escape":                  `{"token":"\q` + c + `"}`,
		"S161 a control character inside":    c + "\x1b" + c,
		"S80 several lines":                  c + "\n" + c + "\n" + c,
		"S79 over the limit":                 strings.Repeat(c, 20_000),
		"S163 Basic, already in base64":      "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+c)),
		"S163 escaped, with a bad character": url.QueryEscape(c) + "\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := secretsauth.ParseSecret([]byte(raw))
			if !errors.Is(err, secretsauth.ErrInvalidSecret) || !s.IsZero() {
				t.Fatalf("ErrInvalidSecret: %v, want an error and nothing else", errors.Is(err, secretsauth.ErrInvalidSecret))
			}
			canary.AbsentFrom(t, "the error", err, c)
		})
	}
}

// What the library itself says of a request never shows more of its URL than
// scheme and host.
func TestOwnMessagesShowSchemeAndHostOnly(t *testing.T) {
	t.Parallel()
	const everywhere = "%[1]s:%[1]s@mlflow.test/%[1]s?t=%[1]s#%[1]s"
	for name, test := range map[string]struct {
		url   string
		tls   bool
		store error
	}{
		"S154 host not allowed":            {url: "https://%[1]s:%[1]s@other.test/%[1]s?t=%[1]s#%[1]s"},
		"S154 no plain host":               {url: "https://%[1]s:%[1]s@[::1%%25a.test]/%[1]s?t=%[1]s#%[1]s"},
		"S154 another scheme":              {url: "ftp://" + everywhere},
		"S154 an opaque URL":               {url: "https:%[1]s"},
		"S154 plain http":                  {url: "http://" + everywhere},
		"S154 TLS required":                {url: "http://" + everywhere, tls: true},
		"S154 the store is down":           {url: "https://" + everywhere, store: down()},
		"S154 rejected by the server":      {url: "https://" + strings.Replace(everywhere, "/", "/strange/", 1)},
		"S154 rejected by the server, 403": {url: "https://" + strings.Replace(everywhere, "/", "/forbidden/", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := canary.New()
			var log canary.Journal
			w := newWorld(t, func(cfg *secretsauth.Config) { cfg.Logger, cfg.RequireTLS = log.Logger(), test.tls })
			w.store.fail(test.store)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf(test.url, c), nil)
			if err != nil {
				t.Fatal("the URL of the test is none")
			}
			resp, err := w.rt.RoundTrip(req)
			if err != nil {
				canary.AbsentFrom(t, "the error", err, c)
			} else {
				_ = resp.Body.Close()
			}
			canary.Absent(t, "the log", log.String(), c)
			if log.String() == "" && err == nil {
				t.Error("nothing was said at all")
			}
		})
	}
}

func TestACausesTextStaysInside(t *testing.T) {
	t.Parallel()
	c := canary.New()
	t.Run("S160 context.Cause of a caller who gives up", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t)
			w.store.slow(time.Second)
			ctx, cancel := context.WithCancelCause(context.Background())
			go cancel(errors.New(c))
			_, err := w.doWith(ctx, "/", nil)
			if !errors.Is(err, context.Canceled) {
				t.Fatal("the caller's own context error did not come back")
			}
			canary.AbsentFrom(t, "the error", err, c)
		})
	})
	t.Run("S134 S160 what a provider panics with", func(t *testing.T) {
		t.Parallel()
		var log canary.Journal
		rt, err := secretsauth.NewTransport(secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) { panic(c) }),
			secretsauth.Config{AllowedHosts: []string{"*"}, Logger: log.Logger()})
		if err != nil {
			t.Fatal(err)
		}
		err = rt.Warm(t.Context())
		if !errors.Is(err, secretsauth.ErrUnavailable) {
			t.Error("a panic is not ErrUnavailable")
		}
		canary.AbsentFrom(t, "the error", err, c)
		canary.Absent(t, "the log", log.String(), c)
	})
}
