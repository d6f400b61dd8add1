package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

func newCache() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Look at, or clear, the cache of a running proxy",
		Long: `cache asks a running "mlflow-secrets-auth proxy" of the same user, over its control
socket. The cache of a program that uses the library is its own: Transport.Stats
and Transport.ClearCache.`,
		Example: `  mlflow-secrets-auth cache status
  mlflow-secrets-auth cache clear`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newCacheCommand("status", "Show entries, age, hit rate, reads, errors, rejections and next refresh",
			`status tells what the cache of the running proxy holds, and what has been counted
since its start. The exit code is 1 if there is no proxy, or no credential in its
cache.`, proxy.Status),
		newCacheCommand("clear", "Drop the credential and read it again",
			`clear has the running proxy drop its credential and read the store. It does so at
most once in 10 s. The exit code is 1 if there is no proxy, if it was cleared
just before, or if the store cannot be read.`, proxy.Clear),
	)
	return cmd
}

func newCacheCommand(name, short, long string, ask func(context.Context, string) (proxy.CacheStatus, error)) *cobra.Command {
	var control string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Long:  long,
		Example: fmt.Sprintf(`  mlflow-secrets-auth cache %[1]s
  mlflow-secrets-auth cache %[1]s --json | jq .hit_rate
  mlflow-secrets-auth cache %[1]s --control "$XDG_RUNTIME_DIR/mlflow-secrets-auth/proxy-5001.sock"`, name),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := control, error(nil)
			if path == "" {
				path, err = theProxy(cmd.Context())
			}
			var status proxy.CacheStatus
			if err == nil {
				status, err = ask(cmd.Context(), path)
			}
			if err != nil {
				return failure(cmd, err)
			}
			if asJSON {
				err = printJSON(cmd, status)
			} else {
				printCache(cmd, status)
			}
			if err == nil && status.Entries == 0 {
				return exit(bad)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&control, "control", "", "`path` of the proxy's control socket; default: that of the one that runs")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// theProxy is the control socket of the only proxy that runs.
func theProxy(ctx context.Context) (string, error) {
	running := proxy.Running(ctx)
	switch len(running) {
	case 0:
		return "", refusal("no proxy of this user is running",
			"start one, see `mlflow-secrets-auth proxy --help`; or name its socket by --control")
	case 1:
		return running[0], nil
	}
	return "", refusal("several proxies are running: "+strings.Join(running, ", "), "name one by --control "+running[0])
}

func printCache(cmd *cobra.Command, s proxy.CacheStatus) {
	line := func(name, format string, args ...any) {
		cmd.Printf("%-13s %s\n", name, oneLine(fmt.Sprintf(format, args...)))
	}
	line("proxy", "%s, process %d", s.Proxy, s.PID)
	line("upstream", "%s", s.Upstream)
	line("secret", "%s", s.Key)
	line("entries", "%d", s.Entries)
	if s.Entries > 0 {
		line("age", "%s", inspect.Span(time.Duration(s.Age*float64(time.Second))))
	}
	line("hit rate", "%.1f %% (%d hits, %d misses)", 100*s.HitRate, s.Hits, s.Misses)
	line("reads", "%d, of which %d failed", s.Reads, s.ReadErrors)
	line("stale", "%d requests past the TTL", s.StaleServed)
	line("rejections", "%d, after which %d requests were sent once more", s.Rejections, s.Retries)
	if !s.NextRefresh.IsZero() {
		line("next refresh", "%s, with the first request from then on", when(s.NextRefresh))
	}
	if s.LastError != "" {
		line("last error", "%s", s.LastError)
	}
}

// when is a time as a distance from now.
func when(t time.Time) string {
	if d := time.Until(t); d > 0 {
		return "in " + inspect.Span(d)
	}
	return "now"
}
