package vault_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"}

func TestS155ConfigAndProviderPrintNoSecret(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"token", "approle"} {
		s, value := newStandin()
		token, secretID := canary.New(), canary.New()
		cfg := s.config("secret/mlflow/auth")
		if login == "token" {
			cfg.Token = token
			s.setToken(token, "*")
		} else {
			cfg.Token, cfg.RoleID, cfg.SecretID = "", "role", secretID
			s.login = func(s *standin, _ string, _ map[string]string) reply {
				s.tokens[token] = []string{"*"}
				return granted(token, 60)
			}
		}
		p := newProvider(t, cfg)
		fetchToken(t, p)
		// Of their own format: what holds the stand-in is not what is tested.
		cfg.HTTPClient = nil
		type copied struct{ *vault.Provider }
		for _, verb := range verbs { // fmt calls no method of an unexported field
			canary.Absent(t, login+" hidden Provider", fmt.Sprintf(verb, struct{ p any }{p.Provider}), token, secretID, value)
		}
		for name, v := range map[string]any{
			"Config": cfg, "*Config": &cfg, "Provider": p.Provider, "copy": copied(p),
			"Config in a field": struct{ C vault.Config }{cfg},
		} {
			canary.AbsentFrom(t, login+" "+name, v, token, secretID, value)
		}
		if got := fmt.Sprintf("%+v", p); got != "vault:https://vault.company.com:secret/mlflow/auth" {
			t.Errorf("Provider prints as %q", got)
		}
		if got := fmt.Sprintf("%#v", cfg); got != "vault.Config(vault:https://vault.company.com:secret/mlflow/auth, login "+login+")" {
			t.Errorf("Config prints as %q", got)
		}
	}
}

// echoing is a provider whose server, below one place, answers with all it was sent
// and the secret too.
func echoing(t *testing.T, path string, status int, form, at string) (p netted, secrets []string) {
	t.Helper()
	s, value := newStandin()
	token, secretID := canary.New(), canary.New()
	cfg := s.config(path)
	cfg.Token, cfg.RoleID, cfg.SecretID, cfg.MaxAttempts = "", "role", secretID, 1
	s.login = func(s *standin, _ string, _ map[string]string) reply {
		s.tokens[token] = []string{"*"}
		return granted(token, 60)
	}
	s.before = func(req *http.Request) *reply {
		if !strings.HasPrefix(req.URL.Path, at) {
			return nil
		}
		echo := fmt.Sprint(token, " ", secretID, " ", value)
		return &reply{status: status, body: fmt.Sprintf(form, echo), header: http.Header{"Location": {"https://h/" + token}}}
	}
	return newProvider(t, cfg), []string{token, secretID, value}
}

// S152, S162: a server that echoes all it was sent, and the secret too, at every
// status.
func TestS152S162ErrorsQuoteNoAnswer(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 405, 412, 418, 429, 500, 501, 503} {
		for _, form := range []string{`{"errors":[%q]}`, `{"data":{"data":{"token":%q}}`, `%s`, `{"data":{"data":%q,"metadata":{"version":"x"}}}`, `{"warnings":[%q],"data":{"token":5}}`} {
			for _, at := range []string{"/v1/sys/", "/v1/auth/", "/v1/secret/", "/v1/"} {
				t.Run(fmt.Sprint(status, form, at), func(t *testing.T) {
					t.Parallel()
					p, secrets := echoing(t, "secret/mlflow/auth", status, form, at)
					if _, err := p.Fetch(context.Background()); err != nil {
						canary.AbsentFrom(t, "error", err, secrets...)
					}
				})
			}
		}
	}
}
