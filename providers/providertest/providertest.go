// Package providertest checks that a [secretsauth.Provider] keeps its contract,
// whatever the store behind it: what it returns for every kind of value, which
// sentinel for every kind of failure, that it honours its context, that it may be
// called from many goroutines, and that no error holds the secret.
//
// A provider of your own is checked with one line,
//
//	func TestConformance(t *testing.T) { providertest.Run(t, newStore) }
//
// where newStore makes the provider and the means to change what its store
// holds, a stand-in for the real one or a place in that of its own. It is called
// once for every sub-test. Where the store is reached by HTTP, hand the suite's
// client to the provider: a third of the sub-tests are its failures.
//
// In some of them the store sends more than its answer. net/http prints what comes
// on a connection that it keeps for the next request, through the standard logger, and
// that may be the secret. So the suite looks at what goes through that logger, and
// expects that each request ends its connection: a provider sets [http.Request.Close].
package providertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	oddities "github.com/mlflow-secrets-auth/secretsauth/internal/faults"
)

// Maker makes a fixture with an empty store. The provider is to send its requests
// through client, which the suite makes fail; a provider that speaks no HTTP
// ignores it and sets Fixture.NoHTTP.
type Maker func(t *testing.T, client *http.Client) Fixture

// Fixture is a provider and the means to change what its store holds. A nil
// function is a thing that the store does not have; what needs it is skipped. A
// function changes what the next read finds: it has returned only when it has.
type Fixture struct {
	// Provider is what is tested. Required.
	Provider secretsauth.Provider

	// PutFields stores fields, such as token, or username and password.
	PutFields func(map[string]string)
	// PutText stores bare text; PutBinary bytes.
	PutText   func(string)
	PutBinary func([]byte)

	// Deny takes from the provider the right to read, for the rest of the sub-test.
	Deny func()

	// NoHTTP says that faults cannot be injected through the client.
	NoHTTP bool
}

// patience is for what has to happen, on the slowest of machines.
const patience = 30 * time.Second

// Run runs the suite, each case in a parallel sub-test of t. Values are made anew for
// every run, and no error or log of the suite repeats them.
func Run(t *testing.T, newFixture Maker) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			line := &line{base: http.DefaultTransport.(*http.Transport).Clone()}
			t.Cleanup(line.base.CloseIdleConnections)
			s := &suite{T: t, line: line, canary: canary.New()}
			s.Fixture = newFixture(t, &http.Client{Transport: line})
			c.run(s)
		})
	}
}

// suite is one sub-test.
type suite struct {
	*testing.T
	Fixture
	line   *line
	canary string
}

