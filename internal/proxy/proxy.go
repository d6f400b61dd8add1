// Package proxy is a reverse proxy that puts the credential on what passes, so that
// MLflow clients of every language have it without a line of code.
//
// It knows one upstream. What requests carry, when the store is read and what
// happens after a 401 is the library's to decide: its transport is a
// [secretsauth.Transport]. Around it are a guard against other users of the machine
// and pages in the user's browser, and what streaming takes: a body's beginning is
// kept so that it can be sent again, the rest of it is not.
package proxy

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// Proxy passes requests on to its upstream, with the credential. Make one with
// [New].
type Proxy struct {
	cfg       Config
	log       *slog.Logger
	upstream  upstream
	transport *secretsauth.Transport
	guard     guard
	clients   *clients
	metrics   *metrics
	forward   *httputil.ReverseProxy

	main, admin, control *server
	ending               atomic.Bool // it serves no new clients
	cleared              clearing
}

// New returns a proxy that listens already: clients that connect now wait for
// [Proxy.Serve]. library.AllowedHosts is narrowed to the upstream, which it must
// cover if it is set. An error of the configuration wraps [secretsauth.ErrConfig].
func New(ctx context.Context, provider secretsauth.Provider, library secretsauth.Config, cfg Config) (*Proxy, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	p := &Proxy{cfg: cfg, log: cfg.Logger}
	if p.upstream, err = newUpstream(cfg.Upstream, cfg.InsecurePlainHTTPUpstream); err != nil {
		return nil, err
	}
	if library, err = pin(library, p.upstream, cfg.Base, cfg.Logger); err != nil {
		return nil, err
	}
	if p.transport, err = secretsauth.NewTransport(provider, library); err != nil {
		return nil, err
	}
	p.metrics = newMetrics(p.transport, provider.Name())
	p.forward = &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      p.transport,
		ModifyResponse: p.modify,
		ErrorHandler:   p.fail,
		FlushInterval:  flushInterval,
		BufferPool:     new(buffers),
		ErrorLog:       log.New(io.Discard, "", 0), // it may quote what was received (S120)
	}
	if err := p.listen(ctx); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// URL is the proxy's address, for MLFLOW_TRACKING_URI. Behind a Unix socket the
// host has no meaning.
func (p *Proxy) URL() string {
	if p.cfg.Unix != "" {
		return "http://localhost"
	}
	host, port, _ := net.SplitHostPort(p.main.address())
	if ip := net.ParseIP(host); ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// LoginURL is a new link that lets one browser in, once; "" behind a Unix socket.
func (p *Proxy) LoginURL() string {
	switch {
	case p.cfg.Unix != "":
		return ""
	case p.clients.open:
		return p.URL() + "/"
	}
	return p.URL() + p.clients.link()
}

// AdminURL is the address of /healthz, /readyz and /metrics, or "".
func (p *Proxy) AdminURL() string {
	if p.admin == nil {
		return ""
	}
	return "http://" + p.admin.address()
}

// ControlPath is the path of the control socket, or "".
func (p *Proxy) ControlPath() string {
	if p.control == nil {
		return ""
	}
	return p.control.address()
}

// Warm reads the credential now, unless it is cached.
func (p *Proxy) Warm(ctx context.Context) error { return p.transport.Warm(ctx) }

// ServeHTTP answers one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	x := &exchange{host: r.Host}
	p.metrics.inFlight.Inc()
	defer func() {
		p.metrics.inFlight.Dec()
		p.metrics.done(r.Method, x.status, time.Since(begun))
		p.log.DebugContext(r.Context(), "Request answered", "method", r.Method, "status", x.status, "duration", time.Since(begun))
	}()
	p.serve(&recorder{w, x, p.scrub}, r.WithContext(withExchange(r.Context(), x)))
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	why := p.guard.check(r)
	if why == nil && r.URL.Path == loginPath {
		if why = p.clients.login(w, r); why == nil {
			return
		}
	}
	if why == nil && !p.clients.know(r) {
		// Without WWW-Authenticate, which makes a browser ask for a password.
		why = &refusal{http.StatusUnauthorized, "token", "the proxy's client token is missing or wrong",
			"set MLFLOW_TRACKING_TOKEN to the one that the proxy has printed at its start, and unset MLFLOW_TRACKING_USERNAME; in a browser, open the link"}
	}
	if why != nil {
		p.refuse(w, r, why)
		return
	}
	// HTTP/1: an early answer goes out at once, while the body still comes in.
	_ = http.NewResponseController(w).EnableFullDuplex()
	out, body := keep(r)
	exchangeOf(r.Context()).body = body
	defer body.end() // also when the answer is broken off by a panic
	p.forward.ServeHTTP(w, webSocketOnly(out))
	body.drain(w, p.cfg.DrainTimeout)
}

// webSocketOnly ignores a request to switch to anything else (RFC 9110, section
// 7.8): through h2c further requests would pass by the guard.
func webSocketOnly(r *http.Request) *http.Request {
	if upgrade := r.Header.Get("Upgrade"); upgrade == "" || strings.EqualFold(upgrade, "websocket") {
		return r
	}
	plain := *r
	plain.Header = r.Header.Clone()
	plain.Header.Del("Upgrade")
	return &plain
}

// buffers are for copying, in the size of a TLS record or more.
type buffers struct{ pool sync.Pool }

const bufferSize = 64 << 10

// flushInterval is how long a slow answer of known length is held back; one of
// unknown length is not.
const flushInterval = 100 * time.Millisecond

func (b *buffers) Get() []byte {
	if kept, ok := b.pool.Get().(*[]byte); ok {
		return *kept
	}
	return make([]byte, bufferSize)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
