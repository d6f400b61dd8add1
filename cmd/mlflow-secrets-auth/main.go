// Command mlflow-secrets-auth finds out why an MLflow client has no credential, or
// whether it has one: `mlflow-secrets-auth doctor`.
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/mlflow-secrets-auth/secretsauth/internal/cli"
)

func main() {
	ctx, stop := context.WithCancel(context.Background())
	// What nohup or a shell's & has made us ignore stays so.
	if ends := slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM}, signal.Ignored); len(ends) > 0 {
		ctx, stop = signal.NotifyContext(ctx, ends...)
	}
	code := cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
