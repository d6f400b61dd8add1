package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

// AutoControl, as Config.Control, is a path that [Running] finds.
const AutoControl = "auto"

// controlDirs are where control sockets lie: a directory of the user's that others
// cannot enter. The second is for where the system gives none.
func controlDirs() []string {
	var dirs []string
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(runtime) {
		dirs = append(dirs, filepath.Join(runtime, "mlflow-secrets-auth"))
	}
	return append(dirs, filepath.Join(os.TempDir(), "mlflow-secrets-auth-"+strconv.Itoa(os.Geteuid())))
}

// controlPath is that of the proxy named by its port, or "" where there are no Unix
// sockets.
func controlPath(name string) string {
	if !haveUnixSockets {
		return ""
	}
	return filepath.Join(controlDirs()[0], "proxy-"+name+".sock")
}

// Running are the control sockets of this user's running proxies.
func Running(ctx context.Context) []string {
	var alive []string
	for _, dir := range controlDirs() {
		paths, _ := filepath.Glob(filepath.Join(dir, "proxy-*.sock"))
		for _, path := range paths {
			if conn, err := dialUnix(ctx, path); err == nil {
				_ = conn.Close()
				alive = append(alive, path)
			}
		}
	}
	slices.Sort(alive)
	return alive
}

// Status asks the proxy whose control socket is at path.
func Status(ctx context.Context, path string) (CacheStatus, error) {
	return ask(ctx, path, http.MethodGet, statusPath)
}

// Clear has that proxy drop the credential and read it again.
func Clear(ctx context.Context, path string) (CacheStatus, error) {
	return ask(ctx, path, http.MethodPost, clearPath)
}

// maxAsk is longer than a proxy waits for its store.
const maxAsk = maxWarm + 5*time.Second

func ask(ctx context.Context, path, method, what string) (status CacheStatus, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxAsk)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://proxy"+what, nil)
	if err != nil {
		return status, err
	}
	own := store.NewTransport()
	own.Proxy, own.DialContext = nil, func(ctx context.Context, _, _ string) (net.Conn, error) { return dialUnix(ctx, path) }
	client := http.Client{Transport: store.NewSingle(own)}
	resp, err := client.Do(req)
	if own, ok := errors.AsType[*secretsauth.Error](err); ok {
		return status, own
	}
	if err != nil {
		return status, config(fmt.Sprintf("no proxy answers at %s: %v", path, netcause.Innermost(err)), "start one: mlflow-secrets-auth proxy --help")
	}
	defer resp.Body.Close()
	body := json.NewDecoder(io.LimitReader(resp.Body, maxKept))
	if resp.StatusCode != http.StatusOK {
		var told answer
		if err := body.Decode(&told); err != nil || told.Error == "" {
			told.Error = "the proxy has answered " + resp.Status
		}
		return status, config(told.Error, told.Fix)
	}
	if err := body.Decode(&status); err != nil {
		return status, config("the proxy's answer cannot be read", "use the version that the proxy is of")
	}
	return status, nil
}
