package secretsauth

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// HostMatcher is a compiled list of host patterns. It is immutable and safe for
// concurrent use. The zero value matches nothing.
type HostMatcher struct {
	patterns []hostPattern
}

// HostDecision says whether a URL's host is on the list, and why.
type HostDecision struct {
	Allowed bool   // a request to it may carry the credential
	Pattern string // the first pattern that covers the host, as it was written
	Host    string // the host as it is compared, or "" if it is not a plain host
	Reason  string // in words
}

// CompileHosts reads host patterns. No pattern matches no host.
//
//	mlflow.company.com          that host, any port
//	mlflow.company.com:5000     that host, that port
//	https://mlflow.company.com  that host, https only
//	*.company.com               any host below company.com, at any depth, but not itself
//	mlflow-*.company.com        * matches any characters, dots included
//	mlflow-*                    a wildcard in the last label: exactly as many labels as the pattern
//	mlflow-?.company.com        ? and [a-c], [!0-9] match one character that is not a dot
//	10.1.2.3, [::1]:5000        addresses match exactly, never by a wildcard
//	*                           every host
//
// Case and one trailing dot do not count. Default ports are filled in before
// ports are compared. A pattern that no host can match is an error that wraps
// [ErrConfig].
func CompileHosts(patterns []string) (*HostMatcher, error) {
	m := &HostMatcher{patterns: make([]hostPattern, 0, len(patterns))}
	for _, text := range patterns {
		p, why := parsePattern(text)
		if why != "" {
			return nil, &Error{
				Kind:    ErrConfig,
				Summary: fmt.Sprintf("host pattern %q: %s", shown(text), why),
				Fix:     "write patterns like mlflow.company.com, *.company.com or https://mlflow.company.com:5000 in MLFLOW_SECRETS_ALLOWED_HOSTS (Config.AllowedHosts)",
			}
		}
		m.patterns = append(m.patterns, p)
	}
	return m, nil
}

// Match reports whether a request to u may carry the credential, as far as its
// host, port and scheme go. A host that is not plain ASCII labels or an IP
// address matches nothing, not even "*".
func (m *HostMatcher) Match(u *url.URL) bool { return m.Explain(u).Allowed }

// Explain is [HostMatcher.Match] with the reason. A nil URL, and a nil matcher, allow
// nothing.
func (m *HostMatcher) Explain(u *url.URL) HostDecision {
	o, why := originOf(u)
	if why != "" {
		return HostDecision{Reason: why}
	}
	return m.explain(o)
}

func (m *HostMatcher) explain(o origin) HostDecision {
	if m != nil {
		for i := range m.patterns {
			if p := &m.patterns[i]; p.covers(o) {
				return HostDecision{Allowed: true, Pattern: p.text, Host: o.host, Reason: fmt.Sprintf("covered by the pattern %q", p.text)}
			}
		}
	}
	return HostDecision{Host: o.host, Reason: "no pattern of the allow-list covers it"}
}

// Warnings names the patterns that cover more, or less, than their author may
// have had in mind, one line each; nil if there is none. [NewTransport] logs them.
func (m *HostMatcher) Warnings() []string {
	if m == nil {
		return nil
	}
	var warnings []string
	for _, p := range m.patterns {
		switch {
		case p.any:
			warnings = append(warnings, fmt.Sprintf("host pattern %q sends the credential to every host that is asked for; "+
				"narrow it, for example MLFLOW_SECRETS_ALLOWED_HOSTS=mlflow.company.com", p.text))
		case p.addressLike:
			warnings = append(warnings, fmt.Sprintf("host pattern %q never matches an address; list each address", p.text))
		case p.loose:
			warnings = append(warnings, fmt.Sprintf("host pattern %q covers hosts of other owners; "+
				"write at least two literal labels at its end, as in *.company.com", p.text))
		}
	}
	return warnings
}

// hostPattern is one pattern: optional scheme and port, and an address, a glob,
// or every host.
type hostPattern struct {
	text   string // as written
	scheme string // "" for either
	port   uint16 // 0 for any

	any  bool
	addr netip.Addr // valid for an address
	name string     // a host without wildcards
	glob glob       // or with some

	labels      int  // how many the host must have, 0 for any number
	loose       bool // a wildcard over a single literal label, such as *.com
	addressLike bool // 10.0.0.*
}

func (p *hostPattern) covers(o origin) bool {
	switch {
	case p.scheme != "" && p.scheme != o.scheme, p.port != 0 && p.port != o.port:
		return false
	case p.any:
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

// maxPattern leaves room for sets; a host has at most 253 characters.
const maxPattern = 512

// parsePattern returns the pattern, or why it is none.
func parsePattern(text string) (p hostPattern, why string) {
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
	if addr, err := netip.ParseAddr(host); err == nil { // bare ::1 has colons and no port
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
		p.any = true
		return p, ""
	}
	return p.parseName(strings.TrimSuffix(host, "."))
}

func (p hostPattern) parseName(host string) (_ hostPattern, why string) {
	if p.glob, why = parseGlob(host); why != "" {
		return p, why
	}
	labels := p.glob.labels()
	last := labels[len(labels)-1]
	for _, label := range labels {
		if len(label) == 0 {
			return p, "has an empty label"
		}
	}
	switch {
	case last.wild():
		p.labels = len(labels)
		p.addressLike = looksLikeAddress(labels)
		p.loose = len(labels) > 1 && !p.addressLike // mlflow.*
	case last[0].literal >= '0' && last[0].literal <= '9':
		if p.addressLike = p.glob.wild(); !p.addressLike { // *.1 is warned about (S59)
			return p, "ends in a number but is not a valid address"
		}
	case !p.glob.wild():
		if p.name = canonicalName(host); p.name == "" {
			return p, "is not a valid host name"
		}
		p.glob = nil
	default:
		// *.com and api.*.com, and *company.com, which evilcompany.com fits too.
		p.loose = labels[len(labels)-2].wild()
	}
	return p, ""
}

// looksLikeAddress recognises 10.0.0.* and its like.
func looksLikeAddress(labels []glob) bool {
	for _, label := range labels[:len(labels)-1] {
		for _, t := range label {
			if !t.any && (t.literal < '0' || t.literal > '9') {
				return false
			}
		}
	}
	return len(labels) == 4
}

// cutPort takes a port off the end; colons cannot stand inside a set.
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

// shown is a pattern as a message quotes it: not too long, and without a
// password.
func shown(text string) string {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		scheme, user, ok := strings.Cut(text[:at], "://")
		if scheme += "://"; !ok {
			scheme, user = "", text[:at]
		}
		if name, _, secret := strings.Cut(user, ":"); secret {
			text = scheme + name + ":…" + text[at:]
		}
	}
	if len(text) > maxPattern {
		text = text[:maxPattern] + "…"
	}
	return text
}
