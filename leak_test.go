package secretsauth_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// The leak net. Every test whose secret could get out makes it with newCanary or
// secretsauth.Canary, and what comes out of the tests is kept: their output, the
// log at every level, the errors, what transports print as, the requests that
// responses refer to. At the end of the package TestMain looks for every canary in
// all of it. Tests about leaks look at once, so that they can say where.

// leakRun is how many characters of a secret in a row are a leak.
const leakRun = 12

// canary is a secret made for one test, so that it can be searched for.
type canary struct {
	text string
	mesh mesh
}

func newCanary() canary {
	text := secretsauth.Canary()
	return canary{text, newMesh(text)}
}

// mesh finds every form of the runs of some secrets, by its first leakRun
// characters.
type mesh map[string][]string

func newMesh(secrets ...string) mesh {
	m := mesh{}
	for _, secret := range secrets {
		for i := 0; i+leakRun <= len(secret); i++ {
			run := []byte(secret[i : i+leakRun])
			list := strings.Trim(fmt.Sprintf("%d", run), "[]")
			quoted, _ := json.Marshal(string(run))
			for _, form := range []string{
				string(run), url.QueryEscape(string(run)), url.PathEscape(string(run)), strings.Trim(string(quoted), `"`),
				// Twelve bytes are whole groups of base64. At whatever offset a longer
				// secret stands, behind a username for one, some of its runs are that.
				base64.StdEncoding.EncodeToString(run),
				hex.EncodeToString(run), list, strings.ReplaceAll(list, " ", ", "),
			} {
				form = plain(form)
				if key := form[:leakRun]; !slices.Contains(m[key], form) {
					m[key] = append(m[key], form)
				}
			}
		}
	}
	return m
}

// plain is text in lower case and in one alphabet of base64. It makes no difference
// to whoever finds a secret.
func plain(text string) string {
	b := []byte(text)
	for i, c := range b {
		switch {
		case 'A' <= c && c <= 'Z':
			b[i] = c + 'a' - 'A'
		case c == '-':
			b[i] = '+'
		case c == '_':
			b[i] = '/'
		}
	}
	return string(b)
}

// catches reports whether a secret is in text.
func (m mesh) catches(text string) bool {
	text = plain(text)
	for i := 0; i+leakRun <= len(text); i++ {
		for _, form := range m[text[i:i+leakRun]] {
			if strings.HasPrefix(text[i:], form) {
				return true
			}
		}
	}
	return false
}

// absent fails without repeating what was found.
func (c canary) absent(t *testing.T, where, text string) {
	t.Helper()
	if c.mesh.catches(text) {
		t.Errorf("%s: the secret is in it", where)
	}
}

// absentFrom looks at every way of printing v, and at what an error wraps.
func (c canary) absentFrom(t *testing.T, where string, v any) {
	t.Helper()
	for how, text := range printed(v) {
		c.absent(t, how+" of "+where, text)
	}
}

// printed is every way of printing v, and what is inside if it is an error.
func printed(v any) iter.Seq2[string, string] {
	return func(yield func(how, text string) bool) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if !yield(verb, fmt.Sprintf(verb, v)) {
				return
			}
		}
		if text, err := json.Marshal(v); err == nil && !yield("json", string(text)) {
			return
		}
		err, _ := v.(error)
		if err == nil {
			return
		}
		if !yield("text", err.Error()) {
			return
		}
		var inner []error
		switch w := err.(type) { //nolint:errorlint // it is walked by hand
		case interface{ Unwrap() error }:
			inner = []error{w.Unwrap()}
		case interface{ Unwrap() []error }:
			inner = w.Unwrap()
		}
		for _, err := range inner {
			if err == nil {
				continue
			}
			for how, text := range printed(err) {
				if !yield("inside, "+how, text) {
					return
				}
			}
		}
	}
}

// haul is what has come out of the package's tests, every text once.
type haul struct {
	mu    sync.Mutex
	texts map[string]string // with where it came from
	rts   []*secretsauth.Transport
	last  atomic.Pointer[secretsauth.Error] // that was kept: many requests may get the same
}

var hauled = haul{texts: map[string]string{}}

func (h *haul) add(where, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.texts[text]; !known {
		h.texts[text] = where
	}
}

// value keeps v as it prints.
func (h *haul) value(where string, v any) {
	for how, text := range printed(v) {
		h.add(how+" of "+where, text)
	}
}

// Write keeps a line of the log.
func (h *haul) Write(line []byte) (int, error) {
	h.add("the log", string(line))
	return len(line), nil
}

