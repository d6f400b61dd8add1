//go:build linux || darwin

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const haveUnixSockets = true

// maxSocketPath is what a socket's address holds, its last NUL left out.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// listenUnix opens a socket for this user alone: in a directory that no other can
// enter, of a mode that no other can connect by, and with a look at who connects.
func listenUnix(ctx context.Context, path string, log *slog.Logger) (net.Listener, error) {
	path, err := filepath.Abs(path) // also keeps @name from being an abstract socket, which has no owner
	if err != nil {
		return nil, config("the socket's path cannot be made absolute", "give an absolute path")
	}
	if len(path) > maxSocketPath {
		return nil, config(fmt.Sprintf("the socket's path is %d bytes long, the limit is %d", len(path), maxSocketPath), "choose a shorter one")
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, config(fmt.Sprintf("the directory of the socket cannot be made: %v", err), "choose another path")
	}
	if err := private(dir); err != nil {
		return nil, err
	}
	release, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := clearStale(ctx, path); err != nil {
		return nil, err
	}
	l, err := bind(ctx, path)
	if err != nil {
		return nil, config(fmt.Sprintf("cannot listen on %s: %v", path, err), "choose another path")
	}
	return &peersOnly{Listener: l, log: log}, nil
}

// private checks that dir is a directory of this user's that no other can enter.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return config(fmt.Sprintf("the directory of the socket cannot be looked at: %v", err), "choose another path")
	}
	fix := fmt.Sprintf("chmod 700 %s, or choose a path in a directory of your own", dir)
	switch {
	case !info.IsDir():
		return config(fmt.Sprintf("%s is not a directory, or a link to one", dir), fix)
	case !ours(info):
		return config(fmt.Sprintf("%s belongs to another user", dir), fix)
	case info.Mode().Perm()&0o077 != 0:
		return config(fmt.Sprintf("other users can enter %s, its mode is %#o", dir, info.Mode().Perm()), fix)
	}
	return nil
}

func ours(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// lock keeps two proxies that start at once from taking each other's socket for
// stale.
func lock(dir string) (release func(), err error) {
	failed := func(err error) error {
		return config(fmt.Sprintf("the directory of the socket cannot be locked: %v", err), "choose another path")
	}
	d, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, failed(err)
	}
	for {
		if err = unix.Flock(d, unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = unix.Close(d)
		return nil, failed(err)
	}
	return func() { _ = unix.Close(d) }, nil
}

// clearStale removes what a proxy has left that did not end well: a socket of this
// user's at which nobody listens any more.
func clearStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return config(fmt.Sprintf("the socket's path cannot be looked at: %v", err), "choose another path")
	case info.Mode().Type() != fs.ModeSocket || !ours(info):
		return config(fmt.Sprintf("%s exists, and is not a socket of yours", path), "choose another path")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return config(fmt.Sprintf("another program listens on %s", path), "end it, or choose another path")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return config(fmt.Sprintf("it cannot be told whether %s is in use: %v", path, err), "remove it, or choose another path")
	}
	if err := os.Remove(path); err != nil {
		return config(fmt.Sprintf("the socket that a proxy has left cannot be removed: %v", err), "remove it")
	}
	return nil
}

// umask is the process's, so one at a time.
var umask sync.Mutex

func bind(ctx context.Context, path string) (net.Listener, error) {
	umask.Lock()
	old := unix.Umask(0o177)
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	unix.Umask(old)
	umask.Unlock()
	return l, err
}

// dialUnix connects to a socket that listenUnix has made, if it is of this user.
func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	if err := private(filepath.Dir(path)); err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := samePeer(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// peersOnly lets in the user that the proxy runs as.
type peersOnly struct {
	net.Listener
	log *slog.Logger
}

func (l *peersOnly) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		stranger := samePeer(conn)
		if stranger == nil {
			return conn, nil
		}
		l.log.Warn("Connection refused: "+stranger.Error(), "socket", l.Addr().String())
		_ = conn.Close()
	}
}

// samePeer checks who is at the other end, as the kernel knows it.
func samePeer(conn net.Conn) error {
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return errors.New("the peer's user cannot be told")
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return fmt.Errorf("the peer's user cannot be told: %w", err)
	}
	var uid uint32
	var failed error
	if err := control.Control(func(fd uintptr) { uid, failed = peerUID(int(fd)) }); err != nil { //nolint:gosec // a file descriptor is small
		failed = err
	}
	if failed != nil {
		return fmt.Errorf("the peer's user cannot be told: %w", failed)
	}
	if int(uid) != os.Geteuid() {
		return fmt.Errorf("the peer is user %d, not %d", uid, os.Geteuid())
	}
	return nil
}
