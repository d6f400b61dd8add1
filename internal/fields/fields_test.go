package fields_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/fields"
)

func TestFromEnv(t *testing.T) {
	const token, username, password, list = "MLFLOW_SECRETS_FIELD_TOKEN", "MLFLOW_SECRETS_FIELD_USERNAME", "MLFLOW_SECRETS_FIELD_PASSWORD", "MLFLOW_SECRETS_HEADERS"
	c := canary.New()
	for _, test := range []struct {
		name string
		env  map[string]string
		want secretsauth.Fields
		says string // else: ErrConfig that names the variable and says this
	}{
		{name: "unset"},
		{name: "empty", env: map[string]string{token: "", username: " ", password: "\t", list: "\n"}},
		{name: "set", env: map[string]string{token: "api_key", username: "user", password: "pass", list: "X-Gate=gate"},
			want: secretsauth.Fields{Token: "api_key", Username: "user", Password: "pass", Headers: "X-Gate=gate"}},
		{name: "with spaces", env: map[string]string{token: " api key ", list: " X-Gate = gate ,, X-Other=other, "},
			want: secretsauth.Fields{Token: "api key", Headers: "X-Gate = gate ,, X-Other=other,"}},
		{name: "no field", env: map[string]string{list: "X-Gate=gate, " + c}, says: "entry 2 is not of the form Header-Name=field"},
		{name: "an empty field", env: map[string]string{list: "X-" + c + "="}, says: "entry 1 is not of the form Header-Name=field"},
		{name: "no entry", env: map[string]string{list: ","}, says: "there is no entry"},
		{name: "twice", env: map[string]string{list: "X-Gate=a,x-gate=" + c}, says: "entry 2 is there twice"},
		{name: "not for credentials", env: map[string]string{list: "Host=" + c}, says: "Host is not for credentials"},
		{name: "no name", env: map[string]string{list: c + " " + c + "=a"}, says: "has the character ' '"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{token, username, password, list} {
				t.Setenv(name, test.env[name])
			}
			got := fields.FromEnv()
			err := fields.Check("vault", &got)
			if test.says == "" {
				if err != nil || got != test.want {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if !errors.Is(err, secretsauth.ErrConfig) || !strings.Contains(err.Error(), list+" (") || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "export "+list+"=") {
				t.Errorf("no ErrConfig that names %s and says %q, with a fix", list, test.says)
			}
			canary.AbsentFrom(t, "the error", err, c)
		})
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	_, err := secretsauth.ParseSecret(nil)
	if summary, fix := fields.Explain(secretsauth.Fields{}, err, "store it"); summary != "secret is empty" || fix != "store it" {
		t.Errorf("%q, %q", summary, fix)
	}
	const list = `{"headers":[]}`
	_, headers := secretsauth.ParseSecret([]byte(list))
	if summary, fix := fields.Explain(secretsauth.Fields{}, headers, "store it"); !strings.Contains(summary, `"headers"`) || !strings.Contains(fix, "headers") {
		t.Errorf("%q, %q: the fix is not about headers", summary, fix)
	}
	if _, fix := fields.Explain(secretsauth.Fields{Token: "api_key"}, err, "store it"); fix == "store it" || fix == "" {
		t.Errorf("the fix %q does not know the names of the fields", fix)
	}
	if summary, fix := fields.Explain(secretsauth.Fields{}, errors.New("text"), "store it"); summary != secretsauth.ErrInvalidSecret.Error() || fix != "store it" {
		t.Errorf("%q, %q", summary, fix)
	}
}
