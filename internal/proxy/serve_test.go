package proxy_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

// ending ends the proxy in the background.
func (w *world) ending() <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- w.end() }()
	eventually(w.T, "no new client is let in", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.proxy.URL(), "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	return ended
}

// slowUpload begins an upload and returns what sends the rest of it.
func (w *world) slowUpload(arrived <-chan struct{}) (finish func(), done <-chan reply) {
	pipe, in := io.Pipe()
	got := make(chan reply, 1)
	req := w.request(http.MethodPut, "/artifact", pipe)
	req.ContentLength = 8
	go func() {
		resp, err := client.Do(req)
		if err != nil {
			got <- reply{text: err.Error()}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			body = []byte(err.Error())
		}
		got <- reply{resp, string(body)}
	}()
	_, _ = io.WriteString(in, "half")
	<-arrived
	return func() { _, _ = io.WriteString(in, "rest"); _ = in.Close() }, got
}

// upload tells when a body begins.
func upload() (http.HandlerFunc, <-chan struct{}) {
	arrived := make(chan struct{}, 10)
	return func(out http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			socket(out, r)
			return
		}
		arrived <- struct{}{}
		echo(out, r)
	}, arrived
}

func TestShutdownLetsUploadsFinish(t *testing.T) {
	t.Parallel()
	h, arrived := upload()
	w := newWorld(t, h)
	finish, done := w.slowUpload(arrived)
	ended := w.ending()
	finish()
	got := <-done
	if got.Response == nil || got.StatusCode != 200 || !strings.HasPrefix(got.text, "8 bytes") {
		t.Errorf("the upload: %s", got.text)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestShutdownDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	h, arrived := upload()
	w := newWorld(t, h, with(func(c *proxy.Config) { c.ShutdownTimeout = 100 * time.Millisecond }))
	finish, done := w.slowUpload(arrived)
	_, conn, r := w.raw(w.handshake(""))
	pingPong(t, conn, r)
	if err := <-w.ending(); err == nil || !strings.Contains(err.Error(), "broken off") {
		t.Errorf("error %v", err)
	}
	go finish() // net/http's client waits for its body before it says what happened
	if got := <-done; got.Response != nil {
		t.Errorf("the upload: %d %s", got.StatusCode, got.text)
	}
	if _, err := r.ReadByte(); err == nil || isTimeout(err) {
		t.Errorf("the WebSocket: %v", err)
	}
}

// A WebSocket has no end of its own, so an orderly end does not wait for it.
func TestShutdownEndsWebSockets(t *testing.T) {
	t.Parallel()
	h, _ := upload()
	w := newWorld(t, h)
	_, conn, r := w.raw(w.handshake(""))
	pingPong(t, conn, r)
	if err := <-w.ending(); err != nil {
		t.Error(err)
	}
	if _, err := r.ReadByte(); err == nil || isTimeout(err) {
		t.Errorf("the WebSocket: %v", err)
	}
}

func TestCloseEndsAtOnce(t *testing.T) {
	t.Parallel()
	h, arrived := upload()
	w := newWorld(t, h)
	finish, done := w.slowUpload(arrived)
	ended := w.ending()
	_ = w.proxy.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	go finish()
	if got := <-done; got.Response != nil {
		t.Errorf("the upload: %d %s", got.StatusCode, got.text)
	}
	// One that never served lets go of its addresses.
	cfg := w.config()
	cfg.Listen = strings.TrimPrefix(w.proxy.URL(), "http://")
	p, err := proxy.New(t.Context(), w.store, secretsauth.Config{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proxy.New(t.Context(), w.store, secretsauth.Config{}, cfg); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a second on the same port: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if p, err = proxy.New(t.Context(), w.store, secretsauth.Config{}, cfg); err != nil {
		t.Fatal(err)
	}
	_ = p.Close()
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	w := unproxied(t, fine)
	w.server.Start()
	w.store.set(w.store.password, &secretsauth.Error{Kind: secretsauth.ErrDenied, Summary: "permission denied", Fix: "grant it"})
	w.start(with(func(c *proxy.Config) { c.Admin = "127.0.0.1:0" }))
	admin := func(path string) reply {
		w.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, w.proxy.AdminURL()+path, nil)
		return w.do(req)
	}
	w.wantStatus(admin("/healthz"), 200)
	got := admin("/readyz")
	w.wantStatus(got, 503)
	if !strings.Contains(got.text, "permission denied") || !strings.Contains(got.text, "grant it") {
		t.Errorf("answer %s", got.text)
	}
	w.store.set(w.store.password, nil)
	eventually(t, "it is ready", func() bool { return admin("/readyz").StatusCode == 200 })
	reads, hits := w.store.count(), w.metric("cache_hits_total")
	for range 10 {
		w.wantStatus(admin("/readyz"), 200)
	}
	if w.store.count() != reads || w.metric("cache_hits_total") != hits {
		t.Error("looking at it counts as use")
	}

	w.wantStatus(w.get("/experiments/secret-name?q=1"), 200)
	w.rotate()
	w.wantStatus(w.get("/"), 200)
	req := w.request("BREW", "/", nil)
	w.wantStatus(w.do(req), 200)
	req = w.request(http.MethodGet, "/", nil)
	req.Header.Del("Authorization")
	w.wantStatus(w.do(req), 401)
	text := admin("/metrics").text
	for _, line := range []string{
		`mlflow_secrets_auth_proxy_requests_total{code="2xx",method="GET"} 2`,
		`mlflow_secrets_auth_proxy_requests_total{code="2xx",method="other"} 1`,
		`mlflow_secrets_auth_proxy_requests_total{code="4xx",method="GET"} 1`,
		`mlflow_secrets_auth_proxy_refused_total{reason="token"} 1`,
		`mlflow_secrets_auth_proxy_in_flight_requests 0`,
		`mlflow_secrets_auth_proxy_request_duration_seconds_count 4`,
		`mlflow_secrets_auth_rejections_total{provider="fake"} 1`,
		`mlflow_secrets_auth_retries_total{provider="fake"} 1`,
		`mlflow_secrets_auth_store_read_errors_total{provider="fake"} `,
		`mlflow_secrets_auth_cache_age_seconds{provider="fake"} `,
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %s", line)
		}
	}
	for _, word := range []string{"127.0.0.1", "store.test", "mlflow/auth", "experiments", "secret-name", "BREW"} { // S166
		if strings.Contains(text, word) {
			t.Errorf("%q is in it", word)
		}
	}
	req, _ = http.NewRequestWithContext(t.Context(), http.MethodGet, w.proxy.AdminURL()+"/metrics", nil)
	req.Host = "evil.example"
	w.wantStatus(w.do(req), 421)
	w.wantStatus(admin("/"), 404)
}
