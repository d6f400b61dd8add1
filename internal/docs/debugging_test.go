package docs_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// debugged is the Go of the troubleshooting page, in a function so that it compiles.
func debugged(ctx context.Context) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	store, err := providers.FromEnv(ctx)
	if err != nil {
		return err
	}
	if _, err := store.Fetch(ctx); err != nil { // the store, without cache and server
		if e, ok := errors.AsType[*secretsauth.Error](err); ok {
			logger.Error(e.Summary, "key", e.Key, "fix", e.Fix)
		}
		return err
	}
	cfg, err := secretsauth.ConfigFromEnv()
	if err != nil {
		return err
	}
	cfg.Logger = logger
	rt, err := secretsauth.NewTransport(store, cfg)
	if err != nil {
		return err
	}
	return rt.Warm(ctx)
}

func TestTheGoOfTroubleshooting(t *testing.T) {
	for _, name := range []string{"", "_VAULT", "_AWS_SECRETS_MANAGER", "_AZURE_KEY_VAULT"} {
		t.Setenv("MLFLOW_SECRETS_AUTH_ENABLE"+name, "")
	}
	if err := debugged(t.Context()); !errors.Is(err, secretsauth.ErrConfig) {
		t.Error(err)
	}
	file, err := os.ReadFile("debugging_test.go")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`(?m)^\t`).ReplaceAllString(string(file), "")
	for _, b := range blocksOf(map[string]string{"": documents(t)["docs/troubleshooting.md"]}, "go") {
		if !strings.Contains(code, b.text) {
			t.Errorf("the page shows Go that is not compiled:\n%s", b.text)
		}
	}
}
