package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/doctor"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/loopback"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

func newHeader() *cobra.Command {
	var force, plainHTTP bool
	cmd := &cobra.Command{
		Use:   "header URL",
		Short: "Print the header with the credential, for curl and the like",
		Long: `header prints the header line that a request to URL needs, as "Authorization: …".

It is the one command whose output is the credential: give it to a program, not to
a file or a log. On a terminal it refuses, unless --force says that the screen may
show it. The URL's host must be covered by MLFLOW_SECRETS_ALLOWED_HOSTS, which must
be set; one that is asked over plain http and is not this machine's needs
--insecure-plain-http-upstream.

The example's form keeps the credential out of the arguments of curl, which every
user of the machine can see. curl's -L would send a header of another name than
Authorization to wherever the server redirects.

The exit code is 0 if the header was printed, 1 if it was refused or could not be
had, and 2 if header was called in a way that has no meaning.`,
		Example: `  url=https://mlflow.company.com
  curl -H @<(mlflow-secrets-auth header "$url") "$url/api/2.0/mlflow/experiments/search?max_results=5"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			if file, ok := out.(*os.File); ok && !force && (isatty.IsTerminal(file.Fd()) || isatty.IsCygwinTerminal(file.Fd())) {
				return failure(cmd, refusal("the terminal would show the credential",
					"give the output to a program, as in `mlflow-secrets-auth header --help`, or show it with --force"))
			}
			line, err := headerFor(cmd.Context(), args[0], plainHTTP)
			if err != nil {
				return failure(cmd, err)
			}
			_, err = fmt.Fprintln(out, line)
			return err
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "print it on a terminal too")
	plainHTTPFlag(cmd, &plainHTTP)
	return cmd
}

func headerFor(ctx context.Context, address string, plainHTTP bool) (line string, err error) {
	d, err := newDisclosure(ctx, plainHTTP)
	if err != nil {
		return "", err
	}
	address, _, _ = strings.Cut(address, "?") // a request's whole URL will do
	u, err := d.recipient("the URL", address)
	if err != nil {
		return "", err
	}
	value, err := d.header(ctx, u)
	if err != nil {
		return "", err
	}
	return d.name + ": " + value, nil
}

// disclosure gives the credential to other programs. Nobody watches what becomes of
// it there, so it is stricter than the library about who gets it.
type disclosure struct {
	config    secretsauth.Config
	name      string // of the header
	hosts     *secretsauth.HostMatcher
	plainHTTP bool
	store     *secretsauth.Cache // the secret is read once
}

func plainHTTPFlag(cmd *cobra.Command, allowed *bool) {
	cmd.Flags().BoolVar(allowed, "insecure-plain-http-upstream", false, "let the credential travel unencrypted, for all on the way to read")
}

// newDisclosure reads the environment.
func newDisclosure(ctx context.Context, plainHTTP bool) (*disclosure, error) {
	if _, set := os.LookupEnv("MLFLOW_SECRETS_ALLOWED_HOSTS"); !set {
		return nil, refusal("MLFLOW_SECRETS_ALLOWED_HOSTS is not set, which would mean every host",
			"export MLFLOW_SECRETS_ALLOWED_HOSTS=mlflow.company.com, with the host of your tracking server")
	}
	d := &disclosure{plainHTTP: plainHTTP}
	var err error
	if d.config, err = secretsauth.ConfigFromEnv(); err != nil {
		return nil, err
	}
	if d.hosts, err = secretsauth.CompileHosts(d.config.AllowedHosts); err != nil {
		return nil, err
	}
	if d.name = "Authorization"; d.config.HeaderName != "" {
		d.name = http.CanonicalHeaderKey(d.config.HeaderName)
	}
	p, err := providers.FromEnv(ctx)
	if err != nil {
		return nil, err
	}
	d.store = secretsauth.NewCache(p, d.config)
	return d, nil
}

// recipient is the server at an address, if it may have the credential. In errors
// the address is called by its name: it may hold a password.
func (d *disclosure) recipient(name, address string) (*url.URL, error) {
	u, why := doctor.ParseServer(address)
	if why != nil {
		return nil, refusal(name+" cannot be used: "+why.Cause, why.Fix)
	}
	decision := d.hosts.Explain(u)
	where := fmt.Sprintf("%s (%s)", inspect.Printable(u.Host), name)
	switch {
	case !decision.Allowed && decision.Host == "":
		return nil, refusal(where+" does not get the credential: "+decision.Reason, "write the host as DNS has it, in ASCII")
	case !decision.Allowed:
		return nil, refusal(where+" does not get the credential: "+decision.Reason,
			"if it is the tracking server: export MLFLOW_SECRETS_ALLOWED_HOSTS='"+strings.Join(append(d.config.AllowedHosts, decision.Host), ",")+"'")
	case u.Scheme == "http" && !d.plainHTTP && !loopback.Host(decision.Host):
		return nil, refusal(where+" is asked over plain http, where the credential could be read on the way",
			"use the https URL or, if the network in between is trusted, --insecure-plain-http-upstream")
	}
	return u, nil
}

// header is the value that a request to u carries.
func (d *disclosure) header(ctx context.Context, u *url.URL) (string, error) {
	sent, err := inspect.Header(ctx, d.store, d.config, u)
	if err != nil {
		return "", err
	}
	value := sent.Get(d.name)
	if value == "" {
		return "", refusal("the library gives no credential to "+inspect.Printable(u.Host), "mlflow-secrets-auth hosts "+u.Scheme+"://"+inspect.Printable(u.Host))
	}
	return value, nil
}

func refusal(what, fix string) error {
	return &secretsauth.Error{Kind: secretsauth.ErrConfig, Summary: what, Fix: fix}
}
