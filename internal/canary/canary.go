// Package canary makes the secrets of the tests, and is the leak net that finds them
// where they must not be.
//
// A secret of a test is random and made by [New], which remembers it. What comes out
// of the tests is kept: their output, and what they give to [Keep] and its like. When
// the tests of a package have ended, [Net] looks for every secret in all of it. Tests
// about leaks look at once, by [Absent], so that they can say where.
//
// A secret is found as it is, URL-escaped, in JSON, in base64 at any offset (so also
// inside of user:password), in hex, as a list of bytes, and by any twelve of its
// characters in a row.
package canary

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// run is how many characters of a secret in a row are a leak.
const run = 12

// New makes a secret for one test.
func New() string {
	text := rand.Text()
	made.mu.Lock()
	defer made.mu.Unlock()
	made.secrets = append(made.secrets, text)
	return text
}

var made struct {
	mu      sync.Mutex
	secrets []string
}

func all() []string {
	made.mu.Lock()
	defer made.mu.Unlock()
	return slices.Clone(made.secrets)
}

// Shows reports whether one of the secrets is in text.
func Shows(text string, secrets ...string) bool { return newMesh(secrets...).catches(text) }

// Absent fails if one of the secrets is in text, and repeats nothing of it. The text
// is kept, for the secrets of other tests.
func Absent(t testing.TB, where, text string, secrets ...string) {
	t.Helper()
	Keep(where, text)
	if Shows(text, secrets...) {
		t.Errorf("%s: a secret is in it", where)
	}
}

// AbsentFrom does so for every way of printing v, and for what an error wraps.
func AbsentFrom(t testing.TB, where string, v any, secrets ...string) {
	t.Helper()
	m := newMesh(secrets...)
	for how, text := range printed(v) {
		where := how + " of " + where
		Keep(where, text)
		if m.catches(text) {
			t.Errorf("%s: a secret is in it", where)
		}
	}
}

// mesh finds every form of the runs of some secrets, by the form's first characters.
type mesh map[string][]string

func newMesh(secrets ...string) mesh {
	m := mesh{}
	for _, secret := range secrets {
		if len(secret) < run {
			panic(fmt.Sprintf("a secret of fewer than %d characters cannot be looked for", run))
		}
		for i := 0; i+run <= len(secret); i++ {
			part := []byte(secret[i : i+run])
			list := strings.Trim(fmt.Sprintf("%d", part), "[]")
			quoted, _ := json.Marshal(string(part))
			for _, form := range []string{
				string(part), url.QueryEscape(string(part)), url.PathEscape(string(part)), strings.Trim(string(quoted), `"`),
				// Twelve bytes are whole groups of base64. At whatever offset a longer
				// secret stands, behind a username for one, some of its runs are that.
				base64.StdEncoding.EncodeToString(part),
				hex.EncodeToString(part), list, strings.ReplaceAll(list, " ", ", "),
			} {
				form = plain(form)
				if key := form[:run]; !slices.Contains(m[key], form) {
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

func (m mesh) catches(text string) bool {
	text = plain(text)
	for i := 0; i+run <= len(text); i++ {
		for _, form := range m[text[i:i+run]] {
			if strings.HasPrefix(text[i:], form) {
				return true
			}
		}
	}
	return false
}

// printed is every way of printing v, and what is inside if it is an error.
func printed(v any) iter.Seq2[string, string] {
	return func(yield func(how, text string) bool) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			// In a field and in a list too: there fmt asks for other methods.
			if !yield(verb, fmt.Sprintf(verb+" "+verb+" "+verb, v, struct{ Field any }{v}, []any{v})) {
				return
			}
		}
		if text, err := json.Marshal(v); err == nil && !yield("json", string(text)) {
			return
		}
		var b strings.Builder
		for _, handler := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			record := slog.NewRecord(time.Time{}, slog.LevelInfo, "", 0)
			record.AddAttrs(slog.Any("v", v))
			_ = handler.Handle(context.Background(), record)
		}
		if !yield("slog", b.String()) {
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
