package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/child"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/headers"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

// execution is exec's flags.
type execution struct {
	proxy, keepEnv, plainHTTP bool
	upstream                  string
	tls                       upstreamTLS // of the proxy
}

func newExec() *cobra.Command {
	var x execution
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARG...]",
		Short: "Run a program with the credential in its environment, or behind a proxy of its own",
		Long: `exec reads the credential and runs a program that finds it where every MLflow
client looks: in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or in
MLFLOW_TRACKING_TOKEN. The program keeps what it was started with: for one that
outlives a rotation take --proxy. So do for a secret of several headers: MLflow's
variables are for the header Authorization alone.

With --proxy the program never holds the credential. It gets a proxy of its own, on
this machine's loopback and for as long as it runs, as MLFLOW_TRACKING_URI, and in
MLFLOW_TRACKING_TOKEN a token that is good for this proxy alone. The proxy has no
control socket for cache status. Certificates that MLFLOW_TRACKING_SERVER_CERT_PATH
and MLFLOW_TRACKING_CLIENT_CERT_PATH name are for the proxy, unless its flags name
others.

The tracking server is MLFLOW_TRACKING_URI, or --upstream. Its host must be covered
by MLFLOW_SECRETS_ALLOWED_HOSTS, which must be set. Plain http to another machine
needs --insecure-plain-http-upstream.

The program's environment is ours, without what opens the store (VAULT_TOKEN,
VAULT_ROLE_ID, VAULT_SECRET_ID, AZURE_CLIENT_SECRET and the like) and without other
MLFLOW_TRACKING_* credentials. AWS's keys stay, for S3, unless they open the store:
where the credential is read from AWS Secrets Manager they go too. --keep-env keeps
all logins. A program of the same user can still read what that user can: files
such as ~/.vault-token and ~/.aws/credentials, and the metadata service.

Signals go to the program, and its exit code is exec's: 128 and the signal's number
if a signal ended it. Codes of exec's own: 125 if it failed before running the
program, 126 if the program cannot be run, 127 if it was not found.`,
		Example: `  mlflow-secrets-auth exec -- python train.py
  mlflow-secrets-auth exec --proxy -- python train.py --epochs 100
  mlflow-secrets-auth exec --upstream https://mlflow.company.com -- mlflow experiments search`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return misused(cmd, fmt.Errorf("exec has no command to run: use the form mlflow-secrets-auth exec -- python train.py"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, command []string) error {
			code, err := x.run(cmd.Context(), command)
			if errors.Is(err, context.Canceled) {
				err = errors.New("stopped by a signal before the program was started")
			}
			if err != nil {
				_ = failure(cmd, err)
			}
			if code != good {
				return exit(code)
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(misused)
	cmd.Flags().SetInterspersed(false) // what follows the command's name is the command's
	cmd.Flags().BoolVar(&x.proxy, "proxy", false, "give the program a proxy in place of the credential")
	cmd.Flags().StringVar(&x.upstream, "upstream", "", "the tracking server's `URL`, in place of MLFLOW_TRACKING_URI")
	cmd.Flags().BoolVar(&x.keepEnv, "keep-env", false, "leave the stores' logins in the program's environment")
	x.tls.flags(cmd, "with --proxy: ")
	plainHTTPFlag(cmd, &x.plainHTTP)
	return cmd
}

// misused is exit code 125 for what other commands exit with 2 for: that may be the
// program's own code.
func misused(cmd *cobra.Command, err error) error {
	cmd.PrintErrf("mlflow-secrets-auth: %v\nSee `mlflow-secrets-auth exec --help`.\n", err)
	return exit(child.Failed)
}

// run is all of exec. Where there is no error the code is the program's.
func (x *execution) run(ctx context.Context, command []string) (code int, err error) {
	d, err := newDisclosure(ctx, x.plainHTTP)
	if err != nil {
		return child.Failed, err
	}
	server, err := x.server(d)
	if err != nil {
		return child.Failed, err
	}
	again, err := x.elsewhere(d, server)
	if err != nil {
		return child.Failed, err
	}
	if x.proxy {
		return x.behindProxy(ctx, d, server, again, command)
	}
	if d.name != "Authorization" {
		return child.Failed, refusal("MLFLOW_AUTH_HEADER_NAME is "+d.name+", and MLflow's variables are for the header Authorization alone",
			"use --proxy, which sends any header")
	}
	sent, err := d.headers(ctx, server)
	if err != nil {
		return child.Failed, err
	}
	var authorization string
	var also []string
	for _, h := range sent {
		switch h.name {
		case "Authorization":
			authorization = h.value
		case headers.Workspace: // which MLflow's clients send by themselves
			also = append(also, "MLFLOW_WORKSPACE="+h.value)
		default:
			return child.Failed, refusal("the secret has other headers than Authorization, and MLflow's variables are for that one alone",
				"use exec --proxy, which sends all of them")
		}
	}
	if strings.HasPrefix(authorization, "Bearer ") && credentialsFile() {
		d.config.Logger.Warn("The program gets a token, but MLflow's Python client prefers the username and password of ~/.mlflow/credentials: move that file away, or use --proxy")
	}
	return x.start(ctx, d, child.Environment{TrackingURI: server.String(), Authorization: authorization, Also: also}, command)
}

// server is the tracking server.
func (x *execution) server(d *disclosure) (*url.URL, error) {
	if x.upstream != "" {
		return d.recipient("--upstream", x.upstream)
	}
	address := env.Get("MLFLOW_TRACKING_URI")
	if address == "" {
		return nil, refusal("MLFLOW_TRACKING_URI is not set, and there is no --upstream", "export MLFLOW_TRACKING_URI=https://mlflow.company.com")
	}
	return d.recipient("MLFLOW_TRACKING_URI", address)
}

// elsewhere looks at the variables by which MLflow's clients know further servers:
// they send the same credential there. It returns those that name the tracking
// server again.
func (x *execution) elsewhere(d *disclosure, server *url.URL) (again []string, err error) {
	for _, name := range []string{"MLFLOW_REGISTRY_URI", "MLFLOW_DEPLOYMENTS_TARGET"} {
		address := env.Get(name)
		if scheme, _, _ := strings.Cut(strings.ToLower(address), "://"); scheme != "http" && scheme != "https" {
			continue // nothing that takes MLflow's credential
		}
		u, err := d.recipient(name, address)
		switch {
		case err != nil:
			return nil, err
		case u.String() == server.String():
			again = append(again, name)
		case x.proxy:
			return nil, refusal(name+" is another server than the tracking server, and the proxy leads to that one alone",
				"unset "+name+", or leave out --proxy")
		}
	}
	return again, nil
}

// start runs the program.
func (x *execution) start(ctx context.Context, d *disclosure, e child.Environment, command []string) (int, error) {
	e.Stores = strings.Split(d.store.Name(), ",")
	e.KeepLogins = x.keepEnv
	environ, withheld, err := e.Of(os.Environ())
	if err != nil {
		return child.Failed, err
	}
	if len(withheld) > 0 {
		d.config.Logger.Info("Withheld from the program: " + strings.Join(withheld, ", ") + "; with --keep-env it gets the stores' logins")
	}
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec // to run what it is told to is its purpose
	cmd.Env = environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	code, err := child.Run(ctx, cmd)
	if err != nil && code != child.Failed {
		err = &secretsauth.Error{Kind: secretsauth.ErrConfig, Summary: "cannot run the program", Cause: err, Fix: "check its name, PATH and its permissions"}
	}
	return code, err
}

// behindProxy runs the program with a proxy of its own.
func (x *execution) behindProxy(ctx context.Context, d *disclosure, server *url.URL, again, command []string) (int, error) {
	if _, err := d.headers(ctx, server); err != nil {
		return child.Failed, err // now, and not at the program's first request
	}
	if x.tls.ca == "" {
		x.tls.ca = env.Get("MLFLOW_TRACKING_SERVER_CERT_PATH")
	}
	if x.tls.cert == "" && x.tls.key == "" { // MLflow has certificate and key in one file
		x.tls.cert = env.Get("MLFLOW_TRACKING_CLIENT_CERT_PATH")
		x.tls.key = x.tls.cert
	}
	if (x.tls.cert == "") != (x.tls.key == "") {
		return child.Failed, refusal("--client-cert and --client-key go together", "give both, also where both are one file")
	}
	base, err := x.tls.transport()
	if err != nil {
		return child.Failed, err
	}
	token := rand.Text()
	p, err := proxy.New(ctx, d.store, d.config, proxy.Config{
		Upstream: server, Listen: "127.0.0.1:0", ClientToken: token, Base: base, Logger: d.config.Logger,
		InsecurePlainHTTPUpstream: x.plainHTTP, ShutdownTimeout: afterProgram,
	})
	if err != nil {
		return child.Failed, err
	}
	// Signals are the program's; the proxy is there until it has ended.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := p.Serve(life); err != nil {
			d.config.Logger.Error("The proxy has ended with an error", "error", err.Error())
		}
	}()
	defer func() {
		end()
		<-ended
	}()
	e := child.Environment{TrackingURI: p.URL(), Authorization: "Bearer " + token, Direct: "127.0.0.1"}
	for _, name := range again {
		e.Also = append(e.Also, name+"="+p.URL())
	}
	if credentialsFile() {
		// The proxy takes the token as a password too, whatever the username.
		e.Also = append(e.Also, "MLFLOW_TRACKING_USERNAME=mlflow-secrets-auth", "MLFLOW_TRACKING_PASSWORD="+token)
	}
	return x.start(ctx, d, e, command)
}

// afterProgram is how long the proxy waits for requests that the program has left
// behind, in processes of its own.
const afterProgram = 5 * time.Second

// credentialsFile reports whether MLflow's Python client has a file with a username
// and password. It takes them before a token, and after those of the environment.
func credentialsFile() bool {
	home, err := os.UserHomeDir()
	if err == nil {
		_, err = os.Stat(filepath.Join(home, ".mlflow", "credentials"))
	}
	return err == nil
}
