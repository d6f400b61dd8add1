//go:build linux || darwin

package proxy_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

// What answers at the path of a control socket may say anything.
func TestF2F3TheControlClientHearsNothingUnasked(t *testing.T) {
	t.Parallel()
	for _, surplus := range faults.Surpluses() {
		for name, ask := range map[string]func(context.Context, string) (proxy.CacheStatus, error){"status": proxy.Status, "clear": proxy.Clear} {
			t.Run(name+", "+surplus.Name, func(t *testing.T) {
				t.Parallel()
				secret, path := canary.New(), filepath.Join(shortDir(t), "c.sock")
				l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
				if err != nil {
					t.Fatal(err)
				}
				peer := faults.NewPeerAt(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.WriteString(w, `{"entries":1,"key":"`+secret+`"}`)
				}), surplus, secret)
				t.Cleanup(peer.Close)
				status, err := ask(faults.Hesitate(t.Context()), path)
				if !surplus.Spoils() && (err != nil || status.Entries != 1) {
					t.Errorf("%d entries, %v", status.Entries, err)
				}
				if !peer.Left(30 * time.Second) {
					t.Error("a connection was kept")
				}
				canary.Absent(t, "what is printed through the standard logger", canary.Printed(), secret)
			})
		}
	}
}
