// Package headers has the rules for the names and values of HTTP headers: which may
// carry a credential, which may be sent along with one, and what may be said of them
// in an error.
package headers

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"
)

// Workspace selects one of a server's workspaces. It is the one header that is no
// credential and may be stored with one: which workspace it is can depend on the
// credential.
const Workspace = "X-Mlflow-Workspace"

// reserved have a meaning of their own: framing and routing (RFC 9110, 9112), and
// what other parties consume.
var reserved = []string{
	"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Cookie",
	"Date", "Expect", "Host", "Keep-Alive", "Location", "Origin", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Connection", "Range", "Referer", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Www-Authenticate",
}

// plain are headers that servers read for something else than a credential.
var plain = []string{"Accept", "User-Agent", Workspace}

// common are the names under which credentials are often sent.
var common = []string{
	"Api-Key", "Authorization", "Cf-Access-Client-Id", "Cf-Access-Client-Secret", "Private-Token",
	"X-Api-Key", "X-Auth-Token", "X-Forwarded-Access-Token", "X-Goog-Iap-Jwt-Assertion",
}

var known = slices.Concat(reserved, plain, common)

// Named is what an error calls a header of this canonical name, or "". A name may be
// a secret that was put in the wrong place, so only one that is known is repeated.
func Named(name string) string {
	if slices.Contains(known, name) {
		return name
	}
	return ""
}

// Known are the names that [Named] repeats.
func Known() []string { return slices.Clone(known) }

// Canonical is the usual spelling of a name, or why it is none: "has the character
// …". Of the name itself the reason shows one character.
func Canonical(name string) (canonical, why string) {
	if name == "" {
		return "", "is empty"
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return !isTokenChar(r) }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(name[i:])
		return "", fmt.Sprintf("has the character %q, which is not for names", r)
	}
	return textproto.CanonicalMIMEHeaderKey(name), ""
}

// ForCredential is [Canonical] for the name of a header that carries a credential.
func ForCredential(name string) (canonical, why string) {
	if canonical, why = Canonical(name); why != "" {
		return "", why
	}
	if slices.Contains(reserved, canonical) || slices.Contains(plain, canonical) {
		return "", canonical + " is not for credentials"
	}
	return canonical, ""
}

// InSecret is [ForCredential] for a header that is stored in a secret.
func InSecret(name string) (canonical, why string) {
	if canonical, why = Canonical(name); why == "" && canonical == Workspace {
		return canonical, ""
	}
	return ForCredential(name)
}

// Along is [Canonical] for the name of a header that is sent along with a credential.
func Along(name string) (canonical, why string) {
	canonical, why = Canonical(name)
	switch {
	case why != "":
		return "", why
	case slices.Contains(reserved, canonical):
		return "", canonical + " is for net/http or the caller to set"
	case canonical == "Authorization":
		return "", canonical + " is for a credential, which comes from the provider"
	}
	return canonical, ""
}

// Value says why a value cannot be sent, or "". What net/http would refuse, or send
// differently on HTTP/1 and HTTP/2, is refused before it gets that far (S73, S76).
func Value(value string, limit int) (why string) {
	switch {
	case value == "":
		return "is empty"
	case strings.ContainsFunc(value, IsControl):
		return "contains a control character, such as a line end"
	case strings.ContainsFunc(value, func(r rune) bool { return r > '~' }):
		return "contains a character outside ASCII"
	case len(value) > limit:
		return fmt.Sprintf("is %d bytes long, the limit is %d", len(value), limit)
	}
	return ""
}

// IsControl reports whether r is a control character of ASCII.
func IsControl(r rune) bool { return r < ' ' || r == 0x7f }

// isTokenChar is tchar of RFC 9110, section 5.6.2.
func isTokenChar(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' ||
		r < utf8.RuneSelf && strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
