package secretsauth

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mlflow-secrets-auth/secretsauth/internal/headers"
)

// maxSecretSize is far below what servers accept as a header (1 MiB in Go, S79)
// and far above any credential.
const maxSecretSize = 256 << 10

// ParseSecret reads a secret the way stores hold it: a JSON object with "token",
// or with "username" and "password", or with all three; or bare text, which is
// "user:password" if it has a colon and a token if not. A JSON object's other
// fields are ignored. White space around the text is removed.
//
// An object may also have "headers", alone or beside those: an object of further
// headers by their names ([Secret.WithHeader]), as in
//
//	{"headers": {"CF-Access-Client-Id": "…", "CF-Access-Client-Secret": "…"}}
//
// Where the fields have other names, [Fields] says which. The error wraps
// [ErrInvalidSecret] and names fields, never values.
func ParseSecret(raw []byte) (Secret, error) { return Fields{}.Parse(raw) }

// Fields are the names of the fields in which a JSON object holds a secret, where they
// are not those of [ParseSecret]. An object must have every field that is named here.
type Fields struct {
	Token    string // default "token"; MLFLOW_SECRETS_FIELD_TOKEN
	Username string // default "username"; MLFLOW_SECRETS_FIELD_USERNAME
	Password string // default "password"; MLFLOW_SECRETS_FIELD_PASSWORD

	// Headers are further headers, each with the field that holds its value:
	// "CF-Access-Client-Id=id, CF-Access-Client-Secret=secret". They come beside those
	// that the object has in "headers", and in place of those of the same name.
	// MLFLOW_SECRETS_HEADERS.
	Headers string
}

// Parse is [ParseSecret] with these names. Bare text has no fields: it is read as
// ParseSecret reads it. If Headers is not such a list the error wraps [ErrConfig].
func (f Fields) Parse(raw []byte) (Secret, error) {
	secret, err := f.parse(raw)
	if err == nil {
		return secret, nil
	}
	if err.Fix == storeIt && f.Token+f.Username+f.Password != "" {
		token, username, password := cmp.Or(f.Token, "token"), cmp.Or(f.Username, "username"), cmp.Or(f.Password, "password")
		err.Fix = fmt.Sprintf(`store {%.64q: "…"}, or {%.64q: "…", %.64q: "…"}: so MLFLOW_SECRETS_FIELD_TOKEN, …_USERNAME and …_PASSWORD name the fields`, token, username, password)
	}
	return Secret{}, err
}

func (f Fields) parse(raw []byte) (Secret, *Error) {
	if len(raw) > maxSecretSize {
		return Secret{}, invalid(fmt.Sprintf("secret is %d bytes long, the limit is %d", len(raw), maxSecretSize))
	}
	text := trim(string(raw))
	switch {
	case text == "":
		return Secret{}, invalid("secret is empty")
	case text[0] == '{':
		return f.parseObject([]byte(text))
	case text[0] == '[' || text[0] == '"' || text == "null" || text == "true" || text == "false":
		return Secret{}, invalid("secret is JSON, but not an object")
	}
	secret := newSecret(credential{token: text})
	if user, password, ok := strings.Cut(text, ":"); ok && !hasScheme(text, "Bearer") {
		secret = newSecret(credential{username: user, password: password, text: true})
	}
	secret.trimmed = text != string(raw)
	return secret, secret.check(AuthAuto)
}

func (f Fields) parseObject(raw []byte) (Secret, *Error) {
	// json's own errors quote the input (S87), so they are not passed on.
	var stored object
	if json.Unmarshal(raw, &stored) != nil {
		return Secret{}, invalid("secret is malformed JSON")
	}
	var token, username, password string
	parts := f.parts(&token, &username, &password)
	for _, p := range parts {
		if err := stored.read(p); err != nil {
			return Secret{}, err
		}
	}
	if (username == "") != (password == "") {
		has, lacks := cmp.Or(f.Username, "username"), cmp.Or(f.Password, "password")
		if username == "" {
			has, lacks = lacks, has
		}
		return Secret{}, invalid(fmt.Sprintf("secret has a field %.64q but no %.64q", has, lacks))
	}
	clean := credential{token: trim(token), username: trim(username), password: strings.Trim(password, "\r\n")}
	secret := newSecret(clean)
	secret.trimmed = clean.token != token || clean.username != username || clean.password != password
	secret, err := f.withHeaders(secret, stored)
	switch {
	case err != nil:
	case secret.IsZero():
		err = invalid(`secret has neither a field "token" nor the fields "username" and "password", and no "headers"`)
	case token != "":
		err = secret.check(AuthBearer)
	}
	if err == nil && username != "" {
		err = secret.check(AuthBasic)
	}
	return secret, err
}

