package secretsauth_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// canary is a secret made for one test, so that it can be searched for.
type canary struct {
	text   string
	spoors []string // what would give it away
}

func newCanary() canary {
	c := canary{text: rand.Text()}
	for i := 0; i+12 <= len(c.text); i++ { // any longer run of it
		c.spoors = append(c.spoors, c.text[i:i+12])
	}
	for _, pad := range []string{"", "x", "xx"} { // base64 at its three offsets, user:pass included
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			text := encoding.EncodeToString([]byte(pad + c.text))
			c.spoors = append(c.spoors, text[4:len(text)-4])
		}
	}
	list := strings.Trim(fmt.Sprintf("%d", []byte(c.text)), "[]")
	return canary{c.text, append(c.spoors, hex.EncodeToString([]byte(c.text)), list, strings.ReplaceAll(list, " ", ", "), url.QueryEscape(c.text))}
}

// absent fails without repeating what was found.
func (c canary) absent(t *testing.T, where, text string) {
	t.Helper()
	for _, spoor := range c.spoors {
		if strings.Contains(text, spoor) || strings.Contains(strings.ToLower(text), strings.ToLower(spoor)) {
			t.Errorf("%s: the secret is in it", where)
			return
		}
	}
}

// absentFrom looks at every way of printing v, and at what an error wraps.
func (c canary) absentFrom(t *testing.T, where string, v any) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		c.absent(t, verb+" of "+where, fmt.Sprintf(verb, v))
	}
	if text, err := json.Marshal(v); err == nil {
		c.absent(t, "json of "+where, string(text))
	}
	if err, ok := v.(error); ok {
		c.absent(t, "text of "+where, err.Error())
		switch w := err.(type) { //nolint:errorlint // it is walked by hand
		case interface{ Unwrap() error }:
			if inner := w.Unwrap(); inner != nil {
				c.absentFrom(t, "inside "+where, inner)
			}
		case interface{ Unwrap() []error }:
			for _, inner := range w.Unwrap() {
				c.absentFrom(t, "inside "+where, inner)
			}
		}
	}
}

// leakyProvider holds its secret as people do.
type leakyProvider struct{ Password string }

func (*leakyProvider) Name() string { return "leaky" }
func (p *leakyProvider) Fetch(context.Context) (secretsauth.Secret, error) {
	return secretsauth.NewToken(p.Password), nil
}

func TestTheNetCatchesWhatItShould(t *testing.T) {
	t.Parallel()
	c := newCanary()
	for name, text := range map[string]string{
		"raw":            "token=" + c.text,
		"a part":         c.text[3:20],
		"base64":         base64.StdEncoding.EncodeToString([]byte(c.text)),
		"base64 of pair": base64.StdEncoding.EncodeToString([]byte("user:" + c.text)),
		"base64 of long": base64.URLEncoding.EncodeToString([]byte("me:" + c.text)),
		"hex":            hex.EncodeToString([]byte(c.text)),
		"bytes":          fmt.Sprintf("%d", []byte(c.text)),
		"in lower case":  strings.ToLower(c.text),
	} {
		probe := &testing.T{}
		func() {
			defer func() { _ = recover() }() // a T of nobody's cannot log
			c.absent(probe, name, text)
		}()
		if !probe.Failed() {
			t.Errorf("%s went through the net", name)
		}
	}
}

// journal is a log at every level.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug - 10}))
}

// TestS152TheLeakNet drives a transport through everything that can go wrong and
// looks at all that comes out.
func TestS152TheLeakNet(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"token", "username and password"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newCanary()
			secret := secretsauth.NewToken(c.text)
			if kind != "token" {
				secret = secretsauth.NewUserPassword("user", c.text)
			}
			var answer func(http.ResponseWriter, *http.Request)
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) { answer(rw, req) }))
			defer server.Close()
			var log journal
			failing := errors.New("")
			store := &fakeStore{}
			store.set(func(s *fakeStore) { s.secret = secret })
			cfg := secretsauth.Config{AllowedHosts: []string{"127.0.0.1", "*.test"}, Logger: log.logger()}
			cache := secretsauth.NewCache(store, cfg)
			rt, err := secretsauth.NewTransport(cache, cfg)
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: rt}
			get := func(name, url string) {
				resp, err := client.Get(url)
				if err != nil {
					c.absentFrom(t, name+": the error", err)
					return
				}
				defer resp.Body.Close()
				_, _ = io.Copy(io.Discard, resp.Body)
				c.absent(t, name+": S157 resp.Request", fmt.Sprintf("%v %+v", resp.Request, resp.Request.Header))
			}

			ok := func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok") }
			say := func(code int) func(http.ResponseWriter, *http.Request) {
				return func(rw http.ResponseWriter, req *http.Request) { // S162: it echoes the header
					rw.WriteHeader(code)
					_, _ = io.WriteString(rw, req.Header.Get("Authorization"))
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
				c.absentFrom(t, "Warm", rt.Warm(t.Context()))
			}
			for name, bad := range map[string]secretsauth.Secret{
				"S161 a line end inside": secretsauth.NewToken(c.text + "\n" + c.text),
				"S161 outside ASCII":     secretsauth.NewToken(c.text + "é"),
				"a ready-made header":    secretsauth.NewToken("Basic " + c.text),
				"S163 a colon":           secretsauth.NewUserPassword("a:b", c.text),
				"zero":                   {},
			} {
				store.set(func(s *fakeStore) { s.secret, s.err = bad, nil })
				rt.ClearCache()
				get(name, server.URL)
			}

			c.absent(t, "the log", log.String())
			if !strings.Contains(log.String(), "Authentication successful") {
				t.Error("the log was not captured")
			}
			leaky := secretsauth.NewCache(&leakyProvider{c.text}, cfg)
			for name, v := range map[string]any{
				"Transport": rt, "Cache": cache, "Cache of a provider that hides nothing": leaky, "Stats": rt.Stats(), "Secret": secret,
				"Static": secretsauth.Static(secret), "client": client,
			} {
				c.absentFrom(t, "S155 S166 "+name, v)
			}
		})
	}
}

