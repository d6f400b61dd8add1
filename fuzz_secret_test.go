package secretsauth_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/headers"
)

// fuzzMark stands for a secret in the fuzz targets. It is the same at every run,
// so that what is found can be run again.
const fuzzMark = "Zq7wK3vPx9Lm2Rt8"

// fuzzRun is how many characters of a secret in a row are a leak. Fewer turn up
// by chance.
const fuzzRun = 8

// marked is text with the mark in it, at a place that the fuzzer chooses.
func marked(text string, at uint) string {
	i := int(at % uint(len(text)+1))
	return text[:i] + fuzzMark + text[i:]
}

// shows reports whether text has a run of secret, in any case.
func shows(text, secret string) bool {
	text, secret = strings.ToLower(text), strings.ToLower(secret)
	for i := 0; i+fuzzRun <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+fuzzRun]) {
			return true
		}
	}
	return false
}

// vocabulary is what errors say of their own accord. Inputs may hold the same
// words, and an error is not to blame for that.
type vocabulary struct{ text string }

func (v *vocabulary) learn(err error) {
	if err != nil {
		v.text += digitless(err.Error()) + "\n"
	}
}

// quotes reports whether text has a run of input that is not of the vocabulary.
func (v *vocabulary) quotes(text, input string) bool {
	for i := 0; i+fuzzRun <= len(text); i++ {
		if run := text[i : i+fuzzRun]; strings.Contains(input, run) && !strings.Contains(v.text, digitless(run)) {
			return true
		}
	}
	return false
}

// digitless makes all numbers of one length the same: errors say how long a
// secret is.
func digitless(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, text)
}

var secretSeeds = []string{
	"", " \n\t", "\ufeff", "abc", "abc\n", "Bearer abc", "bearer ", "Basic dTpw", "Bearer Basic dTpw", "u:p", "u:p:q", "u:", ":p", ":", " u : p ", "u:p\xff", "u:\ufffd",
	"a\nb", "a\x00b", "a\x7fb", "a\x1b[31mb", "abcé", "ab\u2028c", "\xff", "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\n",
	"null", "true", "false", "17", "[]", `["abc"]`, `"abc"`, "{", "{}", "{token: abc}", `{"token":"ab`, `{"token":""}`, `{"token":" \n"}`, `{"token":null}`, `{"token":17}`,
	`{"token":{"token":"a"}}`, `{"token":"abc"}`, `{"token":"abc\n"}`, `{"token":"a\nb"}`, `{"token":"Bearer abc"}`, `{"token":"Basic dTpw"}`, `{"token":"a:b"}`, `{"token":"é"}`,
	`{"username":"u","password":"p"}`, `{"username":"u"}`, `{"password":"p"}`, `{"username":"u:v","password":"p"}`, `{"username":" u\n","password":"p\r\n"}`, `{"username":"u","password":"p\nq"}`,
	`{"username":"ü","password":"pä\u2028"}`, `{"username":"Basic u","password":"p"}`, `{"username":"u","password":"p\ud800q"}`, `{"token":"t","username":"u","password":"p"}`,
	`{"headers":{"CF-Access-Client-Id":"i","CF-Access-Client-Secret":"s"}}`, `{"token":"t","headers":{"x-gate":" g\n"}}`, `{"username":"u","password":"p","headers":{"X-MLFLOW-WORKSPACE":"team"}}`,
	`{"headers":{"authorization":"Bearer t"}}`, `{"headers":{}}`, `{"headers":null}`, `{"headers":[]}`, `{"headers":{"X-Gate":17}}`, `{"headers":{"X-Gate":null}}`, `{"headers":{"X-Gate":""}}`,
	`{"headers":{"X-Gate":"a","x-gate":"b"}}`, `{"headers":{"X Gate":"a"}}`, `{"headers":{"":"a"}}`, `{"headers":{"Host":"a"}}`, `{"headers":{"X-Mlflow-Workspace":"a"}}`, `{"headers":{"X-Gate":"a\nb"}}`,
	`{"headers":{"X-Gate":"é"}}`, `{"headers":{"X-Gate":"p\ud800q"}}`, `{"headers":{"A":"1","B":{"C":"2"}}}`,
	`{"token":"t","username":"u"}`, `{"Token":"t"}`, `{"token":"a","token":"b"}`, `{"data":{"data":{"token":"t"}}}`, `{"token":1e999}`, `{"token":"\q"}`, `{"token":"t"} x`, "{\"username\":\"u\",\"password\":\"p\xff\"}",
}

