package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newHeader() *cobra.Command {
	var force, plainHTTP bool
	cmd := &cobra.Command{
		Use:   "header URL",
		Short: "Print the header with the credential, for curl and the like",
		Long: `header prints the header line that a request to URL needs, as "Authorization: …".
If the secret has further headers, or MLFLOW_WORKSPACE is set, it prints a line for
each.

It is the one command whose output is the credential: give it to a program, not to
a file or a log. On a terminal it refuses, unless --force says that the screen may
show it. The URL's host must be covered by MLFLOW_SECRETS_ALLOWED_HOSTS, which must
be set. Plain http to another machine needs --insecure-plain-http-upstream.

The example's form keeps the credential out of the arguments of curl, which every
user of the machine can see. curl's -L would send a header of another name than
Authorization to wherever the server redirects.

The exit code is 0 if the header was printed, 1 if it was refused or the credential
could not be read, and 2 for a usage error.`,
		Example: `  url=https://mlflow.company.com
  curl -H @<(mlflow-secrets-auth header "$url") "$url/api/2.0/mlflow/experiments/search?max_results=5"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			if isTerminal(out) && !force {
				return failure(cmd, refusal("the terminal would show the credential",
					"give the output to a program, as in `mlflow-secrets-auth header --help`, or show it with --force"))
			}
			all, err := headersFor(cmd.Context(), args[0], plainHTTP)
			for i := 0; i < len(all) && err == nil; i++ {
				_, err = fmt.Fprintf(out, "%s: %s\n", all[i].name, all[i].value)
			}
			if err != nil {
				return failure(cmd, err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "print it on a terminal too")
	plainHTTPFlag(cmd, &plainHTTP)
	return cmd
}

func headersFor(ctx context.Context, address string, plainHTTP bool) ([]header, error) {
	d, err := newDisclosure(ctx, plainHTTP)
	if err != nil {
		return nil, err
	}
	address, _, _ = strings.Cut(address, "?") // a request's whole URL will do
	u, err := d.recipient("the URL", address)
	if err != nil {
		return nil, err
	}
	return d.headers(ctx, u)
}
