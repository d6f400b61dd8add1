// Command observability asks an MLflow server every ten seconds whether it is
// there, writes what happens to the credential to stderr, as JSON, and its counts
// to http://127.0.0.1:8080/debug/vars.
package main

import (
	"context"
	"errors"
	"expvar"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

func main() {
	// Debug says of every request where its credential came from; Info is for every day.
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	slog.SetDefault(log) // where the environment is read, warnings go there

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// Loopback: expvar shows the command line as well.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:8080")
	if err == nil {
		err = run(ctx, listener, 10*time.Second, log)
	}
	if err != nil {
		log.Error(err.Error())
		os.Exit(1)
	}
}

// credentials are the counts of every transport, by the server it is for.
var credentials = expvar.NewMap("mlflow_credentials")

func run(ctx context.Context, listener net.Listener, every time.Duration, log *slog.Logger) error {
	server, err := url.Parse(os.Getenv("MLFLOW_TRACKING_URI"))
	if err != nil {
		return errors.New("MLFLOW_TRACKING_URI is not a URL") // err repeats it, with the password that it may hold
	}
	store, err := providers.FromEnv(ctx)
	if err != nil {
		return err
	}
	cfg, err := secretsauth.ConfigFromEnv()
	if err != nil {
		return err
	}
	cfg.Logger = log // in place of the one at MLFLOW_SECRETS_LOG_LEVEL
	rt, err := secretsauth.NewTransport(store, cfg)
	if err != nil {
		return err
	}
	credentials.Set(server.Host, counts(rt))

	mux := http.NewServeMux()
	mux.Handle("GET /debug/vars", expvar.Handler())
	metrics := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = metrics.Serve(listener) }()
	defer func() { _ = metrics.Close() }()

	client := &http.Client{Transport: rt, Timeout: 30 * time.Second}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		ask(ctx, client, server.JoinPath("version").String(), log)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// ask sends one request. An error of the library says what to do about it.
func ask(ctx context.Context, client *http.Client, url string, log *slog.Logger) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		log.ErrorContext(ctx, err.Error())
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		log.ErrorContext(ctx, "No answer", "error", err.Error())
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	log.InfoContext(ctx, "Answer", "status", resp.StatusCode)
}

// counts are those of a transport, read anew whenever somebody looks. A gauge of
// Prometheus or OpenTelemetry is made the same way, by a function that is called
// when it is collected.
func counts(rt *secretsauth.Transport) expvar.Func {
	return func() any {
		s, cache := rt.Stats(), rt.CacheState()
		all := map[string]any{
			"hits": s.Hits, "misses": s.Misses, "hit_rate": s.HitRate(),
			"reads": s.Fetches, "read_errors": s.FetchErrors, "stale_served": s.StaleServed,
			"rejections": s.Rejections, "retries": s.Retries, "withheld": s.Withheld,
			// Worth an alarm: requests still go through, but not for ever.
			"store_failing": cache.Failure != nil,
		}
		if !cache.ReadAt.IsZero() {
			all["age_seconds"] = time.Since(cache.ReadAt).Seconds()
		}
		if !s.ValidUntil.IsZero() {
			all["ends_in_seconds"] = time.Until(s.ValidUntil).Seconds()
		}
		return all
	}
}