// FuzzParseSecret reads any bytes as a secret. An error shows nothing of them; what
// is read can be sent, by net/http's own judgement, and read again.
func FuzzParseSecret(f *testing.F) {
	var words vocabulary
	for _, seed := range secretSeeds {
		f.Add([]byte(seed), uint(len(seed)/2))
		_, err := secretsauth.ParseSecret([]byte(seed))
		words.learn(err)
	}
	_, err := secretsauth.ParseSecret(bytes.Repeat([]byte("x"), 1<<20))
	words.learn(err)
	for _, name := range headers.Known() { // these are repeated
		for _, value := range []string{"1", `"x"`, `"\n."`} {
			_, err := secretsauth.ParseSecret([]byte(`{"headers":{"` + name + `":` + value + `}}`))
			words.learn(err)
		}
	}
	wire := newWire(f)

	f.Fuzz(func(t *testing.T, raw []byte, at uint) {
		for _, text := range []string{string(raw), marked(string(raw), at)} {
			s, err := secretsauth.ParseSecret([]byte(text))
			if err == nil {
				wire.check(t, s)
				continue
			}
			if !errors.Is(err, secretsauth.ErrInvalidSecret) || !s.IsZero() {
				t.Fatal("the error is not ErrInvalidSecret, or something comes with it")
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
				if shows(fmt.Sprintf(verb, err), fuzzMark) {
					t.Fatalf("%s of the error shows a part of the secret", verb)
				}
			}
			if words.quotes(err.Error(), text) {
				t.Fatal("the error quotes a part of the secret")
			}
		}
	})
}

// wire asks net/http whether it would send a header, and what a server reads
// from it.
type wire struct {
	spy  *dialSpy
	last http.Header
}

