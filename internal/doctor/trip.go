package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

// trip is one request without a credential, taken apart: where the name leads,
// whether somebody is there, and whether their certificate is good. It goes the
// way of the store's own requests, with their TLS and proxy settings, on a
// connection of its own.
type trip struct {
	mu sync.Mutex

	to    *url.URL
	proxy *url.URL
	what  names

	resolved          []net.IPAddr
	dnsErr            error
	dnsDone, dialDone bool
	dialErr           error
	dialled           string // address of the connection
	proxyStatus       int    // of CONNECT
	state             *tls.ConnectionState
	tlsBegun          bool
	unverified        bool
	err               error
	tlsBehindHTTP     bool // the port of an http URL speaks TLS
	late              bool // time was over; the errors then say that in several ways, or "canceled"

	dns, dial, handshake time.Duration
}

// names are how the messages call what is reached, and the variables to look at.
type names struct {
	party   string // "Vault", "the MLflow server"
	address string // the variable or argument that holds the address
	proxy   string // the variable of a proxy of its own, or ""
	trust   string // how to trust an authority
}

// travel makes the trip. It is over when the server has said something, or nothing
// for as long as ctx lasts.
func travel(ctx context.Context, to *url.URL, transport *http.Transport, what names) *trip {
	t := &trip{to: to, what: what}
	own := transport.Clone()
	own.ResponseHeaderTimeout = 2 * time.Second // the connection is what counts here
	own.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		t.set(func() { t.proxyStatus = resp.StatusCode })
		return nil
	}
	if c := own.TLSClientConfig; c != nil {
		t.unverified = c.InsecureSkipVerify
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, t.trace()), http.MethodGet, to.String(), nil)
	if err != nil {
		t.err = err
		return t
	}
	if own.Proxy != nil {
		t.proxy, _ = own.Proxy(req)
	}
	resp, err := store.NewSingle(own).RoundTrip(req)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err, t.late = err, ctx.Err() != nil
	if err != nil {
		t.tlsBehindHTTP = to.Scheme == "http" && strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`)
		return t
	}
	defer func() { _ = resp.Body.Close() }()
	if to.Scheme == "http" && resp.StatusCode == http.StatusBadRequest {
		head, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		t.tlsBehindHTTP = bytes.Contains(head, []byte("HTTP request to an HTTPS server")) || bytes.Contains(head, []byte("plain HTTP request was sent to HTTPS port"))
	}
	return t
}

func (t *trip) set(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

func (t *trip) trace() *httptrace.ClientTrace {
	var dns, dial, handshake time.Time
	return &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { t.set(func() { dns = time.Now() }) },
		DNSDone: func(i httptrace.DNSDoneInfo) {
			t.set(func() { t.resolved, t.dnsErr, t.dnsDone, t.dns = i.Addrs, i.Err, true, time.Since(dns) })
		},
		ConnectStart: func(_, _ string) {
			t.set(func() {
				if dial.IsZero() {
					dial = time.Now()
				}
			})
		},
		ConnectDone: func(_, address string, err error) {
			t.set(func() {
				if t.dialled != "" {
					return // a slower one of several addresses
				}
				if t.dialErr, t.dialDone = err, true; err == nil {
					t.dialled, t.dial = address, time.Since(dial)
				}
			})
		},
		// A proxy that speaks TLS has a handshake of its own, before the server's.
		TLSHandshakeStart: func() { t.set(func() { handshake, t.tlsBegun, t.state = time.Now(), true, nil }) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			t.set(func() {
				if err == nil {
					t.state = &state
				}
				t.handshake = time.Since(handshake)
			})
		},
	}
}

// nextHop is who is dialled: the proxy or the host itself, and the way to it.
func (t *trip) nextHop() (host, via string) {
	if t.proxy == nil {
		return t.to.Hostname(), ""
	}
	name := "a proxy"
	if from := proxyVariable(t.what.proxy, t.to.Scheme); from != "" {
		name = "the proxy of " + from
	}
	return t.proxy.Hostname(), name
}

// proxyVariable is where the proxy comes from: a variable of the party's own, or
// those of net/http.
func proxyVariable(own, scheme string) string {
	upper := strings.ToUpper(scheme) + "_PROXY"
	for _, name := range []string{own, upper, strings.ToLower(upper)} {
		if name != "" && os.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	case u.Scheme == "http":
		return "80"
	}
	return "1080" // SOCKS
}

// way are the checks of a trip to a store.
var way = []string{"store.dns", "store.tcp", "store.tls"}

// travel makes them. Each has the time of its own phase.
func (v *visit) travel(to *url.URL, transport *http.Transport, what names) {
	if v.blocked != "" {
		for _, id := range way {
			v.check(id, nil)
		}
		return
	}
	ctx, cancel := v.share()
	defer cancel()
	t := travel(ctx, to, transport, what)
	t.mu.Lock() // a dial that lost the race may still report
	defer t.mu.Unlock()
	for i, phase := range t.phases() {
		if v.blocked != "" {
			v.check(way[i], nil)
			continue
		}
		if v.timed(way[i], phase.find(), phase.took).Status == inspect.Fail {
			v.block(way[i])
		}
	}
}

type phase struct {
	find func() inspect.Finding
	took time.Duration
}

// phases are in the order of way.
func (t *trip) phases() []phase {
	return []phase{{t.lookup, t.dns}, {t.connection, t.dial}, {t.security, t.handshake}}
}
