package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/loopback"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
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
	own.DisableKeepAlives = true
	own.ResponseHeaderTimeout = 2 * time.Second // the connection is what counts here
	own.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		t.set(func() { t.proxyStatus = resp.StatusCode })
		return nil
	}
	defer own.CloseIdleConnections()
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
	resp, err := own.RoundTrip(req)
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

// lookup is how the name was resolved.
func (t *trip) lookup() inspect.Finding {
	host, via := t.nextHop()
	if net.ParseIP(host) != nil {
		return inspect.Passed(fmt.Sprintf("%s is an address", host))
	}
	if via != "" {
		via = " (" + via + ", which resolves " + t.to.Hostname() + " itself)"
	}
	fix := "check " + t.what.address + " and DNS: `nslookup " + host + "`"
	dns, isDNS := errors.AsType[*net.DNSError](t.dnsErr)
	switch {
	case t.dnsErr == nil && len(t.resolved) > 0:
		addresses := make([]string, 0, 3)
		for _, a := range t.resolved[:min(3, len(t.resolved))] {
			addresses = append(addresses, a.String())
		}
		if more := len(t.resolved) - len(addresses); more > 0 {
			addresses = append(addresses, fmt.Sprintf("and %d more", more))
		}
		return inspect.Passed(fmt.Sprintf("%s is %s%s", host, strings.Join(addresses, ", "), via))
	case isDNS && dns.IsNotFound:
		return inspect.Broken(host+" does not resolve"+via, fmt.Sprintf("the resolver says: no such host (%s)", resolver(dns)), fix)
	case isDNS && dns.IsTimeout, !t.dnsDone, t.late:
		return inspect.Broken(host+" does not resolve"+via, "the resolver gave no answer in time", "check the machine's DNS server: `cat /etc/resolv.conf`")
	case isDNS:
		return inspect.Broken(host+" does not resolve"+via, fmt.Sprintf("the resolver says: %q (%s)", dns.Err, resolver(dns)), fix)
	}
	return inspect.Broken(host+" does not resolve"+via, netcause.Of(t.err).Error(), fix)
}

func resolver(err *net.DNSError) string {
	if err.Server == "" {
		return "the system's resolver"
	}
	return "resolver " + err.Server
}

// connection is how the connection was made.
func (t *trip) connection() inspect.Finding {
	host, via := t.nextHop()
	port := portOf(t.to)
	if t.proxy != nil {
		port = portOf(t.proxy)
	}
	where := net.JoinHostPort(host, port)
	if via != "" {
		where += ", " + via
	}
	fix := "check that " + t.what.party + " listens there, and " + t.what.address
	switch {
	case t.proxyStatus != 0 && t.proxyStatus != http.StatusOK:
		return inspect.Broken("cannot connect through "+where,
			fmt.Sprintf("the proxy refuses %s: %d %s", t.to.Host, t.proxyStatus, http.StatusText(t.proxyStatus)),
			"allow the host at the proxy, or add it to NO_PROXY: export NO_PROXY="+t.to.Hostname())
	case t.dialled != "":
		return inspect.Passed("connected to " + where)
	case errors.Is(t.dialErr, syscall.ECONNREFUSED):
		if t.proxy != nil {
			fix = "check the proxy, or add the host to NO_PROXY: export NO_PROXY=" + t.to.Hostname()
		}
		return inspect.Broken("cannot connect to "+where, "connection refused: nobody listens there, or a firewall refuses", fix)
	case errors.Is(t.dialErr, syscall.EHOSTUNREACH), errors.Is(t.dialErr, syscall.ENETUNREACH):
		return inspect.Broken("cannot connect to "+where, "unreachable: there is no route", "check VPN, routes and firewall")
	case !t.dialDone, t.late, timedOut(t.dialErr):
		return inspect.Broken("cannot connect to "+where, "timeout: no answer to the connection", "a firewall may drop it: check its rules for port "+port+", VPN and routes; is a proxy needed (HTTPS_PROXY)?")
	}
	return inspect.Broken("cannot connect to "+where, netcause.Of(t.dialErr).Error(), fix)
}

