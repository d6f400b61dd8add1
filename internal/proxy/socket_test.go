//go:build linux || darwin

package proxy_test

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

func onSocket(path string) option {
	return with(func(c *proxy.Config) { c.Unix, c.ClientToken = path, "" })
}

// The socket and its directory are this user's alone, whatever the umask. Not
// parallel: the umask is the process's.
func TestSocketIsPrivate(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := filepath.Join(shortDir(t), "a", "b")
	path := filepath.Join(dir, "p.sock")
	w := newWorld(t, fine, onSocket(path))
	for name, want := range map[string]os.FileMode{dir: os.ModeDir | 0o700, path: os.ModeSocket | 0o600} {
		if info, err := os.Lstat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	if now := syscall.Umask(0); now != 0 {
		t.Errorf("the umask has become %#o", now)
	}
	req := w.request(http.MethodGet, "/", nil)
	req.Header.Del("Authorization") // the peer's user is known
	req.Host = "whatever.example"   // and no name leads here
	resp, err := overUnix(path).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	w.wantStatus(w.read(resp), 200)
	if w.proxy.LoginURL() != "" || w.proxy.URL() != "http://localhost" {
		t.Errorf("addresses %q, %q", w.proxy.URL(), w.proxy.LoginURL())
	}
}

func TestSocketWithAToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "p.sock")
	w := newWorld(t, fine, with(func(c *proxy.Config) { c.Unix = path }))
	for _, token := range []string{"", w.token} {
		req := w.request(http.MethodGet, "/", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := overUnix(path).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.read(resp); (got.StatusCode == 200) != (token != "") {
			t.Errorf("token %v: status %d", token != "", got.StatusCode)
		}
	}
}

func TestSocketsThatAreInTheWay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, path string) string // returns the path to use
		want    string                                 // "": replaced
	}{
		"stale": {func(t *testing.T, path string) string {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			_ = l.Close()
			return path
		}, ""},
		"in use": {func(t *testing.T, path string) string {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			return path
		}, "another program listens"},
		"a file": {func(t *testing.T, path string) string {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, "not a socket of yours"},
		"a link": {func(t *testing.T, path string) string {
			if err := os.Symlink("elsewhere", path); err != nil {
				t.Fatal(err)
			}
			return path
		}, "not a socket of yours"},
		"an open directory": {func(t *testing.T, path string) string {
			if err := os.Chmod(filepath.Dir(path), 0o750); err != nil { //nolint:gosec // on purpose
				t.Fatal(err)
			}
			return path
		}, "chmod 700"},
		"a link to a directory": {func(t *testing.T, path string) string {
			link := filepath.Join(shortDir(t), "l")
			if err := os.Symlink(filepath.Dir(path), link); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(link, "p.sock")
		}, "or a link to one"},
		"a long path": {func(_ *testing.T, path string) string {
			return filepath.Join(filepath.Dir(path), strings.Repeat("x", 120))
		}, "the limit is"},
		"another's directory": {func(t *testing.T, path string) string {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a directory away")
			}
			if err := os.Chown(filepath.Dir(path), 65534, 65534); err != nil {
				t.Fatal(err)
			}
			return path
		}, "belongs to another user"},
		"another's socket": {func(t *testing.T, path string) string {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a socket away")
			}
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			_ = l.Close()
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
			return path
		}, "not a socket of yours"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := tc.prepare(t, filepath.Join(shortDir(t), "p.sock"))
			before, _ := os.Lstat(path)
			w := unproxied(t, fine)
			w.server.Start()
			cfg := w.config()
			cfg.Unix = path
			p, err := proxy.New(t.Context(), w.store, secretsauth.Config{}, cfg)
			if err == nil {
				defer p.Close()
			}
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !errors.Is(err, secretsauth.ErrConfig) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v", err)
			}
			if after, _ := os.Lstat(path); before != nil && !os.SameFile(before, after) {
				t.Error("what was there is gone")
			}
		})
	}
}

// Two that start at once never both take the place: one listens, and is reached.
func TestSocketRace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "p.sock")
	w := unproxied(t, fine)
	w.server.Start()
	for range 10 {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		_ = l.Close()
		made := make(chan *proxy.Proxy, 4)
		for range 4 {
			go func() {
				cfg := w.config()
				cfg.Unix = path
				p, _ := proxy.New(t.Context(), w.store, secretsauth.Config{}, cfg)
				made <- p
			}()
		}
		var got []*proxy.Proxy
		for range 4 {
			if p := <-made; p != nil {
				got = append(got, p)
			}
		}
		if len(got) != 1 {
			t.Fatalf("%d listen", len(got))
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		_ = got[0].Close()
	}
}