// Texts that are put into a secret's place, cut off anywhere, nested anyhow: the
// error names fields and nothing else.
func TestErrorsOfBadSecretsShowNoPartOfThem(t *testing.T) {
	t.Parallel()
	c := newCanary()
	t.Run("S87 cut off at every byte", func(t *testing.T) {
		t.Parallel()
		for _, whole := range []string{
			`{"token":"` + c.text + `","username":"` + c.text + `","password":"` + c.text + `"}`,
			`{"` + c.text + `":{"` + c.text + `":["` + c.text + `"]}}`,
		} {
			for i := range whole {
				if _, err := secretsauth.ParseSecret([]byte(whole[:i])); err != nil {
					c.absentFrom(t, fmt.Sprintf("the error for %d bytes", i), err)
				} else {
					t.Errorf("%d bytes are taken for a secret", i)
				}
			}
		}
	})
	for name, raw := range map[string]string{
		"S152 nested in data.data":           `{"data":{"data":{"token":"` + c.text + `"},"metadata":{"version":1}}}`,
		"S81 nested in a field of ours":      `{"token":{"token":"` + c.text + `"}}`,
		"S75 in an array":                    `["` + c.text + `"]`,
		"S75 a JSON string":                  `"` + c.text + `"`,
		"S160 a number that overflows":       `{"token":1e999,"password":"` + c.text + `"}`,
		"S160 the name of a field":           `{"` + c.text + `":1}`,
		"S160 after the end of the object":   `{"token":"t"} ` + c.text,
		"S160 a bad escape":                  `{"token":"\q` + c.text + `"}`,
		"S161 a control character inside":    c.text + "\x1b" + c.text,
		"S80 several lines":                  c.text + "\n" + c.text + "\n" + c.text,
		"S79 over the limit":                 strings.Repeat(c.text, 20_000),
		"S163 Basic, already in base64":      "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+c.text)),
		"S163 escaped, with a bad character": url.QueryEscape(c.text) + "\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := secretsauth.ParseSecret([]byte(raw))
			if !errors.Is(err, secretsauth.ErrInvalidSecret) || !s.IsZero() {
				t.Fatalf("ErrInvalidSecret: %v, want an error and nothing else", errors.Is(err, secretsauth.ErrInvalidSecret))
			}
			c.absentFrom(t, "the error", err)
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
			c := newCanary()
			var log journal
			w := newWorld(t, func(cfg *secretsauth.Config) { cfg.Logger, cfg.RequireTLS = log.logger(), test.tls })
			w.store.fail(test.store)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf(test.url, c.text), nil)
			if err != nil {
				t.Fatal("the URL of the test is none")
			}
			resp, err := w.rt.RoundTrip(req)
			if err != nil {
				c.absentFrom(t, "the error", err)
			} else {
				_ = resp.Body.Close()
			}
			c.absent(t, "the log", log.String())
			if log.String() == "" && err == nil {
				t.Error("nothing was said at all")
			}
		})
	}
}

func TestACausesTextStaysInside(t *testing.T) {
	t.Parallel()
	c := newCanary()
	t.Run("S160 context.Cause of a caller who gives up", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t)
			w.store.slow(time.Second)
			ctx, cancel := context.WithCancelCause(context.Background())
			go cancel(errors.New(c.text))
			_, err := w.doWith(ctx, "/", nil)
			if !errors.Is(err, context.Canceled) {
				t.Fatal("the caller's own context error did not come back")
			}
			c.absentFrom(t, "the error", err)
		})
	})
	t.Run("S134 S160 what a provider panics with", func(t *testing.T) {
		t.Parallel()
		var log journal
		rt, err := secretsauth.NewTransport(secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) { panic(c.text) }),
			secretsauth.Config{AllowedHosts: []string{"*"}, Logger: log.logger()})
		if err != nil {
			t.Fatal(err)
		}
		err = rt.Warm(t.Context())
		if !errors.Is(err, secretsauth.ErrUnavailable) {
			t.Error("a panic is not ErrUnavailable")
		}
		c.absentFrom(t, "the error", err)
		c.absent(t, "the log", log.String())
	})
}
