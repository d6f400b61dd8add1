package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/doctor"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

func newHosts() *cobra.Command {
	return &cobra.Command{
		Use:   "hosts URL...",
		Short: "Tell whether URLs would get the credential, and by which pattern",
		Long: `hosts compares each URL with each pattern of MLFLOW_SECRETS_ALLOWED_HOSTS, as the
library does. The exit code is 0 if all would get the credential, 1 if one would
not.`,
		Example: `  export MLFLOW_SECRETS_ALLOWED_HOSTS='mlflow.company.com,*.ml.company.com'
  mlflow-secrets-auth hosts https://mlflow.company.com https://other.example.com`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, urls []string) error {
			cfg, err := secretsauth.ConfigFromEnv()
			if err != nil {
				return failure(cmd, err)
			}
			all := true
			for _, text := range urls {
				ok, err := explain(cmd, cfg.AllowedHosts, text)
				if err != nil {
					return failure(cmd, err)
				}
				all = all && ok
			}
			if !all {
				return exit(bad)
			}
			return nil
		},
	}
}

// explain tells of one URL, pattern by pattern.
func explain(cmd *cobra.Command, patterns []string, text string) (allowed bool, err error) {
	paint := newPainter(cmd.OutOrStdout())
	u, why := doctor.ParseServer(text)
	if why != nil {
		cmd.Printf("%s %s\n    cause: %s\n    fix:   %s\n", paint.mark(inspect.Fail), why.Summary, why.Cause, why.Fix)
		return false, nil
	}
	var lines strings.Builder
	var decided secretsauth.HostDecision
	for _, pattern := range patterns {
		m, err := secretsauth.CompileHosts([]string{pattern})
		if err != nil {
			return false, err
		}
		d := m.Explain(u)
		verdict := "does not cover it"
		switch {
		case d.Allowed && !decided.Allowed:
			decided, verdict = d, "decides: it covers the host"
		case d.Allowed:
			verdict = "covers it too"
		case d.Host == "":
			verdict = d.Reason
		}
		_, _ = fmt.Fprintf(&lines, "    %-30s %s\n", inspect.Printable(pattern), verdict)
	}
	mark, verdict := paint.mark(inspect.Fail), "would not get the credential"
	if decided.Allowed {
		mark, verdict = paint.mark(inspect.Pass), "would get the credential"
	}
	cmd.Printf("%s %s://%s %s\n%s", mark, u.Scheme, inspect.Printable(u.Host), verdict, lines.String())
	return decided.Allowed, nil
}
