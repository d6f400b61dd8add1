package canary

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// leaky holds its secret as people do.
type leaky struct{ Password string }

func TestS152TheNetCatchesWhatItShould(t *testing.T) {
	t.Parallel()
	// Not New: what is let out here on purpose is none of Net's.
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
		"%v of a struct":               fmt.Sprintf("%v", leaky{secret}),
		"%+v of a pointer to it":       fmt.Sprintf("%+v", &leaky{secret}),
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

func TestS152TheNetIsCastOverAllThatComesOut(t *testing.T) {
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
		"errors joined":              func(h *haul) { h.value("", hidingError{errors.Join(fs.ErrNotExist, leak)}) },
		"a value":                    func(h *haul) { h.value("", leaky{secret}) },
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
	clean.value("", &secretsauth.Error{Kind: secretsauth.ErrUnavailable})
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

func TestASecretTooShortToBeFoundIsRefused(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("it is looked for")
		}
	}()
	Shows("", "short")
}

// TestS152EverySecretIsACanary reads the module's tests: a secret that is a literal, or
// made otherwise, would go through the net, and a net that is not cast catches
// nothing. Literals are for tests of a secret's form, for examples, and for fuzz
// targets, whose findings must be found again.
func TestS152EverySecretIsACanary(t *testing.T) {
	t.Parallel()
	made := regexp.MustCompile(`\b(NewToken|NewUserPassword|ParseSecret|store\.put)\((.*, )?(\[\]byte\()?("[^"]+"|\x60[^\x60]+\x60)\)|` +
		`(?i)\b\w*(password|token|secret|canary|hidden)\w*\b[^"=:]*(:=|=|:) .*\brand\.Text\(`)
	good := regexp.MustCompile(`\bcanary\.New\(\)|NewUserPassword\(".*", ""\)`)
	form := regexp.MustCompile(`^(fuzz_.*|example|example_headers|header|secret|parse)_test\.go$`)
	cast, used := map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".cache", ".git", "bench", "canary"}, d.Name()):
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		cast[dir] = cast[dir] || strings.Contains(string(source), "canary.Net(")
		used[dir] = used[dir] || strings.Contains(string(source), "canary.New()") || strings.Contains(string(source), "providertest.Run(")
		for i, line := range strings.Split(string(source), "\n") {
			if !form.MatchString(d.Name()) && made.MatchString(line) && !good.MatchString(line) {
				t.Errorf("%s:%d: make this secret with canary.New", path, i+1)
			}
		}
		return nil
	})
	if err != nil || len(used) == 0 {
		t.Fatal("the tests are not there", err)
	}
	for dir := range used {
		if used[dir] && !cast[dir] {
			t.Errorf("%s: the tests make secrets and run without the net: see canary.Net", dir)
		}
	}
}