// exchange keeps what a round trip has ended with. A response that refers to a
// request without headers, as the test has sent it, has nothing to show.
func (h *haul) exchange(sent *http.Request, resp *http.Response, err error) {
	if shared, _ := err.(*secretsauth.Error); err != nil && (shared == nil || h.last.Swap(shared) != shared) { //nolint:errorlint // this very one
		h.value("an error of RoundTrip", err)
	}
	if resp != nil && (resp.Request != sent || len(sent.Header) > 0) {
		h.add("S157 resp.Request", fmt.Sprintf("%v %+v", resp.Request, resp.Request.Header))
	}
}

// search returns where the mesh has caught something.
func (h *haul) search(m mesh) (places []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for text, where := range h.texts {
		if m.catches(text) && !slices.Contains(places, where) {
			places = append(places, where)
		}
	}
	slices.Sort(places)
	return places
}

// newTransport is secretsauth.NewTransport with the net beneath it.
func newTransport(p secretsauth.Provider, cfg secretsauth.Config) (*secretsauth.Transport, error) {
	handler := slog.Handler(brief{new(atomic.Int32), slog.NewTextHandler(&hauled, &slog.HandlerOptions{
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
		hauled.value("an error of NewTransport", err)
		return rt, err
	}
	hauled.mu.Lock()
	hauled.rts = append(hauled.rts, rt)
	hauled.mu.Unlock()
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
	hauled.exchange(req, resp, err)
	return resp, err
}

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(canaryVariable) != "" || flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(m.Run()) // a child process, whose parent looks, or the fuzzer with its own
	}
	output := tap()
	code := m.Run()
	hauled.add("the output of the tests", output())
	for _, rt := range hauled.rts {
		hauled.value("Transport", rt)
		hauled.value("Stats", rt.Stats())
	}
	secrets := secretsauth.Canaries()
	if places := hauled.search(newMesh(secrets...)); len(places) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: S152 a secret of the tests is in: %s\n", strings.Join(places, "; "))
		code = max(code, 1)
	} else if testing.Verbose() {
		fmt.Printf("the leak net: none of %d secrets in %d texts\n", len(secrets), len(hauled.texts))
	}
	os.Exit(code)
}

