package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/doctor"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// proxyFlags are what a proxy can be told.
type proxyFlags struct {
	proxy.Config
	upstream     string
	upstreamTLS  upstreamTLS
	tokenFromEnv bool
}

func newProxy() *cobra.Command {
	var f proxyFlags
	cmd := &cobra.Command{
		Use:   "proxy --upstream URL",
		Short: "Run a reverse proxy that gives clients of any language the credential",
		Long: `proxy listens on loopback and passes requests on to one tracking server, with the
credential from the store. Clients need no change but MLFLOW_TRACKING_URI, keep
working when the secret is rotated, and never hold it. What they must set is
printed on stdout; the log goes to stderr.

Clients send a token of the proxy's own: MLFLOW_TRACKING_TOKEN of its environment
or, without that, one made for this run. A browser comes in by the printed link,
once. On a Unix socket the user who connects is checked instead.

A body of up to 1 MiB is sent once more after a 401, if the store holds another
secret by then. A longer one is announced to the server first ("Expect:
100-continue"), so that a 401 can come before it is sent; what has been sent
beyond that cannot be sent again, and the client gets the 401.

SIGTERM and SIGINT let requests under way finish, for --shutdown-timeout at most;
a second one breaks them off.`,
		Example: `  mlflow-secrets-auth proxy --upstream https://mlflow.company.com
  mlflow-secrets-auth proxy --upstream https://mlflow.company.com --unix ~/.mlflow/proxy.sock
  mlflow-secrets-auth proxy --upstream https://mlflow.company.com --admin 127.0.0.1:9090
  mlflow-secrets-auth cache status

  # systemd, with the store's variables and MLFLOW_TRACKING_TOKEN in one file of mode 600:
  [Service]
  EnvironmentFile=/etc/mlflow-secrets-auth.env
  ExecStart=/usr/local/bin/mlflow-secrets-auth proxy --upstream https://mlflow.company.com
  User=mlflow
  RuntimeDirectory=mlflow-secrets-auth
  RuntimeDirectoryMode=0700
  Environment=XDG_RUNTIME_DIR=/run/mlflow-secrets-auth
  TimeoutStopSec=90
  Restart=on-failure

  # Kubernetes: a sidecar, which a pod's own containers reach by 127.0.0.1
  initContainers:
  - name: mlflow-proxy
    image: registry.company.com/mlflow-secrets-auth
    restartPolicy: Always
    args: [proxy, --upstream, "https://mlflow.company.com"]
    envFrom: [{secretRef: {name: mlflow-proxy}}]
    startupProbe: {exec: {command: [mlflow-secrets-auth, cache, status]}}`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.flags(cmd)
	return cmd
}

func (f *proxyFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.upstream, "upstream", "", "tracking server, the only one that is reached (`URL`, required)")
	flags.StringVar(&f.Listen, "listen", proxy.DefaultListen, "`address` to listen on; port 0 lets the system choose")
	flags.StringVar(&f.Unix, "unix", "", "`path` of a Unix socket to listen on instead")
	flags.StringSliceVar(&f.Names, "host-name", nil, "further `names` that clients may reach the proxy by")
	flags.StringVar(&f.Admin, "admin", "", "loopback `address` of /healthz, /readyz and /metrics")
	flags.StringVar(&f.Control, "control", proxy.AutoControl, "`path` of the socket that cache status asks; empty for none")
	f.upstreamTLS.flags(cmd, "")
	flags.BoolVar(&f.PassCookies, "pass-cookies", false, "pass the upstream's cookies on, both ways")
	flags.BoolVar(&f.NoClientToken, "no-client-token", false, "let every process of this machine use the credential")
	plainHTTPFlag(cmd, &f.InsecurePlainHTTPUpstream)
	flags.BoolVar(&f.DangerListenOnNetwork, "danger-listen-on-network", false, "let other machines connect, over plain http, and use the credential")
	flags.DurationVar(&f.ShutdownTimeout, "shutdown-timeout", time.Minute, "how long requests under way, open event streams too, may take to finish at the end")
	cmd.MarkFlagsMutuallyExclusive("listen", "unix")
	cmd.MarkFlagsRequiredTogether("client-cert", "client-key")
	_ = cmd.MarkFlagRequired("upstream")
}

func (f *proxyFlags) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	provider, library, err := f.configure(ctx)
	if err != nil {
		return failure(cmd, err)
	}
	p, err := proxy.New(ctx, provider, library, f.Config)
	if err != nil {
		return failure(cmd, err)
	}
	f.tell(cmd.OutOrStdout(), p)

	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		f.Logger.Info(fmt.Sprintf("Ending: requests under way have %v; interrupt once more to break them off", f.ShutdownTimeout))
		again, stop := Ending(context.WithoutCancel(ctx))
		defer stop()
		select {
		case err = <-served:
		case <-again.Done():
			_ = p.Close()
			err = errors.Join(<-served, errors.New("requests that were under way were broken off"))
		}
	}
	if err != nil {
		return failure(cmd, err)
	}
	return nil
}

// configure reads the environment and the files that the flags name.
func (f *proxyFlags) configure(ctx context.Context) (provider secretsauth.Provider, library secretsauth.Config, err error) {
	upstream, why := doctor.ParseServer(f.upstream)
	if why != nil {
		return nil, library, refusal("--upstream: "+why.Cause, why.Fix)
	}
	f.Upstream, f.Logger = upstream, env.Logger()
	if f.Base, err = f.upstreamTLS.transport(); err != nil {
		return nil, library, err
	}
	if f.ClientToken = env.Get("MLFLOW_TRACKING_TOKEN"); f.NoClientToken {
		f.ClientToken = ""
	} else if f.ClientToken != "" {
		f.tokenFromEnv = true
	} else if f.Unix == "" {
		f.ClientToken = rand.Text()
	}
	if provider, err = providers.FromEnv(ctx); err != nil {
		return nil, library, err
	}
	library, err = secretsauth.ConfigFromEnv()
	return provider, library, err
}

// tell prints what a client must set. A token of the environment is not repeated:
// stdout of a service is a journal.
func (f *proxyFlags) tell(to io.Writer, p *proxy.Proxy) {
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(to, format+"\n", args...) }
	if f.Unix != "" {
		line("# curl --unix-socket %s %s/version", f.Unix, p.URL())
	} else {
		line("export MLFLOW_TRACKING_URI=%s", p.URL())
	}
	switch {
	case f.tokenFromEnv:
		line("# MLFLOW_TRACKING_TOKEN is the one of the proxy's own environment.")
	case f.ClientToken != "":
		line("export MLFLOW_TRACKING_TOKEN=%s", f.ClientToken)
	}
	if f.ClientToken != "" {
		line("unset MLFLOW_TRACKING_USERNAME MLFLOW_TRACKING_PASSWORD") // clients prefer them to a token
	}
	switch link := p.LoginURL(); {
	case link == "" || f.tokenFromEnv && !isTerminal(to):
	case f.NoClientToken:
		line("# In a browser: %s", link)
	default:
		line("# In a browser, once: %s", link)
	}
	if url := p.AdminURL(); url != "" {
		line("# Health and metrics: %[1]s/healthz %[1]s/readyz %[1]s/metrics", url)
	}
}
