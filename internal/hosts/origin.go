package hosts

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// origin is a scheme, a host and a port in canonical form: two URLs lead to the
// same party exactly if their origins are equal (RFC 6454).
type origin struct {
	scheme string
	host   string     // lower case and without a trailing dot; for an address its canonical form
	addr   netip.Addr // valid if the host is an address
	port   uint16
}

// originOf returns where net/http will connect for u, or says why that is not
// certain. When in doubt it refuses: net/http maps hosts that are not ASCII to
// other hosts and connects to ::1 for [::1%25.company.com], and resolvers read
// 0x7f.1 as an address (S20–S38). The Host header plays no part (S19).
func originOf(u *url.URL) (o origin, why string) {
	if u == nil {
		return origin{}, "there is no URL"
	}
	switch o.scheme = u.Scheme; o.scheme {
	case "http":
		o.port = 80
	case "https":
		o.port = 443
	default:
		return origin{}, "the URL's scheme is neither http nor https"
	}
	if u.Opaque != "" {
		// A proxy would read the server's name from Opaque and not from Host.
		return origin{}, "the URL is opaque"
	}
	if port := u.Port(); port != "" {
		var ok bool
		if o.port, ok = parsePort(port); !ok {
			return origin{}, "the port is not a number from 1 to 65535"
		}
	}
	host := u.Hostname()
	bracketed := strings.HasPrefix(u.Host, "[")
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return origin{}, "the address has a zone"
		}
		if bracketed != addr.Is6() {
			return origin{}, "the address is badly bracketed"
		}
		o.addr = addr.Unmap()
		o.host = o.addr.String()
		return o, ""
	}
	if bracketed {
		return origin{}, "the host is in brackets but is no address"
	}
	if o.host = canonicalName(host); o.host == "" {
		return origin{}, "the host is not a plain name of ASCII labels or an IP address"
	}
	return o, ""
}

// isLoopback reports whether o is this machine.
func (o origin) isLoopback() bool {
	return o.addr.IsLoopback() || o.host == "localhost" || strings.HasSuffix(o.host, ".localhost")
}

// canonicalName returns name in lower case and without one trailing dot. It
// returns "" for a name that not every resolver reads the same way.
func canonicalName(name string) string {
	if !isASCII(name) {
		return "" // ToLower would turn the Kelvin sign into a k (S25)
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if len(name) > 253 {
		return ""
	}
	last := name
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool { return !isHostChar(r) }) {
			return ""
		}
		last = label
	}
	if isDigit(last[0]) {
		return "" // some resolvers read 127.1 and 0x7f.1 as addresses, others as names
	}
	return name
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
}

// isHostChar reports whether a label of a canonical name may contain r.
func isHostChar(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// parsePort refuses ports that net/http accepts and servers read in different
// ways: 0, leading zeros, and numbers over 65535.
func parsePort(text string) (uint16, bool) {
	if text == "" || text[0] == '0' || strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil
}