// part is one field of an object, and where its text goes.
type part struct {
	field    string
	variable string // by which it is named, so that it must be there; or ""
	into     *string
}

// parts are the fields of the token, the username and the password. A field that is
// named for one of them is not read for another by default.
func (f Fields) parts(token, username, password *string) []part {
	var all []part
	if f.Token != "" || f.Username != "token" && f.Password != "token" {
		all = append(all, named(f.Token, "token", "MLFLOW_SECRETS_FIELD_TOKEN (Fields.Token)", token))
	}
	if f.Username+f.Password != "" || f.Token != "username" && f.Token != "password" {
		all = append(all, named(f.Username, "username", "MLFLOW_SECRETS_FIELD_USERNAME (Fields.Username)", username),
			named(f.Password, "password", "MLFLOW_SECRETS_FIELD_PASSWORD (Fields.Password)", password))
	}
	return all
}

func named(field, standard, variable string, into *string) part {
	if field == "" {
		return part{standard, "", into}
	}
	return part{field, variable, into}
}

// object is a stored JSON object.
type object map[string]json.RawMessage

// read takes one field, if it is there.
func (o object) read(p part) (err *Error) {
	value, present := o[p.field]
	switch {
	case present:
		*p.into, err = textOf(value, fmt.Sprintf("field %.64q of the secret", p.field))
	case p.variable != "":
		err = &Error{Kind: ErrInvalidSecret, Summary: fmt.Sprintf("secret has no field %.64q, which %s names", p.field, p.variable),
			Fix: "store it in that field, or correct or unset " + p.variable}
	}
	return err
}

// textOf is a value of JSON that holds text. called is what an error calls it.
func textOf(value json.RawMessage, called string) (text string, err *Error) {
	switch {
	case bytes.Equal(value, []byte("null")) || json.Unmarshal(value, &text) != nil:
		return "", invalid(called + " is not text")
	case strings.ContainsRune(text, utf8.RuneError): // json puts it in the place of what is not UTF-8
		return "", invalid(called + " is not UTF-8")
	case trim(text) == "":
		return "", invalid(called + " is empty")
	}
	return text, nil
}

// withHeaders is s with the further headers of the object, and those in its fields.
func (f Fields) withHeaders(s Secret, stored object) (Secret, *Error) {
	var own object
	if value, present := stored["headers"]; present && (json.Unmarshal(value, &own) != nil || own == nil) {
		return s, badHeader(`field "headers" of the secret is not an object`)
	}
	byName := map[string]json.RawMessage{}
	for name, value := range own {
		byName[textproto.CanonicalMIMEHeaderKey(name)] = value
	}
	if len(byName) < len(own) {
		return s, badHeader(`field "headers" of the secret has a header in two spellings`)
	}
	for i, name := range slices.Sorted(maps.Keys(byName)) {
		text, err := textOf(byName[name], calledHeader(name, i, len(byName)))
		if err != nil {
			return s, badHeader(err.Summary)
		}
		s = s.WithHeader(name, text)
	}
	list, why := headers.List(f.Headers)
	if why != "" {
		return s, &Error{Kind: ErrConfig, Summary: "MLFLOW_SECRETS_HEADERS (Fields.Headers) cannot be used: " + why, Fix: headers.ListFix}
	}
	for _, from := range list {
		var text string
		if err := stored.read(part{from.Field, "MLFLOW_SECRETS_HEADERS (Fields.Headers)", &text}); err != nil {
			return s, err
		}
		s = s.WithHeader(from.Name, text)
	}
	_, err := s.credential().checkFurther()
	return s, err
}

// storeIt is the fix for a stored text that is no credential.
const storeIt = `store {"token": "…"}, or {"username": "…", "password": "…"}, or bare text: a token, or user:password`

func invalid(what string) *Error {
	return &Error{Kind: ErrInvalidSecret, Summary: what, Fix: storeIt}
}