func cases() []struct {
	name string
	run  func(*suite)
} {
	type c = struct {
		name string
		run  func(*suite)
	}
	all := []c{
		{"a name and a key", func(s *suite) {
			if s.Provider.Name() == "" {
				s.Error("Name() is empty")
			}
			if k, ok := s.Provider.(secretsauth.Keyed); ok && k.Key() == "" {
				s.Error("Key() is empty")
			}
		}},
		{"token", func(s *suite) {
			s.fields(map[string]string{"token": s.canary})
			s.want(secretsauth.NewToken(s.canary))
		}},
		{"username and password", func(s *suite) {
			s.fields(map[string]string{"username": "alice", "password": s.canary})
			s.want(secretsauth.NewUserPassword("alice", s.canary))
		}},
		{"unicode", func(s *suite) {
			s.fields(map[string]string{"username": "älice", "password": s.canary + "ß\u2028𝔘"})
			s.want(secretsauth.NewUserPassword("älice", s.canary+"ß\u2028𝔘"))
		}},
		{"plain text", func(s *suite) {
			s.text(s.canary)
			s.want(secretsauth.NewToken(s.canary))
		}},
		{"plain user:password", func(s *suite) {
			s.text("alice:" + s.canary)
			s.want(secretsauth.NewUserPassword("alice", s.canary))
		}},
		{"a line end after the text", func(s *suite) {
			s.text(s.canary + "\n")
			s.want(secretsauth.NewToken(s.canary))
		}},
		{"binary", func(s *suite) {
			if s.PutBinary == nil {
				s.Skip("the store has no binary values")
			}
			s.PutBinary([]byte(`{"token":"` + s.canary + `"}`))
			s.want(secretsauth.NewToken(s.canary))
		}},
		{"a long value", func(s *suite) {
			// Stores have limits from 25 KB on; what they take is to arrive whole.
			long := s.canary + strings.Repeat("x", 20<<10)
			s.fields(map[string]string{"token": long})
			s.want(secretsauth.NewToken(long))
		}},
		{"60 KiB", func(s *suite) {
			if s.PutBinary == nil && s.PutText != nil {
				s.Skip("a store of text alone, such as Key Vault, may take no more than 25 KB")
			}
			long := s.canary + strings.Repeat("x", 60<<10)
			s.fields(map[string]string{"token": long})
			s.want(secretsauth.NewToken(long))
		}},
		{"missing", func(s *suite) { s.wantErr(secretsauth.ErrNotFound) }},
		{"denied", func(s *suite) {
			if s.Deny == nil {
				s.Skip("the store cannot deny")
			}
			s.fields(map[string]string{"token": s.canary})
			s.Deny()
			s.wantErr(secretsauth.ErrDenied)
		}},
		{"empty", func(s *suite) {
			s.fields(map[string]string{"token": ""})
			s.wantErr(secretsauth.ErrInvalidSecret)
		}},
		{"no field of ours", func(s *suite) {
			s.fields(map[string]string{"value": s.canary})
			s.wantErr(secretsauth.ErrInvalidSecret)
		}},
		{"username without password", func(s *suite) {
			s.fields(map[string]string{"username": s.canary})
			s.wantErr(secretsauth.ErrInvalidSecret)
		}},
		{"malformed", func(s *suite) {
			s.text(`{"token":"` + s.canary)
			s.wantErr(secretsauth.ErrInvalidSecret)
		}},
		{"control characters", func(s *suite) {
			s.fields(map[string]string{"token": s.canary + "\r\n" + s.canary})
			s.wantErr(secretsauth.ErrInvalidSecret)
		}},
		{"a rotation between two reads", func(s *suite) {
			s.fields(map[string]string{"token": s.canary})
			s.want(secretsauth.NewToken(s.canary))
			fresh := canary.New()
			s.fields(map[string]string{"token": fresh})
			s.want(secretsauth.NewToken(fresh))
		}},
		{"100 reads at once", func(s *suite) {
			s.fields(map[string]string{"token": s.canary})
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() { s.want(secretsauth.NewToken(s.canary)) })
			}
			wg.Wait()
		}},
		{"a context that has ended", func(s *suite) {
			s.fields(map[string]string{"token": s.canary})
			ctx, cancel := context.WithCancel(s.Context())
			cancel()
			begun := time.Now()
			if _, err := s.Provider.Fetch(ctx); err != nil {
				s.check(err)
			}
			if time.Since(begun) > patience {
				s.Error("it did not return")
			}
		}},
	}
	for _, f := range faults {
		all = append(all, c{f.name, func(s *suite) { s.survive(f) }})
	}
	for _, surplus := range oddities.Surpluses() {
		if !surplus.SpeaksFirst() { // whoever is given a client cannot help that
			all = append(all, c{surplus.Name, func(s *suite) { s.ignore(surplus) }})
		}
	}
	return all
}

func (s *suite) fields(fields map[string]string) {
	s.Helper()
	if s.PutFields == nil {
		s.Skip("the store has no fields")
	}
	s.PutFields(fields)
}

func (s *suite) text(text string) {
	s.Helper()
	if s.PutText == nil {
		s.Skip("the store has no bare text")
	}
	s.PutText(text)
}

func (s *suite) fetch() (secretsauth.Secret, error) {
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	return s.Provider.Fetch(ctx)
}

// want reads the secret. A failure does not repeat it.
func (s *suite) want(want secretsauth.Secret) {
	s.Helper()
	got, err := s.fetch()
	if err != nil {
		s.check(err)
		s.Errorf("Fetch: %v", s.hide(err.Error()))
	} else if !got.Equal(want) {
		s.Error("Fetch returned another secret than the store holds")
	}
}

func (s *suite) wantErr(kind error) {
	s.Helper()
	got, err := s.fetch()
	if !errors.Is(err, kind) {
		s.Errorf("Fetch: error %s, want one that wraps %q", s.hide(fmt.Sprint(err)), kind)
	}
	if !got.IsZero() {
		s.Error("Fetch returned a secret with an error")
	}
	if err != nil {
		s.check(err)
	}
}

// check holds every error to the contract: one of the sentinels, something to do,
// and nothing of the secret, however far it is unwrapped.
func (s *suite) check(err error) {
	s.Helper()
	known := false
	for _, kind := range []error{secretsauth.ErrNotFound, secretsauth.ErrDenied, secretsauth.ErrUnavailable, secretsauth.ErrInvalidSecret, secretsauth.ErrConfig} {
		known = known || errors.Is(err, kind)
	}
	if !known {
		s.Error("the error wraps none of the sentinels")
	}
	canary.AbsentFrom(s, "the error", err, s.canary)
}

func (s *suite) hide(text string) string { return strings.ReplaceAll(text, s.canary, "[REDACTED]") }
