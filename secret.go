package secretsauth

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/headers"
)

// redacted is what every way of printing or encoding a Secret writes.
const redacted = "[REDACTED]"

// Secret is a token, or a username and password, or both, with further headers or
// without; or headers alone. Its zero value holds nothing and is never sent. Every way
// of printing or encoding it shows [REDACTED], unexported fields of other structs
// included. It is immutable and safe for concurrent use; compare with [Secret.Equal].
type Secret struct {
	// A closure, because fmt does not call methods on unexported fields but
	// prints what they hold: of a function that is an address.
	reveal func() credential

	expiry  time.Time
	ttl     time.Duration
	mode    AuthMode
	trimmed bool
}

// credential is what a Secret hides.
type credential struct {
	token              string
	username, password string
	// text: the store holds the secret as the bare text username:password, so
	// AuthBearer sends it whole as a token.
	text bool
	// further are the headers that are sent as well, sorted by name. The list is
	// never changed.
	further []field
}

func (c credential) headersAlone() bool {
	return c.token == "" && c.username == "" && c.password == "" && len(c.further) > 0
}

func (c credential) empty() bool { return c.equal(credential{text: c.text}) }

func (c credential) equal(other credential) bool {
	return c.token == other.token && c.username == other.username && c.password == other.password &&
		c.text == other.text && slices.Equal(c.further, other.further)
}

// NewToken returns a secret that is a token. White space and a byte order mark
// around it are removed: a newline at the end of a file is not part of a token.
func NewToken(token string) Secret {
	s := newSecret(credential{token: trim(token)})
	s.trimmed = trim(token) != token
	return s
}

// NewUserPassword returns a secret that is a username and password. White space
// around the username and line ends around the password are removed.
func NewUserPassword(username, password string) Secret {
	user, word := trim(username), strings.Trim(password, "\r\n")
	s := newSecret(credential{username: user, password: word})
	s.trimmed = user != username || word != password
	return s
}

func newSecret(c credential) Secret {
	return Secret{reveal: func() credential { return c }}
}

// trim removes what editors, echo and Windows leave around a value (S72).
func trim(s string) string { return strings.Trim(s, " \t\r\n\v\f\ufeff") }

func (s Secret) credential() credential {
	if s.reveal == nil {
		return credential{}
	}
	return s.reveal()
}

// Token returns the token, and whether the secret holds one. It is one of the three
// ways to what the secret holds: what is done with it afterwards is not redacted.
func (s Secret) Token() (string, bool) {
	c := s.credential()
	return c.token, c.token != ""
}

// UserPassword returns the username and password, and whether the secret holds them.
// Bare text with a colon counts as such, see [ParseSecret].
func (s Secret) UserPassword() (username, password string, ok bool) {
	c := s.credential()
	return c.username, c.password, c.username != "" || c.password != ""
}

// Headers returns the further headers by their names, or nil if there are none. What
// is done with them afterwards is not redacted.
func (s Secret) Headers() http.Header {
	c := s.credential()
	if len(c.further) == 0 {
		return nil
	}
	all := make(http.Header, len(c.further))
	for _, f := range c.further {
		all[f.name] = []string{f.value}
	}
	return all
}

// Equal reports whether both hold the same token, username, password and further
// headers. Expiry and hints do not count.
func (s Secret) Equal(other Secret) bool {
	a, b := s.credential(), other.credential()
	a.text = b.text // how the store has written it makes no other credential
	return a.equal(b)
}

// IsZero reports whether s holds nothing, as the zero Secret does.
func (s Secret) IsZero() bool { return s.credential().empty() }

// WithHeader returns s with a further header that carries a part of the credential,
// such as the second one of Cloudflare Access. It goes wherever the credential goes and
// nowhere else, and replaces what the caller has set. White space around the value is
// removed; the same name again, in any spelling, replaces the header.
//
// The name must be one for credentials, or X-MLFLOW-WORKSPACE, which is none: that one
// is sent unless the caller or [Config.Headers] has set it. Another name, the one of
// [Config.HeaderName], or a value that no header can carry makes the secret unfit to
// be sent. A secret of headers alone can be sent in no mode but [AuthAuto].
func (s Secret) WithHeader(name, value string) Secret {
	c := s.credential()
	f := field{textproto.CanonicalMIMEHeaderKey(name), trim(value)}
	at, found := slices.BinarySearchFunc(c.further, f.name, func(have field, name string) int { return strings.Compare(have.name, name) })
	c.further = slices.Clone(c.further)
	if found {
		c.further[at] = f
	} else {
		c.further = slices.Insert(c.further, at, f)
	}
	s.reveal = func() credential { return c }
	s.trimmed = s.trimmed || f.value != value
	return s
}