func timedOut(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded)
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

// soon is when a certificate's end is worth a warning.
const soon = 14 * 24 * time.Hour

// security is what can be said of the certificate.
func (t *trip) security() inspect.Finding {
	host := t.to.Hostname()
	if t.to.Scheme == "http" {
		if t.tlsBehindHTTP {
			return inspect.Broken(t.to.Host+" speaks TLS, but the URL begins with http://", "plain http on a TLS port", "export "+t.what.address+" with https://")
		}
		if loopback.Host(host) {
			return inspect.Skipped("plain http, on this machine")
		}
		return inspect.Warned("plain http: whoever is on the way can read what is sent", t.what.address+" begins with http://", "use https://")
	}
	verify, isVerify := errors.AsType[*tls.CertificateVerificationError](t.err)
	authority, unknown := errors.AsType[x509.UnknownAuthorityError](t.err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](t.err)
	_, wrongName := errors.AsType[x509.HostnameError](t.err)
	switch {
	case t.state != nil:
		return t.certificate()
	case wrongName:
		cause := "the certificate is for other names"
		if isVerify && len(verify.UnverifiedCertificates) > 0 {
			cause = fmt.Sprintf("the certificate is for %.200q, not for %s", namesOf(verify.UnverifiedCertificates[0]), host)
		}
		return inspect.Broken("the certificate has the wrong name", cause, "use the name of the certificate in "+t.what.address)
	case isInvalid && invalid.Reason == x509.Expired:
		return inspect.Broken("the certificate has expired, or is not valid yet",
			fmt.Sprintf("it is valid from %s to %s", day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter)), "renew it, and check this machine's clock")
	case unknown:
		cause := "its authority is not known to this machine"
		if authority.Cert != nil {
			cause = fmt.Sprintf("its authority, %.200q, is not known to this machine", authority.Cert.Issuer.String())
		}
		return inspect.Broken("the certificate is not trusted", cause, t.what.trust)
	case isVerify:
		return inspect.Broken("the certificate is not accepted", netcause.Of(verify.Err).Error(), t.what.trust)
	case errors.Is(t.err, http.ErrSchemeMismatch), isRecordHeader(t.err):
		return inspect.Broken(t.to.Host+" speaks plain http, but the URL begins with https://", "plain http on the port of an https URL", "export "+t.what.address+" with http://, or the port of https")
	case !t.tlsBegun:
		return inspect.Broken("no TLS", netcause.Of(t.err).Error(), "check "+t.what.address+" and proxies")
	case t.late, timedOut(t.err):
		return inspect.Broken("no TLS", "timeout: the connection stands, and no TLS answer comes", "check that "+t.what.party+" is well, and proxies and firewalls in between")
	}
	return inspect.Broken("no TLS", netcause.Of(t.err).Error(), "check that the port speaks TLS: `openssl s_client -connect "+net.JoinHostPort(host, portOf(t.to))+"`")
}

func isRecordHeader(err error) bool {
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok
}

func (t *trip) certificate() inspect.Finding {
	leaf := t.state.PeerCertificates[0]
	left := time.Until(leaf.NotAfter)
	summary := fmt.Sprintf("%s, certificate valid until %s", tls.VersionName(t.state.Version), day(leaf.NotAfter))
	switch {
	case t.unverified:
		return inspect.Warned("the certificate is not verified", "VAULT_SKIP_VERIFY is set: anybody on the way can read the token and the secret",
			"unset VAULT_SKIP_VERIFY, and set VAULT_CACERT to the certificate of its authority")
	case left < soon:
		return inspect.Warned(summary, fmt.Sprintf("the certificate ends in %s", inspect.Span(left)), "have it renewed")
	}
	return inspect.Passed(summary)
}

func namesOf(c *x509.Certificate) string {
	all := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return c.Subject.CommonName
	}
	return strings.Join(all, ", ")
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

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
