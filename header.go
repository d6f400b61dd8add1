package secretsauth

import (
	"encoding/base64"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"
)

// header is one way a secret is sent: the field's value, how it came about, or
// why the secret cannot be sent that way.
type header struct {
	value string
	mode  AuthMode
	err   *Error
}

// form tells apart the ways a secret can be sent; a cached value carries one
// header for each, so that transports with different settings can share it.
type form int

const (
	formAuto form = iota
	formBearer
	formBasic
	formRaw // a custom header: a token as it stands
	formRawBasic
	formCount
)

func formOf(mode AuthMode, headerName string) form {
	mode = mode.canonical()
	custom := headerName != "Authorization"
	switch {
	case mode == AuthBasic && custom:
		return formRawBasic
	case mode == AuthBasic:
		return formBasic
	case custom:
		return formRaw
	case mode == AuthBearer:
		return formBearer
	}
	return formAuto
}

// headers builds every form of s.
func (s Secret) headers() (all [formCount]header) {
	for f := range all {
		value, mode, err := s.build(form(f))
		all[f] = header{value: value, mode: mode, err: err}
	}
	return all
}

// check says why s cannot be sent in Authorization in one mode.
func (s Secret) check(mode AuthMode) error {
	if _, _, err := s.build(formOf(mode, "Authorization")); err != nil {
		return err // not a nil *Error in an error
	}
	return nil
}

// build is the value of the header in one form. The error names no value.
func (s Secret) build(f form) (string, AuthMode, *Error) {
	c := s.credential()
	if c == (credential{}) {
		return "", AuthAuto, invalid("secret is empty")
	}
	hasToken := c.token != ""
	switch {
	case s.mode != AuthAuto && s.mode != AuthBearer && s.mode != AuthBasic:
		return "", AuthAuto, &Error{Kind: ErrConfig, Summary: fmt.Sprintf("the provider asks for an unknown auth mode, %.20q", string(s.mode)),
			Fix: "use bearer or basic, or leave it unset to go by what the secret holds"}
	case f == formAuto:
		switch {
		case s.mode == AuthBearer, s.mode == AuthAuto && hasToken:
			f = formBearer
		default:
			f = formBasic
		}
	case f == formRaw:
		if s.mode == AuthBasic || !hasToken && !c.text {
			f = formRawBasic
		}
	}
	if f == formBasic || f == formRawBasic {
		value, err := c.basic()
		return value, AuthBasic, err
	}
	token := c.token
	if !hasToken && c.text {
		token = c.username + ":" + c.password
	}
	if f == formRaw {
		return token, AuthBearer, checkToken(token)
	}
	value, err := bearer(token)
	return value, AuthBearer, err
}

// bearer follows RFC 6750, section 2.1. Tokens are often stored with their
// scheme; "Bearer Bearer …" is never what was meant (S85).
func bearer(token string) (string, *Error) {
	if hasScheme(token, "Bearer") {
		token = trim(token[len("Bearer"):])
	}
	if hasScheme(token, "Basic") {
		return "", &Error{
			Kind:    ErrInvalidSecret,
			Summary: `the token begins with "Basic ", which is not a token`,
			Fix:     `store {"username": "…", "password": "…"} instead of a ready-made header`,
		}
	}
	if err := checkToken(token); err != nil {
		return "", err
	}
	return "Bearer " + token, nil
}

// basic follows RFC 7617: no colon in the username, no control characters,
// UTF-8.
func (c credential) basic() (string, *Error) {
	user, password := c.username, c.password
	if user == "" && password == "" {
		if hasScheme(c.token, "Basic") || hasScheme(c.token, "Bearer") {
			return "", invalid("the token begins with a scheme, and is no user:password for basic authentication")
		}
		var ok bool
		if user, password, ok = strings.Cut(c.token, ":"); !ok {
			return "", invalid("basic authentication needs a username and password, and the secret is a token without a colon")
		}
	}
	switch {
	case user == "":
		return "", invalid("the username is empty")
	case password == "":
		return "", invalid("the password is empty")
	case strings.Contains(user, ":"):
		return "", invalid("the username contains a colon, which basic authentication does not allow (RFC 7617)")
	case hasScheme(user, "Basic"):
		return "", invalid(`the username begins with "Basic "`)
	case strings.ContainsFunc(user, isControl) || strings.ContainsFunc(password, isControl):
		return "", invalid("the username or password contains a control character")
	case !utf8.ValidString(user) || !utf8.ValidString(password):
		return "", invalid("the username or password is not UTF-8")
	case len(user)+len(password) > maxSecretSize:
		return "", invalid(fmt.Sprintf("username and password are over %d bytes long", maxSecretSize))
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)), nil
}

// checkToken refuses what net/http would refuse, or send differently on HTTP/1
// and HTTP/2, before it gets that far (S73, S76).
func checkToken(token string) *Error {
	switch {
	case token == "":
		return invalid("the secret holds no token")
	case strings.ContainsFunc(token, isControl):
		return invalid("the token contains a control character, such as a line end")
	case strings.ContainsFunc(token, func(r rune) bool { return r > '~' }):
		return invalid("the token contains a character outside ASCII")
	case len(token) > maxSecretSize:
		return invalid(fmt.Sprintf("the token is %d bytes long, the limit is %d", len(token), maxSecretSize))
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// hasScheme reports whether text begins with an authentication scheme, in any
// case, and white space or nothing after it.
func hasScheme(text, scheme string) bool {
	if len(text) < len(scheme) || !strings.EqualFold(text[:len(scheme)], scheme) {
		return false
	}
	return len(text) == len(scheme) || text[len(scheme)] == ' ' || text[len(scheme)] == '\t'
}

// notForCredentials are fields with a meaning of their own: framing and routing
// (RFC 9110, 9112), what other parties consume, what MLflow reads.
var notForCredentials = []string{
	"Accept", "Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Cookie",
	"Date", "Expect", "Host", "Keep-Alive", "Location", "Origin", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Connection", "Range", "Referer", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"User-Agent", "Www-Authenticate", "X-Mlflow-Workspace",
}

// canonicalHeaderName checks the name of the header that carries the credential.
func canonicalHeaderName(name string) (string, error) {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	bad := func(why string) error {
		return &Error{
			Kind:    ErrConfig,
			Summary: "the header's name " + why,
			Fix:     "unset MLFLOW_AUTH_HEADER_NAME (Config.HeaderName) for Authorization, or name a header for credentials such as X-Api-Key",
		}
	}
	if canonical == "" {
		return "", bad("is empty")
	}
	// The name is not repeated: it may be a secret that was put in the wrong place.
	if i := strings.IndexFunc(name, func(r rune) bool { return !isTokenChar(r) }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(name[i:])
		return "", bad(fmt.Sprintf("has the character %q, which is not for names", r))
	}
	if slices.Contains(notForCredentials, canonical) {
		return "", bad(canonical + " is not for credentials")
	}
	return canonical, nil
}

// isTokenChar is tchar of RFC 9110, section 5.6.2.
func isTokenChar(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' ||
		r < utf8.RuneSelf && strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
