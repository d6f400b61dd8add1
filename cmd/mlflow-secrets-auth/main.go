// Command mlflow-secrets-auth gives MLflow clients their credentials, and finds out
// why one has none: `mlflow-secrets-auth doctor`.
package main

import (
	"context"
	"os"

	"github.com/mlflow-secrets-auth/secretsauth/internal/cli"
)

func main() {
	ctx, stop := cli.Ending(context.Background())
	code := cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
