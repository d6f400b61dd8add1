package cli

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/mlflow-secrets-auth/secretsauth/internal/doctor"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// examination is the flags that doctor and report share.
type examination struct{ doctor.Options }

func (x *examination) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&x.URL, "dry-run", "", "try the credential at the tracking server at `URL`")
	cmd.Flags().DurationVar(&x.Timeout, "timeout", doctor.DefaultTimeout, "time for the whole run")
	cmd.Flags().StringSliceVar(&x.Regions, "regions", nil, "AWS `regions` to look for a secret that is not in its own")
}

func (x *examination) check(cmd *cobra.Command) error {
	if x.Timeout <= 0 {
		return fmt.Errorf("--timeout is %v: use a positive time such as 30s", x.Timeout)
	}
	if cmd.Flags().Changed("dry-run") && x.URL == "" {
		return fmt.Errorf("--dry-run has no URL: use the form --dry-run https://mlflow.company.com")
	}
	return nil
}

func newDoctor() *cobra.Command {
	var x examination
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check everything between the environment and the credential",
		Long: `doctor follows the way of a credential, from the environment through the network
and the store to the header, and with --dry-run to the tracking server. It says of
each step whether it is well, and if not, why and what to do.

The exit code is 0 if no check failed (warnings are allowed), 1 if one did, and 2
for a usage error.

It reads the secret twice. It cannot look into a running process: the hit rate and
the rejections are in that process's log and Transport.Stats; for a running proxy
see cache status.`,
		Example: `  mlflow-secrets-auth doctor
  mlflow-secrets-auth doctor --dry-run https://mlflow.company.com
  mlflow-secrets-auth doctor --json | jq '.checks[] | select(.status == "fail")'
  MLFLOW_SECRETS_LOG_LEVEL=DEBUG mlflow-secrets-auth doctor`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := x.check(cmd); err != nil {
				return err
			}
			x.Log = env.Logger()
			report := x.run(cmd, asJSON)
			if asJSON {
				if err := printJSON(cmd, report); err != nil {
					return err
				}
			}
			if !report.OK {
				return exit(bad)
			}
			return nil
		},
	}
	x.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func (x *examination) run(cmd *cobra.Command, quiet bool) doctor.Report {
	// What is warned of while the environment is read, the checks tell.
	defer logTo(slog.DiscardHandler)()
	begun := time.Now()
	to := cmd.OutOrStdout()
	if quiet {
		to = io.Discard
	}
	lines := checks{to: to, painter: newPainter(to)}
	report := doctor.Run(cmd.Context(), x.Options, lines.print)
	lines.flush()
	count := map[inspect.Status]int{}
	for _, c := range report.Checks {
		count[c.Status]++
	}
	_, _ = fmt.Fprintf(to, "\n%d passed, %d warnings, %d failed, %d skipped, in %v\n", count[inspect.Pass], count[inspect.Warn], count[inspect.Fail],
		count[inspect.Skip], time.Since(begun).Round(time.Millisecond))
	return report
}
