// Package cli is the command mlflow-secrets-auth: arguments and streams in, exit
// code out. What is asked for goes to stdout, logs go to stderr, and no secret to
// either.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// The exit codes of every command.
const (
	good  = 0
	bad   = 1 // what was looked at is not well
	usage = 2 // it was asked for in a way that has no meaning
)

// exit is an error that has been told already.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// Main runs one command, with the process's environment.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	// Where the environment is read, warnings go to the default logger.
	logTo(newLog(stderr))
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if told, ok := errors.AsType[exit](err); ok {
		return int(told)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "mlflow-secrets-auth: %v\nSee `mlflow-secrets-auth --help`.\n", err)
		return usage
	}
	return good
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "mlflow-secrets-auth",
		Short: "Credentials for MLflow clients from Vault, AWS Secrets Manager and Azure Key Vault",
		Long: `mlflow-secrets-auth gives MLflow clients their credentials from HashiCorp Vault,
AWS Secrets Manager or Azure Key Vault, and finds out why one has none.

It is configured by the environment, as the library is.`,
		Example: `  export MLFLOW_SECRETS_AUTH_ENABLE=vault
  mlflow-secrets-auth info
  mlflow-secrets-auth doctor --dry-run https://mlflow.company.com`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Version:       thisBuild().Version,
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.AddCommand(newInfo(), newDoctor(), newHosts(), newReport(), newVersion(), newProxy(), newCache(), newExec(), newHeader())
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Args = aCommand // else a misspelt one gets the program's help, and exit code 0
	}
	return root
}

// aCommand refuses arguments that do not name a command.
func aCommand(cmd *cobra.Command, args []string) error {
	found, rest, err := cmd.Root().Find(args)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("unknown command %q for %q", rest[0], found.CommandPath())
	}
	return err
}
