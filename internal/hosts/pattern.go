package hosts

import (
	"fmt"
	"net/netip"
	"strings"
)

// pattern covers origins by their scheme, port and host. Its host is one of four:
// every host, an address, a plain name, or a glob.
type pattern struct {
	text   string // as it was written
	scheme string // "" for either
	port   uint16 // 0 for any

	everyHost bool
	addr      netip.Addr // valid for an address
	name      string     // for a host without wildcards
	glob      glob       // for a host with wildcards
	labels    int        // the number of labels that a host must have to fit glob, 0 for any number

	loose       bool // wildcards leave room for hosts of other owners: *.com
	addressLike bool // it looks like a range of addresses, which no pattern is: 10.0.0.*
}

// covers reports whether the credential may go to o.
func (p *pattern) covers(o origin) bool {
	switch {
	case p.scheme != "" && p.scheme != o.scheme, p.port != 0 && p.port != o.port:
		return false
	case p.everyHost:
		return true
	case p.addr.IsValid() || o.addr.IsValid():
		return p.addr == o.addr
	case p.name != "":
		return p.name == o.host
	case p.labels != 0 && p.labels != strings.Count(o.host, ".")+1:
		return false
	}
	return p.glob.match(o.host)
}

// maxPattern is the longest pattern, in bytes. A host has at most 253, and sets
// take more room than the characters that they match.
const maxPattern = 512

// parsePattern reads one pattern, or says why no host can match it.
func parsePattern(text string) (p pattern, why string) {
	p.text = text
	if text == "" {
		return p, "is empty"
	}
	if len(text) > maxPattern {
		return p, fmt.Sprintf("is longer than %d characters", maxPattern)
	}
	if !isASCII(text) {
		return p, "is not ASCII; write an internationalised name in its punycode form, xn--…"
	}
	host := strings.ToLower(text)
	if scheme, rest, ok := strings.Cut(host, "://"); ok {
		if scheme != "http" && scheme != "https" {
			return p, "has a scheme other than http and https"
		}
		p.scheme, host = scheme, rest
	}
	for _, r := range host {
		switch {
		case r == '/' || r == '#':
			return p, "has a path; only scheme, host and port are compared"
		case r == '@':
			return p, "has a username; only scheme, host and port are compared"
		case !isHostChar(r) && !strings.ContainsRune(".:*?[]!^", r):
			return p, fmt.Sprintf("has the character %q, which no host has", r)
		}
	}
	if addr, err := netip.ParseAddr(host); err == nil { // before the port, as the colons of a bare ::1 are none
		p.addr = addr.Unmap()
		return p, ""
	}
	if host, p.port, why = cutPort(host); why != "" {
		return p, why
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err == nil {
			if !addr.Is6() {
				return p, "has an IPv4 address in brackets; write it without"
			}
			p.addr = addr.Unmap()
			return p, ""
		}
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		p.addr = addr
		return p, ""
	}
	if host == "*" {
		p.everyHost = true
		return p, ""
	}
	why = p.parseName(strings.TrimSuffix(host, "."))
	return p, why
}

// cutPort takes the port off the end of host. A set cannot contain a colon, so one
// after the last ] begins a port.
func cutPort(host string) (name string, port uint16, why string) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || i < strings.LastIndexByte(host, ']') {
		return host, 0, ""
	}
	port, ok := parsePort(host[i+1:])
	if !ok {
		return "", 0, "has a port that is not a number from 1 to 65535; leave the port out for any"
	}
	return host[:i], port, ""
}

// parseName reads a host that is not an address, with or without wildcards.
func (p *pattern) parseName(host string) (why string) {
	if p.glob, why = parseGlob(host); why != "" {
		return why
	}
	labels := p.glob.labels()
	last := labels[len(labels)-1]
	for _, label := range labels {
		if len(label) == 0 {
			return "has an empty label"
		}
	}
	switch {
	case last.wild():
		p.labels = len(labels) // mlflow-* must not match mlflow-x.evil.com (S47)
		p.addressLike = looksLikeAddress(labels)
		p.loose = len(labels) > 1 && !p.addressLike // mlflow.*
	case isDigit(last[0].chars[0]):
		if p.addressLike = p.glob.wild(); !p.addressLike { // *.1 is accepted, with a warning (S59)
			return "ends in a number but is not a valid address"
		}
	case !p.glob.wild():
		if p.name = canonicalName(host); p.name == "" {
			return "is not a valid host name"
		}
		p.glob = nil
	default:
		// *.com and api.*.com are loose; so is *company.com, which matches evilcompany.com.
		p.loose = labels[len(labels)-2].wild()
	}
	return ""
}

// looksLikeAddress recognises 10.0.0.* and the like: four labels, the first three
// of digits, ? and sets.
func looksLikeAddress(labels []glob) bool {
	for _, label := range labels[:len(labels)-1] {
		for _, e := range label {
			if e.star || !e.wild && !isDigit(e.chars[0]) {
				return false
			}
		}
	}
	return len(labels) == 4
}
