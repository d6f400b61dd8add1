//go:build !linux && !darwin

package proxy

import (
	"context"
	"log/slog"
	"net"
	"runtime"
)

const haveUnixSockets = false

// listenUnix refuses: without a way to tell who connects, a socket is open to all.
func listenUnix(context.Context, string, *slog.Logger) (net.Listener, error) {
	return nil, errNoUnixSockets
}

func dialUnix(context.Context, string) (net.Conn, error) { return nil, errNoUnixSockets }

var errNoUnixSockets = config("Unix sockets are used on Linux and macOS only, not on "+runtime.GOOS,
	"listen on "+DefaultListen+" by --listen, and leave out --unix and --control")
