//go:build linux || darwin

package proxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

func TestControl(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	path := filepath.Join(dir, "c.sock")
	w := newWorld(t, fine, with(func(c *proxy.Config) { c.Control = path }))
	w.warm()
	for range 3 {
		w.wantStatus(w.get("/"), 200)
	}
	status, err := proxy.Status(t.Context(), w.proxy.ControlPath())
	if err != nil {
		t.Fatal(err)
	}
	if status.Entries != 1 || status.Key != w.store.Key() || status.Proxy != w.proxy.URL() || status.Upstream != w.server.URL ||
		status.PID != os.Getpid() || status.Reads != 1 || status.Hits < 3 || status.HitRate <= 0.5 || status.Rejections != 0 ||
		status.Age < 0 || !status.NextRefresh.After(time.Now()) || status.LastError != "" {
		t.Errorf("%+v", status)
	}
	if status, err = proxy.Clear(t.Context(), path); err != nil || status.Reads != 2 || status.Entries != 1 {
		t.Errorf("%+v, %v", status, err)
	}
	if _, err = proxy.Clear(t.Context(), path); err == nil || !strings.Contains(err.Error(), "less than 10s ago") || w.store.count() != 2 {
		t.Errorf("a second time: %v, %d reads", err, w.store.count())
	}
	text, _ := json.Marshal(status)
	w.absent("status", string(text))
	if err := w.end(); err != nil {
		t.Error(err)
	}
	if _, err := proxy.Status(t.Context(), path); err == nil || !errors.Is(err, secretsauth.ErrConfig) {
		t.Errorf("without a proxy: %v", err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// A failure of the read is told, and what is there instead.
func TestControlTellsOfFailure(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "c.sock")
	w := newWorld(t, fine, with(func(c *proxy.Config) { c.Control = path }))
	w.warm()
	w.store.set("", &secretsauth.Error{Kind: secretsauth.ErrNotFound, Summary: "Secret not found at path: secret/mlflow/auth", Fix: "vault kv list"})
	if _, err := proxy.Clear(t.Context(), path); err == nil || !strings.Contains(err.Error(), "Secret not found") || !strings.Contains(err.Error(), "vault kv list") {
		t.Errorf("error %v", err)
	}
	status, err := proxy.Status(t.Context(), path)
	if err != nil || status.Entries != 0 || !strings.Contains(status.LastError, "Secret not found") || status.ReadErrors != 1 {
		t.Errorf("%+v, %v", status, err)
	}
}

// The proxies of a user are found in the places of the system. Not parallel: it sets
// the environment.
func TestRunning(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", shortDir(t))
	t.Setenv("TMPDIR", shortDir(t))
	if got := proxy.Running(t.Context()); len(got) != 0 {
		t.Errorf("found %v", got)
	}
	auto := with(func(c *proxy.Config) { c.Control = proxy.AutoControl })
	one := newWorld(t, fine, auto)
	if got := proxy.Running(t.Context()); len(got) != 1 || got[0] != one.proxy.ControlPath() ||
		!strings.HasSuffix(got[0], "/mlflow-secrets-auth/proxy-"+one.port()+".sock") {
		t.Errorf("found %v, want %s", got, one.proxy.ControlPath())
	}
	t.Setenv("XDG_RUNTIME_DIR", "") // a proxy started where there is none
	two := newWorld(t, fine, auto)
	t.Setenv("XDG_RUNTIME_DIR", filepath.Dir(filepath.Dir(one.proxy.ControlPath())))
	if got := proxy.Running(t.Context()); len(got) != 2 {
		t.Errorf("found %v", got)
	}
	_ = one.end()
	if got := proxy.Running(t.Context()); len(got) != 1 || got[0] != two.proxy.ControlPath() {
		t.Errorf("found %v, want %s", got, two.proxy.ControlPath())
	}
}

func (w *world) port() string {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(w.proxy.URL(), "http://"))
	return port
}

// shortDir is a private directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// overUnix is a client of the socket at path.
func overUnix(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
}

// Where there is no place for a control socket that nobody has asked for, the proxy
// goes on without. Not parallel: it sets the environment.
func TestNoPlaceForTheControlSocket(t *testing.T) {
	open := shortDir(t)
	if err := os.Mkdir(filepath.Join(open, "mlflow-secrets-auth"), 0o750); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", open)
	w := newWorld(t, fine, with(func(c *proxy.Config) { c.Control = proxy.AutoControl }))
	w.wantStatus(w.get("/"), 200)
	if w.proxy.ControlPath() != "" || !strings.Contains(w.log.String(), "other users can enter") {
		t.Errorf("control socket %q", w.proxy.ControlPath())
	}
}
