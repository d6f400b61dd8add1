package secretsauth

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mlflow-secrets-auth/secretsauth/internal/headers"
)

// header is one way to send a secret: the value of the header that carries it, the mode
// that led to it, and the secret's further headers; or why the secret cannot be sent
// that way. The value is empty if the secret has further headers alone.
type header struct {
	value   string
	mode    AuthMode
	further *headers.Further // nil: none
	err     *Error
}

// byHeaders is what the log calls the mode of a secret that has further headers alone.
const byHeaders AuthMode = "headers"

// form tells apart the ways a secret can be sent; a cached value carries one
// header for each, so that transports with different settings can share it.
type form int

const (
	formAuto form = iota
	formBearer
	formBasic
	formRaw // a custom header: a token as it stands
	formRawBearer
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
	case mode == AuthBearer && custom:
		return formRawBearer
	case custom:
		return formRaw
	case mode == AuthBearer:
		return formBearer
	}
	return formAuto
}

// custom reports whether f is for another header than Authorization.
func (f form) custom() bool { return f == formRaw || f == formRawBearer || f == formRawBasic }

// headers builds every form of s.
func (s Secret) headers() (all [formCount]header) {
	more, unfit := s.credential().checkFurther()
	for f := range all {
		value, mode, err := s.build(form(f))
		if err == nil {
			err = unfit
		}
		if err == nil && !form(f).custom() {
			err = clash(more, "Authorization")
		}
		all[f] = header{value: value, mode: mode, further: more, err: err}
	}
	return all
}

// check says why s cannot be sent in Authorization in one mode.
func (s Secret) check(mode AuthMode) *Error {
	_, _, err := s.build(formOf(mode, "Authorization"))
	return err
}

// build is the value of the header in one form. The error names no value.
func (s Secret) build(f form) (string, AuthMode, *Error) {
	c := s.credential()
	if c.empty() {
		return "", AuthAuto, invalid("secret is empty")
	}
	hasToken := c.token != ""
	switch {
	case s.mode != AuthAuto && s.mode != AuthBearer && s.mode != AuthBasic:
		return "", AuthAuto, &Error{Kind: ErrConfig, Summary: fmt.Sprintf("the provider asks for an unknown auth mode, %.20q", string(s.mode)),
			Fix: "use bearer or basic, or leave it unset to go by what the secret holds"}
	case c.headersAlone() && (f == formAuto || f == formRaw) && s.mode == AuthAuto:
		return "", byHeaders, nil
	case c.headersAlone():
		return "", AuthAuto, &Error{Kind: ErrInvalidSecret,
			Summary: "the secret holds headers alone, and the auth mode asks for a token or a username and password",
			Fix:     "unset the auth mode, or store a token or a username and password beside the headers"}
	case f == formAuto:
		switch {
		case s.mode == AuthBearer, s.mode == AuthAuto && hasToken:
			f = formBearer
		default:
			f = formBasic
		}
	case f == formRaw, f == formRawBearer:
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
	if f == formRaw || f == formRawBearer {
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
	case strings.ContainsFunc(user, headers.IsControl) || strings.ContainsFunc(password, headers.IsControl):
		return "", invalid("the username or password contains a control character")
	case !utf8.ValidString(user) || !utf8.ValidString(password):
		return "", invalid("the username or password is not UTF-8")
	case len(user)+len(password) > maxSecretSize:
		return "", invalid(fmt.Sprintf("username and password are over %d bytes long", maxSecretSize))
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)), nil
}

// checkToken refuses a token that no header can carry.
func checkToken(token string) *Error {
	if token == "" {
		return invalid("the secret holds no token")
	}
	if why := headers.Value(token, maxSecretSize); why != "" {
		return invalid("the token " + why)
	}
	return nil
}

// hasScheme reports whether text is an authentication scheme, in any case, or begins
// with one and white space.
func hasScheme(text, scheme string) bool {
	if len(text) < len(scheme) || !strings.EqualFold(text[:len(scheme)], scheme) {
		return false
	}
	return len(text) == len(scheme) || text[len(scheme)] == ' ' || text[len(scheme)] == '\t'
}

// canonicalHeaderName checks the name of the header that carries the credential.
func canonicalHeaderName(name string) (string, error) {
	canonical, why := headers.ForCredential(name)
	if why != "" {
		return "", &Error{
			Kind:    ErrConfig,
			Summary: "the header's name " + why,
			Fix:     "unset MLFLOW_AUTH_HEADER_NAME (Config.HeaderName) for Authorization, or name a header for credentials such as X-Api-Key",
		}
	}
	return canonical, nil
}

// along returns the headers of Config.Headers as they are sent: sorted, under their
// canonical names.
func (c Config) along() ([]headers.Line, error) {
	own, err := c.headerName()
	if err != nil {
		return nil, err
	}
	var all []headers.Line
	for _, written := range slices.Sorted(maps.Keys(c.Headers)) {
		bad := func(why string) error {
			name := "a header"
			if known := headers.Named(http.CanonicalHeaderKey(written)); known != "" {
				name = known
			}
			return &Error{Kind: ErrConfig, Summary: "Config.Headers has " + name + " that cannot be sent along: " + why,
				Fix: `leave it out: Config.Headers is for headers such as X-MLFLOW-WORKSPACE, in one spelling, with a value of ASCII characters`}
		}
		name, why := headers.Along(written)
		switch {
		case why != "":
			return nil, bad("its name " + why)
		case headers.Same(name, own):
			return nil, bad("it is the one that carries the credential")
		case slices.ContainsFunc(all, func(other headers.Line) bool { return other.Name == name }):
			return nil, bad("it is there in two spellings")
		case len(c.Headers[written]) == 0:
			return nil, bad("it has no value")
		}
		line := headers.Line{Name: name}
		for _, value := range c.Headers[written] {
			value = trim(value)
			if why := headers.Value(value, maxSecretSize); why != "" {
				return nil, bad("its value " + why)
			}
			line.Values = append(line.Values, value)
		}
		all = append(all, line)
	}
	return all, nil
}

// callersOwn reports whether the caller has set the header. A header that
// http.Client built from userinfo in a redirect is not the caller's (S12). A bare
// "Bearer" or "Basic" counts as no header (S64).
func (t *Transport) callersOwn(req *http.Request, header string) bool {
	has := func(h http.Header) string {
		for name, values := range h {
			if !headers.Same(name, header) || len(values) == 0 {
				continue
			}
			if value := strings.TrimSpace(values[0]); !strings.EqualFold(value, "Bearer") && !strings.EqualFold(value, "Basic") {
				return value
			}
		}
		return ""
	}
	own := has(req.Header)
	for first := req; own != "" && first.Response != nil; {
		if first = first.Response.Request; has(first.Header) != own {
			return false
		}
	}
	return own != ""
}

// callersFurther reports whether the caller has set one of v's further headers.
func (t *Transport) callersFurther(req *http.Request, v *value) bool {
	more := v.headers[t.form].further
	return more != nil && slices.ContainsFunc(more.Replacing, func(own headers.Line) bool { return t.callersOwn(req, own.Name) })
}
