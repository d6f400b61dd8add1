package proxy_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

// Another user who gets at the socket all the same is known by the kernel's word.
// Not parallel: for a moment other users may enter a directory of /tmp.
func TestAnotherUserAtTheSocket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another user")
	}
	dir := shortDir(t)
	path, control := filepath.Join(dir, "p.sock"), filepath.Join(dir, "c.sock")
	w := newWorld(t, fine, onSocket(path), with(func(c *proxy.Config) { c.Control = control }))
	for name, mode := range map[string]os.FileMode{dir: 0o777, path: 0o777, control: 0o777} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, socket := range []string{path, control} {
		answer := make(chan string)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with this function
			const unchanged = ^uintptr(0)
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, unchanged, 65534, unchanged); errno != 0 {
				answer <- errno.Error()
				return
			}
			conn, err := net.Dial("unix", socket)
			if err != nil {
				answer <- err.Error()
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "GET /v1/cache HTTP/1.1\r\nHost: localhost\r\n\r\n")
			got, _ := io.ReadAll(conn)
			answer <- string(got)
		}()
		if got := <-answer; got != "" {
			t.Errorf("%s: got %q", socket, got)
		}
	}
	eventually(t, "both are in the log", func() bool { return strings.Count(w.log.String(), "the peer is user 65534, not 0") == 2 })
	if _, err := proxy.Status(t.Context(), control); err == nil || !strings.Contains(err.Error(), "other users can enter") {
		t.Errorf("a socket in an open directory is asked: %v", err)
	}
}