// tap keeps what goes to the standard output and error, on its way, until it is
// asked for it.
func tap() func() string {
	var kept bytes.Buffer
	var mu sync.Mutex
	var taps sync.WaitGroup
	var ends []func()
	for _, file := range []**os.File{&os.Stdout, &os.Stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			panic(err)
		}
		before := *file
		*file = w
		ends = append(ends, func() { *file = before; _ = w.Close() })
		taps.Go(func() {
			buffer := make([]byte, 64<<10)
			for {
				n, err := r.Read(buffer)
				_, _ = before.Write(buffer[:n])
				mu.Lock()
				_, _ = kept.Write(buffer[:n]) // both mixed, as on a terminal
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	log.SetOutput(os.Stderr)
	return func() string {
		for _, end := range ends {
			end()
		}
		log.SetOutput(os.Stderr)
		taps.Wait()
		return kept.String()
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
	// Not secretsauth.Canary: what is let out here on purpose is none of TestMain's.
	secret := rand.Text()
	odd := "/+" + secret[:4] + "=%&" + secret[4:8] + "<é>" + secret[8:12] + "?#[]" // what escaping changes
	m := newMesh(secret, odd)
	b64 := base64.StdEncoding.EncodeToString
	for name, text := range map[string]string{
		"raw":                          "token=" + secret,
		"a run of twelve":              "…" + secret[7:19] + "…",
		"in lower case":                strings.ToLower(secret),
		"URL-escaped":                  "https://mlflow.test/?t=" + url.QueryEscape(odd),
		"URL-escaped in a path":        "https://mlflow.test/" + url.PathEscape(odd),
		"URL-escaped in userinfo":      url.UserPassword("user", secret).String(),
		"in JSON, escaped":             fmt.Sprintf("%q", map[string]string{"token": odd}),
		"base64":                       b64([]byte(secret)),
		"base64 for URLs":              base64.URLEncoding.EncodeToString([]byte(odd)),
		"base64 without padding":       base64.RawStdEncoding.EncodeToString([]byte(secret)),
		"base64 for URLs, no padding":  base64.RawURLEncoding.EncodeToString([]byte(odd)),
		"base64 of user:pass":          "Basic " + b64([]byte("user:"+secret)),
		"base64 of me:pass":            "Basic " + b64([]byte("me:"+secret)),
		"base64 of alice:pass":         "Basic " + b64([]byte("alice:"+secret)),
		"base64 of a pair, for URLs":   base64.RawURLEncoding.EncodeToString([]byte("user:" + odd)),
		"hex":                          hex.EncodeToString([]byte(secret)),
		"hex in upper case":            fmt.Sprintf("%X", secret),
		"a list of bytes":              fmt.Sprintf("%d", []byte(secret)),
		"a list of bytes in Go":        strings.ReplaceAll(fmt.Sprintf("%d", []byte(secret)), " ", ", "),
		"%v of a struct":               fmt.Sprintf("%v", leakyProvider{secret}),
		"%+v of a pointer to it":       fmt.Sprintf("%+v", &leakyProvider{secret}),
		"in the middle of much else":   strings.Repeat("x", 100_000) + secret + strings.Repeat("y", 100_000),
		"twice, the first one cut off": secret[:11] + secret,
	} {
		if !m.catches(text) {
			t.Errorf("%s went through the net", name)
		}
	}
	for name, text := range map[string]string{
		"nothing":             "",
		"eleven in a row":     "…" + secret[:11] + "…" + secret[15:],
		"another one's":       rand.Text(),
		"what hides a secret": fmt.Sprintf("%v %+v %#v", secretsauth.NewToken(secret), secretsauth.NewToken(secret), secretsauth.NewToken(secret)),
	} {
		if m.catches(text) {
			t.Errorf("%s was caught", name)
		}
	}
}

func TestTheNetIsCastOverAllThatComesOut(t *testing.T) {
	t.Parallel()
	secret := rand.Text()
	m := newMesh(secret)
	leak := errors.New("token " + secret)
	request := httptest.NewRequest(http.MethodGet, "https://mlflow.test/", nil)
	shown := request.Clone(t.Context())
	shown.Header.Set("Authorization", "Bearer "+secret)
	for name, keep := range map[string]func(*haul){
		"an error":                   func(h *haul) { h.value("", leak) },
		"an error inside":            func(h *haul) { h.value("", &secretsauth.Error{Kind: secretsauth.ErrDenied, Cause: leak}) },
		"an error inside that hides": func(h *haul) { h.value("", hidingError{leak}) },
		"errors joined":              func(h *haul) { h.value("", hidingError{errors.Join(down(), leak)}) },
		"a value":                    func(h *haul) { h.value("", leakyProvider{secret}) },
		"a value in JSON only":       func(h *haul) { h.value("", leaksInJSON(secret)) },
		"a line of the log":          func(h *haul) { slog.New(slog.NewTextHandler(h, nil)).Info("m", "token", secret) },
		"resp.Request":               func(h *haul) { h.exchange(request, &http.Response{Request: shown}, nil) },
		"the caller's own request":   func(h *haul) { h.exchange(shown, &http.Response{Request: shown}, nil) },
		"an error of a request":      func(h *haul) { h.exchange(request, nil, leak) },
	} {
		h := &haul{texts: map[string]string{}}
		keep(h)
		if len(h.search(m)) == 0 {
			t.Errorf("%s went past the net", name)
		}
	}
	clean := &haul{texts: map[string]string{}}
	clean.exchange(request, &http.Response{Request: request}, nil)
	clean.value("", down())
	if places := clean.search(m); len(places) > 0 {
		t.Errorf("caught in what is clean: %q", places)
	}
}

// hidingError says nothing of what it wraps.
type hidingError struct{ inner error }

func (hidingError) Error() string              { return "failed" }
func (hidingError) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "failed") }
func (e hidingError) Unwrap() error            { return e.inner }

// leaksInJSON prints as nothing but in JSON.
type leaksInJSON string

func (leaksInJSON) Format(fmt.State, rune)         {}
func (s leaksInJSON) MarshalJSON() ([]byte, error) { return json.Marshal(string(s)) }

// TestEverySecretIsACanary reads the tests: a secret that is a literal, or made
// otherwise, would go through the net. Literals are for tests of a secret's form,
// for examples, and for fuzz targets, whose findings must be found again.
func TestEverySecretIsACanary(t *testing.T) {
	t.Parallel()
	made := regexp.MustCompile(`\b(NewToken|NewUserPassword|ParseSecret|store\.put)\(((\[\]byte\()?["\x60]|.*\brand\.Text\()`)
	good := regexp.MustCompile(`\bCanary\(\)|NewUserPassword\(".*", ""\)`)
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatal("the tests are not there", err)
	}
	for _, file := range files {
		if slices.Contains([]string{"export_test.go", "leak_test.go", "example_test.go", "header_test.go", "secret_test.go"}, file) || strings.HasPrefix(file, "fuzz_") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(source), "\n") {
			if made.MatchString(line) && !good.MatchString(line) {
				t.Errorf("%s:%d: make this secret with secretsauth.Canary", file, i+1)
			}
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
