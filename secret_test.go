package secretsauth_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

func TestParseSecret(t *testing.T) {
	t.Parallel()
	// A canary takes the place of abc.
	for _, test := range []struct {
		name, raw                 string
		token, username, password string // what it holds; all empty: an error
	}{
		{name: "token field", raw: `{"token":"abc"}`, token: "abc"},
		{name: "username and password fields", raw: `{"username":"u","password":"p"}`, username: "u", password: "p"},
		{name: "S84 all three", raw: `{"token":"abc","username":"u","password":"p"}`, token: "abc", username: "u", password: "p"},
		{name: "other fields", raw: `{"token":"abc","owner":{"team":7},"old":null}`, token: "abc"},
		{name: "a token with a colon, in its field", raw: `{"token":"a:b"}`, token: "a:b"},
		{name: "bare token", raw: "abc", token: "abc"},
		{name: "bare number", raw: "12345", token: "12345"},
		{name: "bare user:password", raw: "u:p", username: "u", password: "p"},
		{name: "bare user:password with more colons", raw: "u:p:q", username: "u", password: "p:q"},
		{name: "bare token with its scheme", raw: "Bearer abc", token: "Bearer abc"},
		{name: "S76 password outside ASCII", raw: `{"username":"ü","password":"pässwörd\u2028"}`, username: "ü", password: "pässwörd\u2028"},
		{name: "password with spaces inside and around", raw: `{"username":"u","password":" p q "}`, username: "u", password: " p q "},
		{name: "64 KiB", raw: strings.Repeat("x", 64<<10), token: strings.Repeat("x", 64<<10)},

		{name: "S72 newline at the end", raw: "abc\n", token: "abc"},
		{name: "S72 CRLF, spaces, TAB", raw: " \tabc \r\n", token: "abc"},
		{name: "S72 byte order mark", raw: "\ufeffabc", token: "abc"},
		{name: "S72 byte order mark before JSON", raw: "\ufeff{\"token\":\"abc\"}\n", token: "abc"},
		{name: "S72 newline inside the field", raw: `{"token":"abc\n"}`, token: "abc"},
		{name: "S78 line ends around the password", raw: `{"username":"u\n","password":"p\r\n"}`, username: "u", password: "p"},

		{name: "S73 inner line end", raw: "abc\nabc"},
		{name: "S73 inner CR", raw: "abc\rabc"},
		{name: "S73 NUL", raw: "abc\x00abc"},
		{name: "S73 DEL", raw: "abc\x7fabc"},
		{name: "S73 VT", raw: "abc\vabc"},
		{name: "S73 ESC", raw: "abc\x1b[31mabc"},
		{name: "S73 inner line end in the field", raw: `{"token":"abc\nabc"}`},
		{name: "S74 empty", raw: ""},
		{name: "S74 white space", raw: " \n\t"},
		{name: "S74 empty field", raw: `{"token":""}`},
		{name: "S74 white space in the field", raw: `{"token":" \n"}`},
		{name: "S74 only the scheme", raw: "Bearer "},
		{name: "S75 null", raw: "null"},
		{name: "S75 null field", raw: `{"token":null}`},
		{name: "S75 number field", raw: `{"token":17}`},
		{name: "S75 object field", raw: `{"username":"u","password":{"value":"p"}}`},
		{name: "S75 array", raw: `["abc"]`},
		{name: "S75 JSON string", raw: `"abc"`},
		{name: "S76 token outside ASCII", raw: "abcé"},
		{name: "S76 line separator in a token", raw: "abc\u2028abc"},
		{name: "S76 invalid UTF-8", raw: "abc\xffabc"},
		{name: "S76 invalid UTF-8 in a password", raw: "u:p\xff"},
		{name: "S76 invalid UTF-8 in a JSON password", raw: "{\"username\":\"u\",\"password\":\"p\xff\"}"},
		{name: "S76 half a surrogate pair in a JSON password", raw: `{"username":"u","password":"p\ud800q"}`},
		{name: "S77 colon in the username", raw: `{"username":"u:v","password":"p"}`},
		{name: "S77 control character in the username", raw: `{"username":"u\u0007v","password":"p"}`},
		{name: "S78 line end inside the password", raw: `{"username":"u","password":"p\r\nq"}`},
		{name: "S78 line end inside a bare password", raw: "u:p\nq"},
		{name: "S79 over the limit by a field of no use", raw: `{"token":"abc","notes":"` + strings.Repeat("x", 1<<20) + `"}`},
		{name: "S79 over the limit", raw: strings.Repeat("x", 1<<20)},
		{name: "S80 a PEM file", raw: "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\n"},
		{name: "S81 the fields one level deeper", raw: `{"data":{"token":"abc"}}`},
		{name: "S85 a ready-made Basic header", raw: "Basic dXNlcjpwYXNz"},
		{name: "S87 truncated", raw: `{"token":"abc`},
		{name: "S87 not JSON after the brace", raw: `{token: abc}`},
		{name: "user without password", raw: `{"username":"u"}`},
		{name: "password without user", raw: `{"password":"p"}`},
		{name: "bare user without password", raw: "u:"},
		{name: "bare password without user", raw: ":p"},
		{name: "no field of ours", raw: `{"value":"abc"}`},
		{name: "empty object", raw: `{}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := canary.New()
			fill := func(text string) string { return strings.ReplaceAll(text, "abc", c) }
			s, err := secretsauth.ParseSecret([]byte(fill(test.raw)))
			if test.token == "" && test.username == "" {
				if !errors.Is(err, secretsauth.ErrInvalidSecret) || !s.IsZero() {
					t.Fatalf("error %v, want ErrInvalidSecret and nothing else", err)
				}
				canary.AbsentFrom(t, "the error", err, c)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			token, hasToken := s.Token()
			user, password, hasPassword := s.UserPassword()
			if token != fill(test.token) || hasToken != (test.token != "") {
				t.Error("not the token that was stored")
			}
			if user != test.username || password != test.password || hasPassword != (test.username != "") {
				t.Error("not the username and password that were stored")
			}
		})
	}
}

func TestS75S79S87ErrorsOfParseSecretNameFieldsAndNeverValues(t *testing.T) {
	t.Parallel()
	c := canary.New()
	for _, test := range []struct{ raw, says string }{
		{`{"token":17` + c, "malformed"},
		{`{"token":["` + c + `"]}`, `"token"`},
		{`{"username":"` + c + `"}`, `"password"`},
		{`{"password":"` + c + `"}`, `"username"`},
		{`{"` + c + `":"x"}`, `"token"`},
		{c + "\n" + c, "control character"},
		{c + "é", "ASCII"},
		{"Basic " + c, "Basic"},
		{`{"username":"` + c + `:x","password":"p"}`, "colon"},
		{strings.Repeat(c, 1<<16), "1703936 bytes"},
	} {
		_, err := secretsauth.ParseSecret([]byte(test.raw))
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "fix: ") {
			t.Errorf("the error does not say %q, or has no fix", test.says)
		}
		canary.AbsentFrom(t, "the error that says "+test.says, err, c)
	}
}

// What WithHeader makes is another secret; the one it is made of stays as it is.
func TestWithHeaderChangesNothing(t *testing.T) {
	t.Parallel()
	one := secretsauth.NewToken("a").WithHeader("X-B", "2")
	_, _ = one.WithHeader("X-A", "1"), one.WithHeader("X-B", "3")
	if h := one.Headers(); len(h) != 1 || h.Get("X-B") != "2" {
		t.Error("the secret has changed")
	}
	h := one.Headers()
	h.Set("X-B", "3")
	if one.Headers().Get("X-B") != "2" || secretsauth.NewToken("a").Headers() != nil {
		t.Error("Headers gives what others hold too")
	}
}

func TestSecretsAreEqualByWhatTheyHold(t *testing.T) {
	t.Parallel()
	token, pair := secretsauth.NewToken("a"), secretsauth.NewUserPassword("u", "p")
	parsed, err := secretsauth.ParseSecret([]byte("u:p"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		a, b secretsauth.Secret
		want bool
	}{
		{"same token", token, secretsauth.NewToken("a\n"), true},
		{"another token", token, secretsauth.NewToken("b"), false},
		{"token and pair", secretsauth.NewToken("u:p"), pair, false},
		{"pair and bare text", pair, parsed, true},
		{"another password", pair, secretsauth.NewUserPassword("u", "q"), false},
		{"the same headers, in another order and spelling", token.WithHeader("A", "1").WithHeader("B", "2"), token.WithHeader("b", "2 ").WithHeader("a", "1"), true},
		{"a header more", token, token.WithHeader("A", "1"), false},
		{"another header", token.WithHeader("A", "1"), token.WithHeader("B", "1"), false},
		{"another value of a header", token.WithHeader("A", "1"), token.WithHeader("A", "2"), false},
		{"headers alone and nothing", secretsauth.Secret{}.WithHeader("A", "1"), secretsauth.Secret{}, false},
		{"expiry and hints do not count", token, token.WithExpiry(time.Now()).WithTTL(time.Hour).WithMode(secretsauth.AuthBasic), true},
		{"zero", secretsauth.Secret{}, secretsauth.Secret{}, true},
		{"zero and a token", secretsauth.Secret{}, token, false},
	} {
		if test.a.Equal(test.b) != test.want || test.b.Equal(test.a) != test.want {
			t.Errorf("%s: want %v", test.name, test.want)
		}
	}
	if token.IsZero() || !(secretsauth.Secret{}).IsZero() || (secretsauth.Secret{}).WithHeader("A", "1").IsZero() {
		t.Error("IsZero")
	}
}

// Everything that holds a secret somewhere.
type holder struct {
	Exported secretsauth.Secret
	hidden   secretsauth.Secret
	pointer  *secretsauth.Secret
	list     []secretsauth.Secret
	table    map[string]secretsauth.Secret
	any      any
}

func TestS155S156ASecretNeverPrints(t *testing.T) {
	t.Parallel()
	c := canary.New()
	for name, s := range map[string]secretsauth.Secret{
		"token":                 secretsauth.NewToken(c),
		"username and password": secretsauth.NewUserPassword(c, c),
		"headers":               secretsauth.Secret{}.WithHeader("X-Gate", c).WithHeader(c, c),
	} {
		h := holder{s, s, &s, []secretsauth.Secret{s}, map[string]secretsauth.Secret{"k": s}, s}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T"} {
			for place, v := range map[string]any{"value": s, "pointer": &s, "holder": h, "pointer to holder": &h, "slice": h.list, "map": h.table} {
				canary.Absent(t, name+", "+verb+" of "+place, fmt.Sprintf(verb, v), c)
			}
		}
		if got := fmt.Sprint(s); got != "[REDACTED]" {
			t.Errorf("prints as %q", got)
		}
		encode := map[string]func(any) (string, error){
			"json": func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
			"xml":  func(v any) (string, error) { b, err := xml.Marshal(v); return string(b), err },
			"gob": func(v any) (string, error) {
				var b bytes.Buffer
				err := gob.NewEncoder(&b).Encode(v)
				return b.String(), err
			},
			"template": func(v any) (string, error) {
				var b bytes.Buffer
				err := template.Must(template.New("").Parse("{{.}} {{printf \"%v %+v %#v %s\" . . . .}}")).Execute(&b, v)
				return b.String(), err
			},
			"slog text": func(v any) (string, error) {
				var b bytes.Buffer
				slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v, slog.Group("g", "v", v))
				return b.String(), nil
			},
			"slog json": func(v any) (string, error) {
				var b bytes.Buffer
				slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v, slog.Group("g", "v", v))
				return b.String(), nil
			},
			"panic": func(v any) (text string, err error) {
				defer func() { text = fmt.Sprint(recover()) }()
				panic(v)
			},
			"error": func(v any) (string, error) { return fmt.Errorf("with %v and %+v", v, v).Error(), nil },
		}
		for how, f := range encode {
			for place, v := range map[string]any{"value": s, "pointer": &s, "holder": struct{ S secretsauth.Secret }{s}, "hidden": h} {
				text, err := f(v)
				canary.Absent(t, name+", "+how+" of "+place, text, c)
				if err != nil {
					canary.Absent(t, name+", error of "+how+" of "+place, err.Error(), c)
				}
			}
		}
	}
}

// The variables that make this test binary a child process, which prints what
// it may, panics, and is told what to keep to itself.
const (
	canaryVariable = "SECRETSAUTH_TEST_CANARY"
	panicVariable  = "SECRETSAUTH_TEST_PANIC"
)

// TestChildProcess does nothing but in the child process of
// TestAProcessThatPrintsAndPanics.
func TestChildProcess(*testing.T) {
	if text := os.Getenv(canaryVariable); text != "" {
		printAndPanic(text, os.Getenv(panicVariable))
	}
}

// printAndPanic does what a careless program does with a secret.
func printAndPanic(text, what string) {
	s := secretsauth.NewToken(text)
	h := holder{s, s, &s, []secretsauth.Secret{s}, map[string]secretsauth.Secret{"k": s}, s}
	slog.SetLogLoggerLevel(slog.LevelDebug)
	cfg := secretsauth.Config{AllowedHosts: []string{"*"}, Logger: slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug})), Base: roundTripper(
		func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody}, nil
		})}
	for _, secret := range []secretsauth.Secret{s, s.WithHeader("X-Gate", text), s.WithHeader(text, text+"\n"+text), secretsauth.NewToken(text + "\n" + text), secretsauth.NewUserPassword("u:v", text)} {
		for _, logger := range []*slog.Logger{nil, slog.Default(), cfg.Logger} {
			cfg.Logger = logger
			rt, err := secretsauth.NewTransport(secretsauth.Static(secret), cfg)
			if err != nil {
				panic("NewTransport failed")
			}
			for range 2 {
				req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://mlflow.test/", nil)
				resp, err := rt.RoundTrip(req) //nolint:bodyclose // NoBody
				log.Printf("%v %+v %#v %v", rt, rt, cfg, err)
				if resp != nil {
					log.Printf("%v %+v", resp, resp.Request)
				}
			}
		}
	}
	log.Printf("%v %+v %#v", h, h, h)
	println("the end is near") // so that the parent knows how far it got
	switch what {
	case "holder":
		panic(h)
	case "pointer":
		panic(&s)
	case "error":
		panic(fmt.Errorf("with %v", s))
	}
	panic(s)
}

func TestAProcessThatPrintsAndPanics(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"secret", "pointer", "holder", "error"} {
		t.Run("S155 S156 panic with "+what, func(t *testing.T) {
			t.Parallel()
			c := canary.New()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildProcess$")
			child.Env = append(os.Environ(), canaryVariable+"="+c, panicVariable+"="+what)
			out, err := child.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "the end is near") || !strings.Contains(string(out), "panic: ") {
				t.Fatal("the child process did not get as far as its panic")
			}
			canary.Absent(t, "S152 stdout and stderr of the process", string(out), c)
		})
	}
}
