package proxy

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

// Config says what a [Proxy] does. The zero value of every field but Upstream and
// ClientToken is a safe default.
type Config struct {
	// Upstream is the tracking server: scheme, host, port and base path. It is
	// pinned: nothing that a client sends changes where its request goes.
	Upstream *url.URL

	// Listen is where clients connect. Default "127.0.0.1:5001"; port 0 lets the
	// system choose.
	Listen string
	// Unix is a socket's path, in place of Listen.
	Unix string
	// Names are further names that clients may reach the proxy by, without a port.
	Names []string

	// ClientToken is what clients must send, as a Bearer token or as the password
	// of Basic. Required on TCP, unless NoClientToken says otherwise; on a Unix
	// socket the peer's user is checked in any case.
	ClientToken   string
	NoClientToken bool

	// Base sends the requests. Default: [DefaultBase].
	Base *http.Transport
	// Logger gets what happens, never a secret. Default: nothing is logged.
	Logger *slog.Logger

	// Admin is an address of the loopback interface for /healthz, /readyz and
	// /metrics. Default: none.
	Admin string
	// Control is the path of the socket that [Status] and [Clear] ask, or
	// [AutoControl]. Default: none.
	Control string

	// PassCookies passes the upstream's cookies on, both ways. A browser sends
	// cookies to every port of a host, so to every other server of this machine.
	PassCookies bool

	// DangerListenOnNetwork allows Listen to be an address that other machines
	// reach: whoever has the token then acts with the credential.
	DangerListenOnNetwork bool
	// InsecurePlainHTTPUpstream allows an http upstream other than loopback: the
	// credential can then be read on its way.
	InsecurePlainHTTPUpstream bool

	ShutdownTimeout time.Duration // for requests under way; default 1 min
	HeaderTimeout   time.Duration // for a request's head; default 10 s
	IdleTimeout     time.Duration // between requests of a connection; default 2 min
	DrainTimeout    time.Duration // for what a client still sends after its answer; default 5 s
}

// DefaultListen is where a proxy listens if nothing else is said.
const DefaultListen = "127.0.0.1:5001"

const (
	defaultShutdown = time.Minute
	defaultHeader   = 10 * time.Second
	defaultIdle     = 2 * time.Minute
	defaultDrain    = 5 * time.Second
	expectTimeout   = time.Second // as net/http's default transport has it
)

// DefaultBase is net/http's default transport, proxy variables and HTTP/2
// included, for one busy host and without decompression, which is the client's.
func DefaultBase() *http.Transport {
	t := store.Standard()
	t.DisableCompression = true
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 256
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 30 * time.Second} // finds dead connections
	t.ReadBufferSize, t.WriteBufferSize = 32<<10, 32<<10
	return t
}

// complete is c with its defaults, or why c cannot be used.
func (c Config) complete() (Config, error) {
	for field, standard := range map[*time.Duration]time.Duration{
		&c.ShutdownTimeout: defaultShutdown, &c.HeaderTimeout: defaultHeader,
		&c.IdleTimeout: defaultIdle, &c.DrainTimeout: defaultDrain,
	} {
		if *field <= 0 {
			*field = standard
		}
	}
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Base == nil {
		c.Base = DefaultBase()
	} else {
		c.Base = c.Base.Clone()
		c.Base.DisableCompression = true
	}
	if c.Base.ExpectContinueTimeout <= 0 {
		c.Base.ExpectContinueTimeout = expectTimeout // zero would send the body at once
	}
	if c.Base.TLSClientConfig == nil {
		c.Base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return c, c.checkToken()
}

func (c Config) checkToken() error {
	switch {
	case c.NoClientToken && c.ClientToken != "":
		return config("a client token and none are asked for at once", "leave out one of --no-client-token and MLFLOW_TRACKING_TOKEN")
	case c.NoClientToken && c.DangerListenOnNetwork:
		return config("a proxy for the network must ask its clients for a token", "leave out --no-client-token")
	case c.Unix == "" && c.ClientToken == "" && !c.NoClientToken:
		return config("there is no token for clients to send", "set Config.ClientToken, or Config.NoClientToken if every process of this machine may use the credential")
	}
	return nil
}

// pin is the library's configuration for this upstream alone.
func pin(library secretsauth.Config, to upstream, base *http.Transport, log *slog.Logger) (secretsauth.Config, error) {
	configured := library.AllowedHosts
	if len(configured) > 0 && (len(configured) != 1 || configured[0] != "*") {
		m, err := secretsauth.CompileHosts(configured)
		if err != nil {
			return library, err
		}
		if d := m.Explain(to.url); !d.Allowed {
			return library, config(fmt.Sprintf("the allow-list does not cover the upstream %s: %s", to.origin(), d.Reason),
				"add it to MLFLOW_SECRETS_ALLOWED_HOSTS (Config.AllowedHosts) if it is the tracking server")
		}
	}
	library.AllowedHosts = []string{to.pattern()}
	library.KeepCallerHeader = false // clients have no say in it
	library.Base = base
	if library.Logger == nil {
		library.Logger = log
	}
	return library, nil
}

// config is an error of the configuration.
func config(summary, fix string) error {
	return &secretsauth.Error{Kind: secretsauth.ErrConfig, Summary: summary, Fix: fix}
}
