package secretsauth

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// redacted stands wherever a Secret is printed or encoded.
const redacted = "[REDACTED]"

// Secret is a token, or a username and password, or both. Its zero value holds
// nothing and is never sent. Every way of printing or encoding it shows
// [REDACTED], unexported fields of other structs included. It is immutable and
// safe for concurrent use; compare with [Secret.Equal].
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
	// text says that username:password is how the store holds the secret, as
	// bare text, which AuthBearer takes whole.
	text bool
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

// Token returns the token, and whether the secret holds one. It is one of the two
// ways to the value: what is done with it afterwards is not redacted.
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

// Equal reports whether both hold the same token, username and password. Expiry
// and hints do not count.
func (s Secret) Equal(other Secret) bool {
	a, b := s.credential(), other.credential()
	return a.token == b.token && a.username == b.username && a.password == b.password
}

// IsZero reports whether s holds nothing, as the zero Secret does.
func (s Secret) IsZero() bool { return s.credential() == credential{} }

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
	return s.credential() == other.credential() && s.mode == other.mode
}

// String returns [REDACTED].
func (Secret) String() string { return redacted }

// GoString returns [REDACTED].
func (Secret) GoString() string { return redacted }

// Format writes [REDACTED] for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText returns [REDACTED]; it serves JSON, XML and YAML alike.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// GobEncode returns [REDACTED].
func (Secret) GobEncode() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns [REDACTED].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
