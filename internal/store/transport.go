package store

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// NewTransport is the transport of clients that have no other. It is not
// [http.DefaultTransport], which may lead through a Transport of this library that
// waits for this very secret.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 10 * time.Second,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second}, // a dead connection is noticed
	}
}

// Standard is a copy of net/http's default transport, or [NewTransport] where a
// program has replaced that by something else.
func Standard() *http.Transport {
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		return t.Clone()
	}
	return NewTransport()
}

// way is the connection that is being made for one request. A request that is sent
// once more has another; they are made one after the other.
type way struct {
	mu   sync.Mutex
	conn *held
	tls  *tls.ConnectionState // of a connection that net/http does not know to be TLS
}

type wayKey struct{}

// leads notes the connection of the request that ctx belongs to.
func leads(ctx context.Context, conn *held, state *tls.ConnectionState) {
	if w, ok := ctx.Value(wayKey{}).(*way); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.conn, w.tls = conn, state
	}
}

func (w *way) security() *tls.ConnectionState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tls
}

// trace tells the connection of TLS handshakes that net/http makes on it, with the
// server or, behind a proxy, first with that.
func (w *way) trace() *httptrace.ClientTrace {
	tell := func(event func(*held)) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.conn != nil {
			event(w.conn)
		}
	}
	return &httptrace.ClientTrace{
		TLSHandshakeStart: func() { tell((*held).begin) },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { tell((*held).hold) },
	}
}

// holding is a copy of base that makes a connection for every request, and holds back
// its reads.
func holding(base *http.Transport) *http.Transport {
	own := base.Clone()
	own.DisableKeepAlives = true
	// A transport with a dialer of its own speaks HTTP/2 only if it is told to.
	own.ForceAttemptHTTP2 = own.ForceAttemptHTTP2 || base.TLSNextProto["h2"] != nil

	dial := dialerOf(base)
	own.Dial = nil //nolint:staticcheck // DialContext takes its place
	own.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil || conn == nil {
			return conn, err
		}
		h := hold(conn)
		leads(ctx, h, nil)
		return h, nil
	}
	if secure := tlsDialerOf(base); secure != nil {
		own.DialTLS = nil //nolint:staticcheck // as above
		own.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := secure(ctx, network, address)
			if err != nil || conn == nil {
				return conn, err
			}
			return secured(ctx, own, conn, 0)
		}
	}
	return own
}

// behindTLS is a copy of own for requests that go through a proxy which speaks TLS
// itself. The TLS of the server is within that of the proxy, so reads must be held
// back between the two.
func behindTLS(own *http.Transport) *http.Transport {
	if own.DialTLSContext != nil {
		return own // which does so already
	}
	t := own.Clone()
	t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := t.DialContext(ctx, network, address)
		if err != nil || conn == nil {
			return conn, err
		}
		return secured(ctx, t, tls.Client(conn, securityFor(t, address)), t.TLSHandshakeTimeout)
	}
	return t
}

// securityFor is what net/http makes of a transport's configuration.
func securityFor(t *http.Transport, address string) *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.TLSClientConfig != nil {
		cfg = t.TLSClientConfig.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(address)
	}
	return cfg
}

// shakeHands tells traces of the handshake, as net/http does.
func shakeHands(ctx context.Context, conn *tls.Conn, limit time.Duration) error {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	err := conn.HandshakeContext(ctx)
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(conn.ConnectionState(), err)
	}
	return err
}

// secured holds back reads above TLS that net/http does not speak itself. limit bounds
// the handshake, if it is set. A connection that speaks another protocol than HTTP/1 is
// left alone: net/http must see that it is TLS, and does not print what comes unasked
// over HTTP/2.
func secured(ctx context.Context, t *http.Transport, conn net.Conn, limit time.Duration) (net.Conn, error) {
	var state *tls.ConnectionState
	if over, ok := conn.(*tls.Conn); ok {
		if err := shakeHands(ctx, over, limit); err != nil {
			_ = conn.Close()
			return nil, err
		}
		known := over.ConnectionState()
		if t.TLSNextProto[known.NegotiatedProtocol] != nil {
			return conn, nil
		}
		state = &known
	}
	h := hold(conn)
	leads(ctx, h, state)
	return h, nil
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

func dialerOf(t *http.Transport) dialer {
	switch {
	case t.DialContext != nil:
		return t.DialContext
	case t.Dial != nil: //nolint:staticcheck // programs still set it
		return func(_ context.Context, network, address string) (net.Conn, error) {
			return t.Dial(network, address) //nolint:staticcheck // as above
		}
	}
	return new(net.Dialer).DialContext
}

func tlsDialerOf(t *http.Transport) dialer {
	switch {
	case t.DialTLSContext != nil:
		return t.DialTLSContext
	case t.DialTLS != nil: //nolint:staticcheck // as above
		return func(_ context.Context, network, address string) (net.Conn, error) {
			return t.DialTLS(network, address) //nolint:staticcheck // as above
		}
	}
	return nil
}
