package secretsauth_test

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// holds is what a secret holds, with a canary in the place of abc.
type holds struct {
	token, username, password string
	headers                   http.Header
}

func (h holds) check(t *testing.T, s secretsauth.Secret) {
	t.Helper()
	token, _ := s.Token()
	username, password, _ := s.UserPassword()
	if token != h.token || username != h.username || password != h.password {
		t.Error("not the token, or not the username and password, that were stored")
	}
	if !maps.EqualFunc(s.Headers(), h.headers, slices.Equal) {
		t.Errorf("headers %q, or their values, are not those that were stored", slices.Sorted(maps.Keys(s.Headers())))
	}
}

func TestParseSecretWithHeaders(t *testing.T) {
	t.Parallel()
	const cloudflare = `"headers":{"CF-Access-Client-Id":"id","CF-Access-Client-Secret":"abc"}`
	two := http.Header{"Cf-Access-Client-Id": {"id"}, "Cf-Access-Client-Secret": {"abc"}}
	for _, test := range []struct {
		name, raw string
		want      holds
		says      string // of the error; "": none
	}{
		{"alone", `{` + cloudflare + `}`, holds{headers: two}, ""},
		{"beside a token", `{"token":"abc",` + cloudflare + `}`, holds{token: "abc", headers: two}, ""},
		{"beside a username and password", `{"username":"u","password":"abc",` + cloudflare + `}`, holds{username: "u", password: "abc", headers: two}, ""},
		{"a workspace beside a token", `{"token":"abc","headers":{"x-mlflow-workspace":"team"}}`, holds{token: "abc", headers: http.Header{"X-Mlflow-Workspace": {"team"}}}, ""},
		{"S72 white space around a value", `{"headers":{"X-Gate":" abc\n"}}`, holds{headers: http.Header{"X-Gate": {"abc"}}}, ""},
		{"none beside a token", `{"token":"abc","headers":{}}`, holds{token: "abc"}, ""},
		{"the same name twice: the last, as for every field", `{"headers":{"X-Gate":"x","X-Gate":"abc"}}`, holds{headers: http.Header{"X-Gate": {"abc"}}}, ""},

		{"none alone", `{"headers":{}}`, holds{}, `no "headers"`},
		{"a field of another case", `{"Headers":{"X-Gate":"abc"}}`, holds{}, `no "headers"`},
		{"two spellings", `{"headers":{"X-Gate":"abc","x-gate":"abc"}}`, holds{}, "two spellings"},
		{"S75 null", `{"token":"abc","headers":null}`, holds{}, `"headers" of the secret is not an object`},
		{"S75 a list", `{"token":"abc","headers":["X-Gate: abc"]}`, holds{}, `"headers" of the secret is not an object`},
		{"S75 text", `{"token":"abc","headers":"X-Gate: abc"}`, holds{}, `"headers" of the secret is not an object`},
		{"S75 a header that is null", `{"token":"abc","headers":{"X-Api-Key":null}}`, holds{}, "header X-Api-Key of the secret is not text"},
		{"S75 a header that is a number", `{"token":"abc","headers":{"X-Api-Key":17}}`, holds{}, "header X-Api-Key of the secret is not text"},
		{"S75 a header that is a list", `{"headers":{"X-Gate":["abc"]}}`, holds{}, "header 1 of 1 in the secret, by their names, is not text"},
		{"S74 a header that is empty", `{"headers":{"A":"1","X-Gate":" "}}`, holds{}, "header 2 of 2 in the secret, by their names, is empty"},
		{"S76 a header that is no UTF-8", "{\"headers\":{\"X-Gate\":\"abc\xff\"}}", holds{}, "is not UTF-8"},
		{"S76 a header outside ASCII", `{"headers":{"X-Gate":"abcé"}}`, holds{}, "outside ASCII"},
		{"S73 a line end inside", `{"headers":{"X-Gate":"abc\nabc"}}`, holds{}, "control character"},
		{"a name that is none", `{"headers":{"X abc":"abc"}}`, holds{}, "has the character ' '"},
		{"no name", `{"headers":{"":"abc"}}`, holds{}, "the name of header 1 of 1 in the secret, by their names, is empty"},
		{"S14 a name that is not for credentials", `{"token":"abc","headers":{"proxy-authorization":"abc"}}`, holds{}, "Proxy-Authorization is not for credentials"},
		{"a workspace alone", `{"headers":{"X-MLFLOW-WORKSPACE":"team"}}`, holds{}, "no credential"},
		{"a user without password beside headers", `{"username":"u",` + cloudflare + `}`, holds{}, `no "password"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := canary.New()
			s, err := secretsauth.ParseSecret([]byte(strings.ReplaceAll(test.raw, "abc", c)))
			if test.says != "" {
				if !errors.Is(err, secretsauth.ErrInvalidSecret) || !s.IsZero() || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "fix: ") {
					t.Errorf("no ErrInvalidSecret that says %q, with a fix and nothing else", test.says)
				}
				canary.AbsentFrom(t, "the error", err, c)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			test.want.filled(c).check(t, s)
			if s.Trimmed() != strings.Contains(test.raw, `\n`) {
				t.Error("Trimmed")
			}
		})
	}
}

// filled is h with c in the place of abc.
func (h holds) filled(c string) holds {
	fill := func(text string) string { return strings.ReplaceAll(text, "abc", c) }
	out := holds{fill(h.token), fill(h.username), fill(h.password), nil}
	for name, values := range h.headers {
		if out.headers == nil {
			out.headers = http.Header{}
		}
		out.headers.Set(name, fill(values[0]))
	}
	return out
}

func TestFieldsOfOtherNames(t *testing.T) {
	t.Parallel()
	key := secretsauth.Fields{Token: "api_key"}
	pair := secretsauth.Fields{Username: "user", Password: "pass"}
	gate := secretsauth.Fields{Headers: "x-gate=gate, CF-Access-Client-Id=id"}
	for _, test := range []struct {
		name   string
		fields secretsauth.Fields
		raw    string
		want   holds
		says   []string // of the error
	}{
		{"a token of another name", key, `{"api_key":"abc"}`, holds{token: "abc"}, nil},
		{"a token of another name, and not the one of the default name", key, `{"api_key":"abc","token":"other"}`, holds{token: "abc"}, nil},
		{"a token of another name beside a username and password", key, `{"api_key":"abc","username":"u","password":"p"}`, holds{token: "abc", username: "u", password: "p"}, nil},
		{"a token of another name beside headers", key, `{"api_key":"abc","headers":{"X-Gate":"abc"}}`, holds{token: "abc", headers: http.Header{"X-Gate": {"abc"}}}, nil},
		{"username and password of other names", pair, `{"user":"u","pass":"abc"}`, holds{username: "u", password: "abc"}, nil},
		{"one of the two", secretsauth.Fields{Password: "pass"}, `{"username":"u","pass":"abc"}`, holds{username: "u", password: "abc"}, nil},
		{"a token beside them, by its default name", pair, `{"user":"u","pass":"p","token":"abc"}`, holds{token: "abc", username: "u", password: "p"}, nil},
		{"the token is the password", secretsauth.Fields{Token: "password"}, `{"username":"u","password":"abc"}`, holds{token: "abc"}, nil},
		{"the password is the token", secretsauth.Fields{Password: "token"}, `{"username":"u","token":"abc"}`, holds{username: "u", password: "abc"}, nil},
		{"all three named by hand", secretsauth.Fields{Token: "password", Username: "username", Password: "password"}, `{"username":"u","password":"abc"}`,
			holds{token: "abc", username: "u", password: "abc"}, nil},
		{"S72 white space around it", key, `{"api_key":"abc\n"}`, holds{token: "abc"}, nil},
		{"bare text has no fields", key, "abc", holds{token: "abc"}, nil},
		{"bare user:password has no fields", pair, "u:abc", holds{username: "u", password: "abc"}, nil},

		{"headers from fields, alone", gate, `{"gate":"abc","id":"1"}`, holds{headers: http.Header{"X-Gate": {"abc"}, "Cf-Access-Client-Id": {"1"}}}, nil},
		{"headers from fields, beside a token and further ones", gate, `{"token":"abc","gate":"abc","id":"1","headers":{"X-Third":"3"}}`,
			holds{token: "abc", headers: http.Header{"X-Gate": {"abc"}, "Cf-Access-Client-Id": {"1"}, "X-Third": {"3"}}}, nil},
		{"headers from fields win", gate, `{"gate":"abc","id":"1","headers":{"X-Gate":"old"}}`, holds{headers: http.Header{"X-Gate": {"abc"}, "Cf-Access-Client-Id": {"1"}}}, nil},
		{"a header from the field of the token, which stays one", secretsauth.Fields{Headers: "X-Gate=token"}, `{"token":"abc"}`,
			holds{token: "abc", headers: http.Header{"X-Gate": {"abc"}}}, nil},
		{"bare text has no fields for headers", gate, "abc", holds{token: "abc"}, nil},

		{"a name that is missing, and never token instead", key, `{"token":"abc"}`, holds{}, []string{`no field "api_key"`, "MLFLOW_SECRETS_FIELD_TOKEN", "Fields.Token"}},
		{"a name that is missing, beside a username and password", key, `{"username":"u","password":"abc"}`, holds{}, []string{`no field "api_key"`, "MLFLOW_SECRETS_FIELD_TOKEN"}},
		{"a username that is missing", pair, `{"username":"u","pass":"abc"}`, holds{}, []string{`no field "user"`, "MLFLOW_SECRETS_FIELD_USERNAME"}},
		{"a password that is missing", pair, `{"user":"u","password":"abc"}`, holds{}, []string{`no field "pass"`, "MLFLOW_SECRETS_FIELD_PASSWORD"}},
		{"a header's field that is missing", gate, `{"token":"abc","id":"1"}`, holds{}, []string{`no field "gate"`, "MLFLOW_SECRETS_HEADERS", "Fields.Headers"}},
		{"a field of another case", key, `{"API_KEY":"abc"}`, holds{}, []string{`no field "api_key"`}},
		{"S81 a field one level deeper", key, `{"data":{"api_key":"abc"}}`, holds{}, []string{`no field "api_key"`}},
		{"S75 null", key, `{"api_key":null,"token":"abc"}`, holds{}, []string{`field "api_key" of the secret is not text`, `store {"api_key": "…"}`}},
		{"S75 an object", key, `{"api_key":{"token":"abc"}}`, holds{}, []string{`field "api_key" of the secret is not text`}},
		{"S74 empty", gate, `{"gate":" ","id":"1"}`, holds{}, []string{`field "gate" of the secret is empty`}},
		{"S73 a line end inside", key, `{"api_key":"abc\nabc"}`, holds{}, []string{"control character", `store {"api_key": "…"}`}},
		{"no password beside a username of another name", secretsauth.Fields{Username: "user"}, `{"user":"abc"}`, holds{}, []string{`a field "user" but no "password"`}},
		{"no username beside a password of another name", secretsauth.Fields{Password: "pass"}, `{"pass":"abc"}`, holds{}, []string{`a field "pass" but no "username"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := canary.New()
			s, err := test.fields.Parse([]byte(strings.ReplaceAll(test.raw, "abc", c)))
			if test.says == nil {
				if err != nil {
					t.Fatal(err)
				}
				test.want.filled(c).check(t, s)
				return
			}
			if !errors.Is(err, secretsauth.ErrInvalidSecret) || !s.IsZero() {
				t.Fatalf("error %v, want ErrInvalidSecret and nothing else", err)
			}
			for _, text := range append(test.says, "fix: ") {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("the error does not say %q: %v", text, err)
				}
			}
			canary.AbsentFrom(t, "the error", err, c)
		})
	}
}

