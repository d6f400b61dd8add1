package secretsauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// The world of most tests: a store and a tracking server in memory, so that they
// run in simulated time (testing/synctest), and what a client does there.

// fakeStore is a provider whose store can be told what to answer.
type fakeStore struct {
	mu     sync.Mutex
	secret secretsauth.Secret
	err    error
	delay  time.Duration
	deaf   bool // ignores its context while it delays
	reads  int
}

func (*fakeStore) Name() string { return "fake" }
func (*fakeStore) Key() string  { return "fake:https://store.test:secret/mlflow/auth" }

func (s *fakeStore) Fetch(ctx context.Context) (secretsauth.Secret, error) {
	s.mu.Lock()
	s.reads++
	secret, err, delay, deaf := s.secret, s.err, s.delay, s.deaf
	s.mu.Unlock()
	if delay > 0 {
		done := ctx.Done()
		if deaf {
			done = nil
		}
		select {
		case <-time.After(delay):
		case <-done:
			return secretsauth.Secret{}, ctx.Err()
		}
	}
	return secret, err
}

func (s *fakeStore) set(change func(*fakeStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// put stores a token.
func (s *fakeStore) put(token string) {
	s.set(func(s *fakeStore) { s.secret, s.err = secretsauth.NewToken(token), nil })
}

func (s *fakeStore) fail(err error) { s.set(func(s *fakeStore) { s.err = err }) }

func (s *fakeStore) slow(d time.Duration) { s.set(func(s *fakeStore) { s.delay = d }) }

func (s *fakeStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// down is what a provider says of a store that cannot be reached.
func down() error {
	return &secretsauth.Error{Provider: "fake", Kind: secretsauth.ErrUnavailable, Summary: "connection refused"}
}

func denied() error {
	return &secretsauth.Error{Provider: "fake", Kind: secretsauth.ErrDenied, Summary: "Vault authentication failed: 403 Forbidden"}
}

// fakeServer is a tracking server that accepts some tokens. Below /forbidden it
// answers 403 to them, below /strange 401.
type fakeServer struct {
	mu       sync.Mutex
	accepted map[string]bool
	badToken int // the status for a bad token; 0: 401
	latency  time.Duration
	// decideLate: after the latency, as a server does that is slow to look.
	decideLate bool
	got        []string // the Authorization headers, in order
}

func (s *fakeServer) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		_ = req.Body.Close()
	}
	s.mu.Lock()
	s.got = append(s.got, req.Header.Get("Authorization"))
	latency, late := s.latency, s.decideLate
	code := s.judge(req)
	s.mu.Unlock()
	if latency > 0 {
		select {
		case <-time.After(latency):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	if late {
		s.mu.Lock()
		code = s.judge(req)
		s.mu.Unlock()
	}
	return &http.Response{
		StatusCode: code,
		Status:     fmt.Sprintf("%d %s", code, http.StatusText(code)),
		Header:     http.Header{"X-Answer": {fmt.Sprint(code)}},
		Body:       io.NopCloser(strings.NewReader(http.StatusText(code))),
		Request:    req,
	}, nil
}

// judge is the status for a request, under the lock.
func (s *fakeServer) judge(req *http.Request) int {
	token, _ := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	switch {
	case !s.accepted[token] && s.badToken != 0:
		return s.badToken
	case !s.accepted[token], strings.HasPrefix(req.URL.Path, "/strange"):
		return http.StatusUnauthorized
	case strings.HasPrefix(req.URL.Path, "/forbidden"):
		return http.StatusForbidden
	}
	return http.StatusOK
}

func (s *fakeServer) set(change func(*fakeServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *fakeServer) accept(tokens ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = map[string]bool{}
	for _, token := range tokens {
		s.accepted[token] = true
	}
}

func (s *fakeServer) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

// world is a transport between a store and a server that agree on a token.
type world struct {
	*testing.T
	store  *fakeStore
	server *fakeServer
	rt     *secretsauth.Transport
	old    string // the token at the start
	fresh  string // the one it is rotated to
}

func newWorld(t *testing.T, change ...func(*secretsauth.Config)) *world {
	t.Helper()
	w := &world{T: t, store: &fakeStore{}, server: &fakeServer{}, old: canary.New(), fresh: canary.New()}
	w.store.put(w.old)
	w.server.accept(w.old)
	cfg := secretsauth.Config{AllowedHosts: []string{"mlflow.test"}, Base: w.server, TTL: 5 * time.Minute}
	for _, c := range change {
		c(&cfg)
	}
	rt, err := newTransport(w.store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.rt = rt
	return w
}

// rotate changes store and server.
func (w *world) rotate() {
	w.store.put(w.fresh)
	w.server.accept(w.fresh)
}

// do sends one request without a body and returns its status, or 0 and the error.
func (w *world) do(path string) (int, error) { return w.doWith(context.Background(), path, nil) }

func (w *world) doWith(ctx context.Context, path string, body io.Reader) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://mlflow.test"+path, body)
	if err != nil {
		w.Error(err)
		return 0, err
	}
	resp, err := netted{w.rt}.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || string(text) != http.StatusText(resp.StatusCode) {
		w.Errorf("the response's body is not whole: %d bytes, %v", len(text), err)
	}
	return resp.StatusCode, nil
}

// want sends one request and checks its status.
func (w *world) want(path string, status int) {
	w.Helper()
	got, err := w.do(path)
	if err != nil || got != status {
		w.Fatalf("%s: status %d, %v; want %d", path, got, err, status)
	}
}

// wantErr sends one request that must fail with kind and not be sent.
func (w *world) wantErr(path string, kind error) {
	w.Helper()
	sent := w.server.requests()
	if status, err := w.do(path); !errors.Is(err, kind) {
		w.Fatalf("%s: status %d, error %v; want %v", path, status, err, kind)
	}
	if w.server.requests() != sent {
		w.Fatalf("%s: the request was sent without its credential", path)
	}
}

// wantReads checks how often the store has been read so far.
func (w *world) wantReads(n int) {
	w.Helper()
	if got := w.store.count(); got != n {
		w.Fatalf("the store was read %d times, want %d", got, n)
	}
}

// together runs n calls of f at once and waits for them.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// simulate runs f in simulated time. It ends with a panic if a goroutine is left
// once what was under way has had the time to end.
func simulate(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Minute)
		f(t)
	})
}
