package cli

import (
	"github.com/spf13/cobra"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// failure prints err, with what to do, and returns the exit code for it.
func failure(cmd *cobra.Command, err error) error {
	f := inspect.Failed("", err)
	cmd.PrintErrf("mlflow-secrets-auth: %s\n", f.Cause)
	if f.Fix != "" {
		cmd.PrintErrf("    fix:   %s\n", f.Fix)
	}
	return exit(bad)
}

// refusal is an error of the command's own.
func refusal(what, fix string) error {
	return &secretsauth.Error{Kind: secretsauth.ErrConfig, Summary: what, Fix: fix}
}
