//go:build linux || darwin

package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

// Whatever sends more than its answers at a control socket. What the upstream sends
// unasked is tested with the whole command (internal/cli): the proxy keeps connections
// to it, and the command's standard logger goes to nowhere.
func TestF2F3WhatAControlSocketSendsUnaskedIsNotPrinted(t *testing.T) {
	t.Parallel()
	faults.EverySurplus(t, []string{"TCP"}, faults.Surpluses(), func(stage *faults.Stage) {
		stage.Parallel()
		secret := canary.New()
		path := socketOf(stage, stage.Start(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"key":%q,"entries":1}`, secret)
		}), secret))
		for range 3 {
			status, err := proxy.Status(faults.Hesitate(stage.Context()), path)
			if !stage.Surplus.Spoils() && (err != nil || status.Key != secret) {
				stage.Errorf("the answer is not read: %v", err)
			}
			_, _ = proxy.Clear(faults.Hesitate(stage.Context()), path)
		}
	})
}

// socketOf is the path of a socket that leads to peer.
func socketOf(stage *faults.Stage, peer *faults.Peer) string {
	path := filepath.Join(shortDir(stage.T), "c.sock")
	l, err := new(net.ListenConfig).Listen(stage.Context(), "unix", path)
	if err != nil {
		stage.Fatal(err)
	}
	stage.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", peer.Address())
			if err != nil {
				_ = from.Close()
				return
			}
			for in, out := range map[net.Conn]net.Conn{from: to, to: from} {
				go func() {
					_, _ = io.Copy(out, in)
					_ = out.Close()
				}()
			}
		}
	}()
	return path
}
