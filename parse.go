package secretsauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxSecretSize is far below what servers accept as a header (1 MiB in Go, S79)
// and far above any credential.
const maxSecretSize = 256 << 10

// ParseSecret reads a secret the way stores hold it: a JSON object with "token",
// or with "username" and "password", or with all three; or bare text, which is
// "user:password" if it has a colon and a token if not. A JSON object's other
// fields are ignored. White space around the text is removed.
//
// The error wraps [ErrInvalidSecret] and names fields, never values.
func ParseSecret(raw []byte) (Secret, error) {
	if len(raw) > maxSecretSize {
		return Secret{}, invalid(fmt.Sprintf("secret is %d bytes long, the limit is %d", len(raw), maxSecretSize))
	}
	text := trim(string(raw))
	switch {
	case text == "":
		return Secret{}, invalid("secret is empty")
	case text[0] == '{':
		return parseObject([]byte(text))
	case text[0] == '[' || text[0] == '"' || text == "null" || text == "true" || text == "false":
		return Secret{}, invalid("secret is JSON, but not an object")
	}
	secret := newSecret(credential{token: text})
	if user, password, ok := strings.Cut(text, ":"); ok && !hasScheme(text, "Bearer") {
		secret = newSecret(credential{username: user, password: password, text: true})
	}
	if err := secret.check(AuthAuto); err != nil {
		return Secret{}, err
	}
	secret.trimmed = text != string(raw)
	return secret, nil
}

func parseObject(raw []byte) (Secret, error) {
	// json's own errors quote the input (S87), so they are not passed on.
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return Secret{}, invalid("secret is malformed JSON")
	}
	var c credential
	for _, f := range []struct {
		name string
		into *string
	}{{"token", &c.token}, {"username", &c.username}, {"password", &c.password}} {
		value, present := fields[f.name]
		if !present {
			continue
		}
		if bytes.Equal(value, []byte("null")) || json.Unmarshal(value, f.into) != nil {
			return Secret{}, invalid(fmt.Sprintf("field %q of the secret is not text", f.name))
		}
		if strings.ContainsRune(*f.into, utf8.RuneError) { // json puts it in the place of what is not UTF-8
			return Secret{}, invalid(fmt.Sprintf("field %q of the secret is not UTF-8", f.name))
		}
		if trim(*f.into) == "" {
			return Secret{}, invalid(fmt.Sprintf("field %q of the secret is empty", f.name))
		}
	}
	switch {
	case c == credential{}:
		return Secret{}, invalid(`secret has neither a field "token" nor the fields "username" and "password"`)
	case c.username != "" && c.password == "":
		return Secret{}, invalid(`secret has a field "username" but no "password"`)
	case c.password != "" && c.username == "":
		return Secret{}, invalid(`secret has a field "password" but no "username"`)
	}
	clean := credential{token: trim(c.token), username: trim(c.username), password: strings.Trim(c.password, "\r\n")}
	secret := newSecret(clean)
	secret.trimmed = clean != c
	if c.token != "" {
		if err := secret.check(AuthBearer); err != nil {
			return Secret{}, err
		}
	}
	if c.username != "" {
		if err := secret.check(AuthBasic); err != nil {
			return Secret{}, err
		}
	}
	return secret, nil
}

func invalid(what string) *Error {
	return &Error{
		Kind:    ErrInvalidSecret,
		Summary: what,
		Fix:     `store {"token": "…"}, or {"username": "…", "password": "…"}, or bare text: a token, or user:password`,
	}
}
