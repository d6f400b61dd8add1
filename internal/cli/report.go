package cli

import (
	"bytes"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/mlflow-secrets-auth/secretsauth/internal/doctor"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
)

func newReport() *cobra.Command {
	var x examination
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Print one text for a bug report, without secrets",
		Long: `report prints version, Go, operating system, the configuration with its secrets
masked, and doctor's result with its log at DEBUG: what a bug report needs. With
--dry-run, or where MLFLOW_TRACKING_URI is an http(s) URL, it asks the tracking
server too, for its version among other things. The exit code is doctor's.`,
		Example: `  mlflow-secrets-auth report --dry-run https://mlflow.company.com > report.txt`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := x.check(cmd); err != nil {
				return err
			}
			if uri := env.Get("MLFLOW_TRACKING_URI"); x.URL == "" && uri != "" {
				if _, refused := doctor.ParseServer(uri); refused == nil {
					x.URL = uri
				}
			}
			var diagnosis, log bytes.Buffer
			out := cmd.OutOrStdout()
			x.Log = slog.New(newLog(&log))
			cmd.SetOut(&diagnosis)
			report := x.run(cmd, false)
			cmd.SetOut(out)

			section := func(title string) { cmd.Printf("\n## %s\n\n", title) }
			cmd.Printf("# Report of mlflow-secrets-auth\n\n%s\n", thisBuild())
			cmd.Printf("MLflow server: %s\n", orUnknown(report.ServerVersion))
			section("Configuration")
			collect(cmd).print(out)
			section("Doctor")
			_, _ = io.Copy(out, &diagnosis)
			section("Log at DEBUG")
			_, _ = io.Copy(out, &log)
			if !report.OK {
				return exit(bad)
			}
			return nil
		},
	}
	x.flags(cmd)
	return cmd
}

func orUnknown(text string) string {
	if text == "" {
		return "not known (give its URL by --dry-run)"
	}
	return text
}
