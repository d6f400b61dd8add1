package faults

import (
	"errors"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// RenamedFields holds a store to fields of other names. made makes a provider that reads
// a text from its store by these names. What Fetch makes of the fields is for
// [secretsauth.Fields.Parse] to decide; here the names get there, and the error says what
// to do.
func RenamedFields(t *testing.T, made func(t *testing.T, stored string, names secretsauth.Fields) secretsauth.Provider) {
	t.Helper()
	names := secretsauth.Fields{Token: "api_key", Headers: "X-Gate=gate"}
	c, gate := canary.New(), canary.New()
	for _, test := range []struct {
		name   string
		stored string
		says   []string // of the error; nil: none
	}{
		{"there", `{"api_key":"` + c + `","gate":"` + gate + `"}`, nil},
		{"a name that is missing, and never token instead", `{"token":"` + c + `","gate":"` + gate + `"}`,
			[]string{`secret has no field "api_key", which MLFLOW_SECRETS_FIELD_TOKEN`, "unset MLFLOW_SECRETS_FIELD_TOKEN"}},
		{"a header's field that is missing", `{"api_key":"` + c + `"}`,
			[]string{`secret has no field "gate", which MLFLOW_SECRETS_HEADERS`, "unset MLFLOW_SECRETS_HEADERS"}},
		{"a value that is bad", `{"api_key":17,"gate":"` + gate + `"}`, []string{`field "api_key" of the secret is not text`, `store {"api_key": "…"}`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			secret, err := made(t, test.stored, names).Fetch(t.Context())
			if test.says == nil {
				if err != nil {
					t.Fatal(err)
				}
				if token, _ := secret.Token(); token != c || secret.Headers().Get("X-Gate") != gate {
					t.Error("not what was stored")
				}
				return
			}
			if e, ok := errors.AsType[*secretsauth.Error](err); !ok || !errors.Is(err, secretsauth.ErrInvalidSecret) || e.Key == "" {
				t.Fatalf("%v, want ErrInvalidSecret with the secret's key", err)
			}
			for _, text := range test.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("the error does not say %q: %v", text, err)
				}
			}
			canary.AbsentFrom(t, "the error", err, c, gate)
		})
	}
}