func newWire(tb testing.TB) *wire {
	tb.Helper()
	w := &wire{spy: &dialSpy{}}
	w.spy.network.DialContext = w.spy.dial
	return w
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w.last = req.Header
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// sent are the headers that s is sent as, or nil if it is refused.
func (w *wire) sent(t *testing.T, s secretsauth.Secret, mode secretsauth.AuthMode, name string) http.Header {
	t.Helper()
	rt, err := secretsauth.NewTransport(secretsauth.Static(s), secretsauth.Config{AllowedHosts: []string{"mlflow.test"}, Mode: mode, HeaderName: name, Base: w})
	if err != nil {
		t.Fatal("NewTransport refuses")
	}
	w.last = nil
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://mlflow.test/", nil)
	if err != nil {
		t.Fatal("the request of the test is none")
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		if w.last != nil || !errors.Is(err, secretsauth.ErrInvalidSecret) {
			t.Fatal("refused by another error than ErrInvalidSecret, or sent all the same")
		}
		return nil
	}
	_ = resp.Body.Close()
	for _, values := range w.last {
		if len(values) != 1 {
			t.Fatalf("%d values of one header", len(values))
		}
	}
	_, token := s.Token()
	if _, _, pair := s.UserPassword(); w.last.Get(name) == "" != (!token && !pair) {
		t.Fatalf("%s does not carry what there is, or carries what there is not", name)
	}
	return w.last
}

func (w *wire) check(t *testing.T, s secretsauth.Secret) {
	t.Helper()
	if s.IsZero() || !s.Equal(s) || s.Equal(secretsauth.Secret{}) || fmt.Sprint(s) != "[REDACTED]" {
		t.Fatal("it is empty, not equal to itself, or printed")
	}
	user, password, pair := s.UserPassword()
	for _, mode := range []secretsauth.AuthMode{secretsauth.AuthAuto, secretsauth.AuthBearer, secretsauth.AuthBasic} {
		for _, name := range []string{"Authorization", "X-Api-Key"} {
			sent := w.sent(t, s, mode, name)
			if sent == nil {
				if mode == secretsauth.AuthAuto && name == "Authorization" && s.Headers().Get(name) == "" {
					t.Fatal("ParseSecret takes what cannot be sent")
				}
				continue
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://mlflow.test/", nil)
			if err != nil {
				t.Fatal("the request of the test is none")
			}
			req.Header = sent
			if w.spy.dialled(req) == "" {
				t.Fatalf("net/http refuses what is sent with mode %q in %s", mode, name)
			}
			for _, values := range sent {
				if value := values[0]; !isASCII(value) || strings.TrimSpace(value) != value { // HTTP/1 and HTTP/2 differ about these
					t.Fatalf("what is sent with mode %q in %s has a space at its edge, or is not ASCII", mode, name)
				}
			}
			for further, values := range s.Headers() {
				if sent.Get(further) != values[0] {
					t.Fatal("a further header is not sent as it is")
				}
			}
			if u, p, ok := req.BasicAuth(); ok && pair && s.Headers().Get("Authorization") == "" && (u != user || p != password) {
				t.Fatal("a server reads another username or password")
			}
		}
	}
	w.checkAgain(t, s)
}

// checkAgain stores what was read, and reads it again.
func (w *wire) checkAgain(t *testing.T, s secretsauth.Secret) {
	t.Helper()
	fields := map[string]any{}
	if further := s.Headers(); further != nil {
		inner := map[string]string{}
		for name, values := range further {
			inner[name] = values[0]
		}
		fields["headers"] = inner
	}
	if token, ok := s.Token(); ok {
		fields["token"] = token
	}
	if user, password, ok := s.UserPassword(); ok {
		if strings.TrimSpace(user) != user || strings.ContainsRune(user+password, utf8.RuneError) {
			return // JSON is read more strictly than bare text: trimmed, and U+FFFD is taken for what was no UTF-8
		}
		fields["username"], fields["password"] = user, password
	}
	stored, err := json.Marshal(fields)
	if err != nil {
		t.Fatal("json fails")
	}
	again, err := secretsauth.ParseSecret(stored)
	if len(stored) > 1<<17 {
		return // it may have outgrown the limit by its escapes
	}
	if err != nil || !again.Equal(s) || !s.Equal(again) {
		t.Fatal("what was read is read differently when it is stored again")
	}
}

// FuzzFields reads any bytes with any names of fields. A name is the configuration's
// and may be repeated; of what is stored an error shows nothing.
func FuzzFields(f *testing.F) {
	for _, seed := range secretSeeds {
		f.Add([]byte(seed), "api_key", "user", "", "X-Gate=gate", uint(len(seed)/2))
		f.Add([]byte(seed), "", "", "", "x-mlflow-workspace=token, X-Gate = username", uint(1))
	}
	f.Add([]byte(`{"api_key":"k","gate":"g"}`), "api_key", "", "", "X-Gate=gate", uint(13))
	f.Add([]byte(`{"a":"u","b":"p","c":"g"}`), "", "a", "b", "Host=c", uint(9))
	f.Add([]byte(`{"password":"p","username":"u","":"e"}`), "password", "password", "username", ",=,", uint(9))
	wire := newWire(f)
	f.Fuzz(func(t *testing.T, raw []byte, token, user, password, list string, at uint) {
		if shows(token+" "+user+" "+password+" "+list, fuzzMark) {
			return
		}
		fields := secretsauth.Fields{Token: token, Username: user, Password: password, Headers: list}
		s, err := fields.Parse([]byte(marked(string(raw), at)))
		switch {
		case err == nil:
			wire.check(t, s)
		case !errors.Is(err, secretsauth.ErrInvalidSecret) && !errors.Is(err, secretsauth.ErrConfig) || !s.IsZero():
			t.Fatal("the error is of another kind, or something comes with it")
		case shows(err.Error(), fuzzMark):
			t.Fatal("the error shows a part of the secret")
		}
	})
}

// FuzzRedaction prints secrets in every way, with any flags, from any place.
func FuzzRedaction(f *testing.F) {
	for _, seed := range []struct{ token, user, password, flags, verb string }{
		{"token", "user", "password", "", "v"}, {"t", "u", "p", "+", "v"}, {"t", "u", "p", "#", "v"}, {"", "", "", "", "s"}, {"a", "b", "c", "-100.3", "s"}, {"a\n", "b", "c\r\n", "#", "q"},
		{"\x00", "\xff", "é", "# 0", "x"}, {"t", "u", "p", "", "X"}, {"t", "u", "p", "", "d"}, {"t", "u", "p", "", "p"}, {"t", "u", "p", "", "T"}, {"t", "u", "p", "", "w"}, {"t", "u", "p", "[1]", "v"},
		{"t", "u", "p", "[1]*", "v"}, {"t", "u", "p", "", "%"}, {"t", "u", "p", "", "!"}, {"{{.}}", "<a>", `"`, "", "v"},
	} {
		f.Add(seed.token, seed.user, seed.password, seed.flags, seed.verb, uint(3))
	}
	f.Fuzz(func(t *testing.T, token, user, password, flags, verb string, at uint) {
		format := "%" + flags + verb
		if shows(format, fuzzMark) || strings.Count(digitless(format), "0") > 3 {
			return // a width of a million shows nothing new, slowly
		}
		for _, s := range []secretsauth.Secret{
			secretsauth.NewToken(marked(token, at)),
			secretsauth.NewUserPassword(marked(user, at), marked(password, at)),
			secretsauth.NewUserPassword(user, marked(password, at)),
			secretsauth.NewToken(token).WithHeader(user, marked(password, at)).WithHeader(marked(user, at), password),
		} {
			for _, v := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
				if got := fmt.Sprintf(v, s); got != "[REDACTED]" {
					t.Fatalf("%s does not print as [REDACTED]", v)
				}
			}
			h := holder{s, s, &s, []secretsauth.Secret{s}, map[string]secretsauth.Secret{"k": s}, s}
			for _, v := range []any{s, &s, h, &h, h.list, h.table, []any{s, h}, secretsauth.Static(s)} {
				for _, one := range []string{format, "%v", "%+v", "%#v", "%s", "%q", "%x", "%X"} {
					if text := fmt.Sprintf(one, v); shows(text, fuzzMark) || shows(text, fmt.Sprintf("%x", fuzzMark)) {
						t.Fatalf("%q of a %T shows the secret", one, v)
					}
				}
				for name, encode := range encoders {
					if text := encode(v); shows(text, fuzzMark) {
						t.Fatalf("%s of a %T shows the secret", name, v)
					}
				}
			}
		}
	})
}

// encoders give what they can; an error's text counts as well.
var encoders = map[string]func(any) string{
	"json": func(v any) string { b, err := json.Marshal(v); return fmt.Sprint(string(b), err) },
	"xml":  func(v any) string { b, err := xml.Marshal(v); return fmt.Sprint(string(b), err) },
	"gob": func(v any) string {
		var b bytes.Buffer
		err := gob.NewEncoder(&b).Encode(v)
		return fmt.Sprint(b.String(), err)
	},
	"slog": func(v any) string {
		var b bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(handler).With("with", v).WithGroup("g").Info("m", "v", v, slog.Group("h", "v", v))
		}
		return b.String()
	},
}
