package aws_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
)

func TestS123NoRedirectIsFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, client := range map[string]*http.Client{"the SDK's client": nil, "the caller's": {}} {
			t.Run(fmt.Sprintf("%d, %s", status, name), func(t *testing.T) {
				t.Parallel()
				elsewhere, url := newStandin(t)
				elsewhere.putText("token")
				front := httptest.NewServer(http.RedirectHandler(url+"/", status))
				t.Cleanup(front.Close)
				_, err := provider(t, front.URL, func(c *aws.Config) { c.HTTPClient = client }).Fetch(t.Context())
				if !errors.Is(err, secretsauth.ErrUnavailable) || !strings.Contains(err.Error(), "not followed") || elsewhere.reads != 0 {
					t.Errorf("%d requests elsewhere, %v", elsewhere.reads, err)
				}
			})
		}
	}
}

func TestS120AnAnswerThatIsNone(t *testing.T) {
	t.Parallel()
	hidden := canary.New()
	var wg sync.WaitGroup
	for name, answer := range map[string]func(http.ResponseWriter){
		"a page":     func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>" + hidden + "</html>")) },
		"cut short":  func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"SecretString":"` + hidden)) },
		"nothing":    func(http.ResponseWriter) {},
		"other JSON": func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"login":"` + hidden + `"}`)) },
		"an array":   func(w http.ResponseWriter) { _, _ = w.Write([]byte(`["` + hidden + `"]`)) },
		"bad base64": func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"Name":"a","SecretBinary":"*` + hidden + `"}`)) },
		"ends early": func(w http.ResponseWriter) { w.Header().Set("Content-Length", "500"); _, _ = w.Write([]byte(hidden)) },
		"too long": func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"SecretString":"` + strings.Repeat(hidden, 100_000) + `"}`))
		},
		"resets":  func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"no code": func(w http.ResponseWriter) { w.WriteHeader(500); _, _ = w.Write([]byte(`{"__type":"` + hidden + `"}`)) },
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
		t.Cleanup(server.Close)
		p := provider(t, server.URL)
		wg.Go(func() { // the pauses go by side by side
			_, err := p.Fetch(t.Context())
			if !errors.Is(err, secretsauth.ErrUnavailable) {
				t.Errorf("%s: %s", name, strings.ReplaceAll(fmt.Sprint(err), hidden, "…"))
			}
			canary.AbsentFrom(t, "the error", err, hidden)
		})
	}
	wg.Wait()
}

func TestS120AnAnswerCutShortOnce(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		const answer = `{"Name":"mlflow/auth","SecretString":"token"}`
		if requests.Add(1) == 1 {
			_, _ = w.Write([]byte(answer[:30]))
			return
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	if _, err := provider(t, server.URL).Fetch(t.Context()); err != nil || requests.Load() != 2 {
		t.Errorf("%d requests, %v", requests.Load(), err)
	}
}

func TestS162OfACodeOnlyWordsAreShown(t *testing.T) {
	t.Parallel()
	s, endpoint := newStandin(t)
	for code, shown := range map[string]bool{"OptInRequired": true, "InvalidParameterException": true, rand.Text(): false, "session-token": false, "a:b": false} {
		s.set(func(s *standin) { s.fail = &failure{status: 400, code: code, times: 1} })
		_, err := provider(t, endpoint).Fetch(t.Context())
		if !errors.Is(err, secretsauth.ErrConfig) || strings.Contains(err.Error(), code) != shown {
			t.Errorf("shown: %t: %v", !shown, err)
		}
	}
}

// The SDK has a quota of retries, and of its own accord ends them in an outage.
func TestALongOutageLeavesTheAttemptsAsTheyAre(t *testing.T) {
	t.Parallel()
	s, endpoint := newStandin(t)
	s.putText("token")
	var requests atomic.Int32
	p := provider(t, endpoint, func(c *aws.Config) {
		c.HTTPClient = &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			requests.Add(1)
			return nil, errors.New("no route")
		})}
		c.MaxAttempts = 2
	})
	done := make(chan error)
	const reads = 120
	for range reads {
		go func() { _, err := p.Fetch(t.Context()); done <- err }()
	}
	for range reads {
		if err := <-done; !errors.Is(err, secretsauth.ErrUnavailable) {
			t.Error(err)
		}
	}
	if n := requests.Load(); n != 2*reads {
		t.Errorf("%d requests for %d reads of 2 attempts", n, reads)
	}
}

func TestSTSIsAskedAsOftenAsConfigured(t *testing.T) {
	t.Parallel()
	s, endpoint := newStandin(t)
	s.putText("token")
	s.set(func(s *standin) { s.sts = &failure{status: 500, code: "InternalFailure"} })
	p := provider(t, endpoint, func(c *aws.Config) { c.RoleARN = "arn:aws:iam::123456789012:role/reader" })
	if _, err := p.Fetch(t.Context()); !errors.Is(err, secretsauth.ErrUnavailable) || len(s.roles) != 3 || s.reads != 0 {
		t.Errorf("%d times, %v", len(s.roles), err)
	}
	s.set(func(s *standin) { s.sts = nil })
	if _, err := p.Fetch(t.Context()); err != nil {
		t.Error(err)
	}
}

// A read of credentials is shared and outlives the Fetch that began it: one that
// hangs must not hold up those that come later.
func TestS119STSHangsOnce(t *testing.T) {
	t.Parallel()
	s, endpoint := newStandin(t)
	s.putText("token")
	s.set(func(s *standin) { s.hangs = 1 })
	p := provider(t, endpoint, func(c *aws.Config) {
		c.RoleARN = "arn:aws:iam::123456789012:role/reader"
		c.HTTPClient = &http.Client{Timeout: 300 * time.Millisecond}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Fetch(ctx); !errors.Is(err, secretsauth.ErrUnavailable) || !strings.Contains(err.Error(), "no AWS credentials in time") {
		t.Error(err)
	}
	if _, err := p.Fetch(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestS119ARequestWithoutAnAnswerEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		p := provider(t, "http://store.test", func(c *aws.Config) {
			c.HTTPClient = &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
				requests++
				<-req.Context().Done()
				return nil, req.Context().Err()
			})}
		})
		begun := time.Now()
		_, err := p.Fetch(t.Context())
		if took := time.Since(begun); !errors.Is(err, secretsauth.ErrUnavailable) || requests != 3 || took < 15*time.Second || took > 20*time.Second {
			t.Errorf("%d requests in %v, %v", requests, took, err)
		}
	})
}

func TestS121TheStoreIsLeftAloneAsLongAsItAsks(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for _, test := range []struct {
		retryAfter string
		atLeast    time.Duration
	}{
		{"1", time.Second},
		{"86400", 2 * time.Second}, // as long as a read can wait
		{time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), 2 * time.Second},
	} {
		s, endpoint := newStandin(t)
		s.putText("token")
		s.set(func(s *standin) { s.fail = &failure{status: 503, times: 1, retryAfter: test.retryAfter} })
		p := provider(t, endpoint)
		wg.Go(func() {
			begun := time.Now()
			_, err := p.Fetch(t.Context())
			if took := time.Since(begun); err != nil || took < test.atLeast {
				t.Errorf("%s: after %v, %v", test.retryAfter, took, err)
			}
		})
	}
	wg.Wait()
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	_, plain := newStandin(t)
	for _, test := range []struct {
		endpoint string
		kind     error
		says     string
	}{
		{server.URL, secretsauth.ErrUnavailable, "AWS_CA_BUNDLE"},
		{strings.Replace(plain, "http://", "https://", 1), secretsauth.ErrConfig, "speaks plain http"},
	} {
		if _, err := provider(t, test.endpoint).Fetch(t.Context()); !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%v, want %s", err, test.says)
		}
	}
}