// What is wrong with the list is the configuration's fault, and its entries are not
// repeated: one may be a secret.
func TestFieldsHeadersIsChecked(t *testing.T) {
	t.Parallel()
	c := canary.New()
	for list, says := range map[string]string{
		c:                               "entry 1 is not of the form",
		"X-Gate=" + c + ", X-Other=":    "entry 2 is not of the form",
		"=" + c:                         "entry 1 is not of the form",
		", ,":                           "there is no entry",
		"X-Gate=a,x-gate=b":             "entry 2 is there twice",
		"X-Gate=a, Host=" + c:           "in entry 2 Host is not for credentials",
		"X " + c + "=a":                 "has the character ' '",
		"User-Agent=a":                  "User-Agent is not for credentials",
		"X-Gate=a\nX-Other=b, X-C=" + c: "",
	} {
		_, err := secretsauth.Fields{Headers: list}.Parse([]byte(`{"token":"` + c + `"}`))
		kind := secretsauth.ErrConfig
		if says == "" { // a field may have any name, but must be there
			kind, says = secretsauth.ErrInvalidSecret, "MLFLOW_SECRETS_HEADERS"
		}
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "MLFLOW_SECRETS_HEADERS") {
			t.Errorf("no %v that says %q and names the variable", kind, says)
		}
		canary.AbsentFrom(t, "the error", err, c)
	}
}
