// Command mlflow-secrets-auth finds out why an MLflow client has no credential, or
// whether it has one: `mlflow-secrets-auth doctor`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/mlflow-secrets-auth/secretsauth/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
