package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

// The world of most tests: a store in memory, a tracking server on loopback that
// wants a password of the day, a proxy between it and its clients, and a log that
// must hold neither the password nor the clients' token.

func TestMain(m *testing.M) { os.Exit(canary.Net(m).Run()) }

// store is a provider that can be told what to answer.
type store struct {
	mu       sync.Mutex
	password string
	err      error
	reads    int
	further  http.Header // headers of the secret
}

func (*store) Name() string { return "fake" }
func (*store) Key() string  { return "fake:https://store.test:secret/mlflow/auth" }

func (s *store) Fetch(context.Context) (secretsauth.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	secret := secretsauth.NewUserPassword("trainer", s.password)
	for name := range s.further {
		secret = secret.WithHeader(name, s.further.Get(name))
	}
	return secret, s.err
}

func (s *store) set(password string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password, s.err = password, err
}

func (s *store) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// server is a tracking server.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	password string
	got      []*http.Request
}

func (s *server) accept(password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = password
}

func (s *server) knows(r *http.Request) bool {
	user, password, _ := r.BasicAuth()
	s.mu.Lock()
	defer s.mu.Unlock()
	return user == "trainer" && password == s.password
}

func (s *server) note(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, r.Clone(context.Background()))
}

func (s *server) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.got...)
}

// refuse answers as MLflow's basic-auth does.
func refuse(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="mlflow"`)
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, "You are not authenticated.")
}

type world struct {
	*testing.T
	proxy   *proxy.Proxy
	store   *store
	server  *server
	token   string // of the clients
	log     *canary.Journal
	secrets []string
	end     func() error // of the proxy: what Serve returned
}

type option func(*world, *proxy.Config, *secretsauth.Config)

func with(change func(*proxy.Config)) option {
	return func(_ *world, c *proxy.Config, _ *secretsauth.Config) { change(c) }
}

// newWorld starts a server that answers by h what comes with the password, and a
// proxy for it.
func newWorld(t *testing.T, h http.HandlerFunc, options ...option) *world {
	t.Helper()
	w := unproxied(t, h)
	w.server.Start()
	w.start(options...)
	return w
}

// unproxied is a world whose server has yet to start.
func unproxied(t *testing.T, h http.HandlerFunc) *world {
	t.Helper()
	password := canary.New()
	w := &world{T: t, store: &store{password: password}, server: &server{password: password}, token: canary.New(), log: new(canary.Journal)}
	w.secrets = []string{password, w.token}
	w.server.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.server.note(r)
		if !w.server.knows(r) {
			refuse(out)
			return
		}
		h(out, r)
	}))
	w.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(func() {
		w.server.CloseClientConnections()
		w.server.Close()
		w.absent("log", w.log.String())
	})
	return w
}

// on is w for a subtest.
func (w *world) on(t *testing.T) *world {
	own := *w
	own.T = t
	return &own
}

func (w *world) config() proxy.Config {
	u, err := url.Parse(w.server.URL)
	if err != nil {
		w.Fatal(err)
	}
	log := w.log.Logger()
	return proxy.Config{Upstream: u, Listen: "127.0.0.1:0", ClientToken: w.token, Logger: log}
}

// start makes a proxy and lets it serve.
func (w *world) start(options ...option) {
	w.Helper()
	cfg, library := w.config(), secretsauth.Config{AllowedHosts: []string{"*"}}
	for _, o := range options {
		o(w, &cfg, &library)
	}
	p, err := proxy.New(w.Context(), w.store, library, cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.proxy = p
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx) }()
	w.end = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-served:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("Serve does not return")
		}
	})
	w.Cleanup(func() { _ = w.end() })
}

// rotate changes the store and then the server.
func (w *world) rotate() {
	password := canary.New()
	w.secrets = append(w.secrets, password)
	w.store.set(password, nil)
	w.server.accept(password)
}

// warm has the proxy read the store, so that it holds what there is now.
func (w *world) warm() {
	w.Helper()
	if err := w.proxy.Warm(w.Context()); err != nil {
		w.Fatal(err)
	}
}

func (w *world) request(method, path string, body io.Reader) *http.Request {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, w.proxy.URL()+path, body)
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	return req
}

// reply is an answer with its whole body.
type reply struct {
	*http.Response
	text string
}

// client keeps no connections and follows nothing.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (w *world) do(req *http.Request) reply {
	w.Helper()
	resp, err := client.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	return w.read(resp)
}

func (w *world) read(resp *http.Response) reply {
	w.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	whole := reply{resp, string(body)}
	w.absent("answer", fmt.Sprint(resp.Status, resp.Header, resp.Trailer, whole.text))
	return whole
}

func (w *world) get(path string) reply {
	w.Helper()
	return w.do(w.request(http.MethodGet, path, nil))
}

func (w *world) wantStatus(got reply, status int) {
	w.Helper()
	if got.StatusCode != status {
		w.Fatalf("%s %s: status %d, want %d: %s", got.Request.Method, got.Request.URL.Path, got.StatusCode, status, got.text)
	}
}

// raw sends a request as it is written and returns the answer and its connection.
func (w *world) raw(request string) (reply, net.Conn, *bufio.Reader) {
	w.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.proxy.URL(), "http://"))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
		w.Fatal(err)
	}
	r := bufio.NewReader(conn)
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(r, &http.Request{Method: method, URL: &url.URL{}})
	if err != nil {
		w.Fatal(err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols || method == http.MethodConnect {
		return reply{Response: resp}, conn, r
	}
	return w.read(resp), conn, r
}

// absent fails without repeating what was found.
func (w *world) absent(where, text string) {
	w.Helper()
	canary.Absent(w, where, text, w.secrets...)
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("it never came to this: %s", what)
}

// fine answers 200 with a word.
func fine(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }

// metric is what the proxy counts, by the end of its name.
func (w *world) metric(name string) float64 { return w.proxy.Metric(name) }
