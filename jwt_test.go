package secretsauth_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// jwtEnding is a JWT that ends at that time. Its signature is a canary's.
func jwtEnding(end time.Time) string {
	b := base64.RawURLEncoding.EncodeToString
	return b([]byte(`{"alg":"RS256"}`)) + "." + b(fmt.Appendf(nil, `{"exp":%d}`, end.Unix())) + "." + b([]byte(canary.New()))
}

func TestAJWTIsNotSentPastItsEnd(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*secretsauth.Config){
		"Bearer":          func(*secretsauth.Config) {},
		"a custom header": func(c *secretsauth.Config) { c.HeaderName = "X-Api-Key" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				end := time.Now().Add(10 * time.Minute)
				w := newWorld(t, ttl(time.Hour), change, func(c *secretsauth.Config) {
					c.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
						if !time.Now().Before(end) {
							t.Error("the token was sent past its end")
						}
						return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
					})
				})
				w.store.put(jwtEnding(end))
				ask := func() error {
					req, _ := http.NewRequest(http.MethodGet, "https://mlflow.test/", nil)
					resp, err := netted{w.rt}.RoundTrip(req)
					if err == nil {
						_ = resp.Body.Close()
					}
					return err
				}
				if err := ask(); err != nil {
					t.Fatal(err)
				}
				if s := w.rt.CacheState(); !s.ValidUntil.Equal(end.Truncate(time.Second)) || s.ExpiresAt.After(end) {
					t.Errorf("the cache keeps it until %v, valid until %v; it ends at %v", s.ExpiresAt, s.ValidUntil, end)
				}
				if s := w.rt.Stats(); !s.ValidUntil.Equal(end.Truncate(time.Second)) {
					t.Errorf("Stats say that it ends at %v", s.ValidUntil)
				}
				w.store.fail(down())
				for time.Now().Before(end.Add(time.Minute)) {
					err := ask()
					if time.Now().Before(end.Truncate(time.Second)) && err != nil {
						t.Fatalf("%v before its end: %v", time.Until(end), err)
					}
					time.Sleep(time.Second)
				}
				if err := ask(); !errors.Is(err, secretsauth.ErrUnavailable) {
					t.Errorf("after its end, the store being down: %v", err)
				}
			})
		})
	}
}

func TestWhenAJWTEndedBeforeItWasRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		ended  time.Duration // before now
		secret func(string) secretsauth.Secret
		mode   secretsauth.AuthMode
		err    error         // nil: it is sent
		until  time.Duration // from now on; 0: no end is known
		warns  bool
	}{
		{name: "by less than a minute: the clock may be wrong", ended: 59 * time.Second, until: time.Second, warns: true},
		{name: "just now", ended: 0, until: time.Second, warns: true},
		{name: "by a minute", ended: time.Minute, err: secretsauth.ErrInvalidSecret},
		{name: "long ago", ended: 1000 * time.Hour, err: secretsauth.ErrInvalidSecret},
		{name: "not at all", ended: -time.Hour, until: time.Hour},
		{name: "stored with its scheme", ended: time.Hour, err: secretsauth.ErrInvalidSecret, secret: func(token string) secretsauth.Secret {
			return secretsauth.NewToken("Bearer " + token)
		}},
		{name: "the store's own expiry wins", ended: time.Hour, until: 20 * time.Minute, secret: func(token string) secretsauth.Secret {
			return secretsauth.NewToken(token).WithExpiry(time.Now().Add(20 * time.Minute))
		}},
		{name: "as a password it is none", ended: time.Hour, secret: func(token string) secretsauth.Secret {
			return secretsauth.NewUserPassword("oauth2accesstoken", token)
		}},
		{name: "nor in mode basic", ended: time.Hour, mode: secretsauth.AuthBasic, secret: func(token string) secretsauth.Secret {
			return secretsauth.NewToken("oauth2accesstoken:" + token)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				var log canary.Journal
				end := time.Now().Add(-test.ended)
				secret := secretsauth.NewToken(jwtEnding(end))
				if test.secret != nil {
					secret = test.secret(jwtEnding(end))
				}
				store := &fakeStore{secret: secret}
				rt, err := newTransport(store, secretsauth.Config{
					AllowedHosts: []string{"*"}, Mode: test.mode, TTL: 10 * time.Hour, Base: &fakeServer{},
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				if err != nil {
					t.Fatal(err)
				}
				err = rt.Warm(t.Context())
				if !errors.Is(err, test.err) {
					t.Fatalf("%v, want %v", err, test.err)
				}
				if test.err != nil {
					for _, at := range []time.Time{end, time.Now()} {
						if text := at.UTC().Format(time.RFC3339); !strings.Contains(err.Error(), text) {
							t.Errorf("the error does not say %s: %v", text, err)
						}
					}
					return
				}
				got := rt.CacheState().ValidUntil
				if test.until == 0 && !got.IsZero() || test.until != 0 && !got.Equal(time.Now().Add(test.until)) {
					t.Errorf("it is valid until %v, want %v from now", got, test.until)
				}
				for range 3 { // each reads the store again, where the clock may be wrong
					time.Sleep(1100 * time.Millisecond)
					_ = rt.Warm(t.Context())
				}
				if n := strings.Count(log.String(), "is the clock right?"); n != map[bool]int{true: 1}[test.warns] {
					t.Errorf("%d warnings about the clock", n)
				}
			})
		})
	}
}