// WithExpiry returns s with the time past which it must not be used: a lease's
// end or the store's own expiry. A cache never keeps s longer. The zero time is
// no expiry.
func (s Secret) WithExpiry(t time.Time) Secret { s.expiry = t; return s }

// WithTTL returns s with how long a cache may keep it where [Config.TTL] is
// zero: a provider's hint, from its own environment. Zero is no hint; a cache clamps
// it as it does Config.TTL.
func (s Secret) WithTTL(d time.Duration) Secret { s.ttl = d; return s }

// WithMode returns s with how it is sent where [Config.Mode] is AuthAuto: a
// provider's hint, from its own environment. A mode that is not known makes the secret
// unfit to be sent.
func (s Secret) WithMode(m AuthMode) Secret { s.mode = m.canonical(); return s }

// Trimmed reports whether white space around a value was removed: somebody may
// have stored it with echo, which adds a newline. The secret is good without it,
// but other readers of the store may send it along.
func (s Secret) Trimmed() bool { return s.trimmed }

// sameAs reports whether both lead to the same headers.
func (s Secret) sameAs(other Secret) bool {
	return s.credential().equal(other.credential()) && s.mode == other.mode
}

// String returns [REDACTED].
func (Secret) String() string { return redacted }

// GoString returns [REDACTED].
func (Secret) GoString() string { return redacted }

// Format writes [REDACTED] for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText returns [REDACTED]. Encoders of JSON, XML and YAML call it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// GobEncode returns [REDACTED].
func (Secret) GobEncode() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns [REDACTED].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// field is a header of a secret. Its name is canonical, or not the name of a header at
// all, which makes the secret unfit.
type field struct{ name, value string }

// checkFurther says why the further headers cannot be sent.
func (c credential) checkFurther() (*headers.Further, *Error) {
	if len(c.further) == 0 {
		return nil, nil
	}
	all := &headers.Further{}
	for i, f := range c.further {
		name, why := headers.InSecret(f.name)
		if why != "" {
			return nil, badHeader(fmt.Sprintf("the name of header %d of %d in the secret, by their names, %s", i+1, len(c.further), why))
		}
		if why := headers.Value(f.value, maxSecretSize); why != "" {
			return nil, badHeader(calledHeader(name, i, len(c.further)) + " " + why)
		}
		if name == headers.Workspace {
			all.Yielding = append(all.Yielding, headers.Line{Name: name, Values: []string{f.value}})
		} else {
			all.Replacing = append(all.Replacing, headers.Line{Name: name, Values: []string{f.value}})
		}
	}
	if c.headersAlone() && len(all.Replacing) == 0 {
		return nil, badHeader("the secret holds the header " + headers.Workspace + " and no credential")
	}
	return all, nil
}

// calledHeader returns what an error calls one of a secret's headers: its place among
// them, unless its name is well known. A name may be a secret that was put in the wrong
// place.
func calledHeader(name string, i, n int) string {
	if known := headers.Named(name); known != "" {
		return "header " + known + " of the secret"
	}
	return fmt.Sprintf("header %d of %d in the secret, by their names,", i+1, n)
}

func badHeader(what string) *Error {
	return &Error{Kind: ErrInvalidSecret, Summary: what,
		Fix: `store further headers as {"headers": {"X-Api-Key": "…"}}: names of headers for credentials, and their values as text`}
}

// clash refuses a further header of the name under which the secret itself is sent.
func clash(more *headers.Further, name string) *Error {
	if !more.Has(name) {
		return nil
	}
	return &Error{Kind: ErrInvalidSecret,
		Summary: "one of the secret's further headers is the one that carries the credential",
		Fix:     `store it as "token", or as "username" and "password", and not below "headers" or in a field that MLFLOW_SECRETS_HEADERS names`}
}
