package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/loopback"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
)

// What is found on the way to a server, one stretch after the other.

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

// arrival is the three phases of a trip as one finding.
func (t *trip) arrival() inspect.Finding {
	t.mu.Lock()
	defer t.mu.Unlock()
	var summaries []string
	warned := inspect.Finding{Status: inspect.Pass}
	for _, phase := range t.phases() {
		f := phase.find()
		switch f.Status {
		case inspect.Fail:
			return f
		case inspect.Warn:
			warned = f
		case inspect.Pass, inspect.Skip:
		}
		summaries = append(summaries, f.Summary)
	}
	warned.Summary = strings.Join(summaries, "; ")
	return warned
}
