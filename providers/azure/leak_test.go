package azure_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	azlog "github.com/Azure/azure-sdk-for-go/sdk/azcore/log"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"}

func TestS155ConfigAndProviderPrintNoSecret(t *testing.T) {
	s, value, clientSecret, token := newStandin(), canary.New(), canary.New(), canary.New()
	setenv(t, servicePrincipal("AZURE_CLIENT_SECRET", clientSecret))
	s.put(value)
	s.login = func(*http.Request, url.Values) reply {
		return reply{status: 200, body: fmt.Sprintf(`{"token_type":"Bearer","expires_in":3599,"access_token":%q}`, token)}
	}
	cfg := s.config()
	p := newProvider(t, cfg)
	fetchToken(t, p)
	if s.tokens[len(s.tokens)-1] != token {
		t.Fatal("the token was not used")
	}
	cfg.HTTPClient = nil // what holds the stand-in is not what is tested
	type copied struct{ *azure.Provider }
	for _, verb := range verbs { // fmt calls no method of an unexported field
		canary.Absent(t, "hidden Provider", fmt.Sprintf(verb, struct{ p any }{p.Provider}), clientSecret, token, value)
	}
	for name, v := range map[string]any{"Config": cfg, "*Config": &cfg, "Provider": p.Provider, "copy": copied(p), "Config in a field": struct{ C azure.Config }{cfg}} {
		canary.AbsentFrom(t, name, v, clientSecret, token, value)
	}
	if got := fmt.Sprintf("%+v", p); got != "azure-key-vault:https://my-vault.vault.azure.net:mlflow-auth" {
		t.Errorf("Provider prints as %q", got)
	}
	if got := fmt.Sprintf("%#v", cfg); got != "azure.Config(azure-key-vault:https://my-vault.vault.azure.net:mlflow-auth)" {
		t.Errorf("Config prints as %q", got)
	}
}

// Whatever the SDK logs, it is none of it.
func TestS133TheSDKLogsNoSecret(t *testing.T) {
	s, value, clientSecret, token := newStandin(), canary.New(), canary.New(), canary.New()
	setenv(t, servicePrincipal("AZURE_CLIENT_SECRET", clientSecret))
	s.put(value)
	s.login = func(*http.Request, url.Values) reply {
		return reply{status: 200, body: fmt.Sprintf(`{"token_type":"Bearer","expires_in":3599,"access_token":%q}`, token)}
	}
	var mu sync.Mutex
	var logged strings.Builder
	azlog.SetListener(func(event azlog.Event, text string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(&logged, event, text)
	})
	defer azlog.SetListener(nil)
	p := s.provider(t)
	fetchToken(t, p)
	s.set(func(s *standin) { s.refuse = &accessDenied })
	if _, err := p.Fetch(t.Context()); err == nil {
		t.Error("no error")
	}
	if !strings.Contains(logged.String(), "/secrets/mlflow-auth") {
		t.Fatal("nothing was logged, so nothing was tested")
	}
	canary.Absent(t, "the SDK's log", logged.String(), value, clientSecret, token)
}

// Servers that echo all they were sent, and the secret too, at every status.
func TestS152S162ErrorsQuoteNoAnswer(t *testing.T) {
	clientSecret := canary.New()
	setenv(t, servicePrincipal("AZURE_CLIENT_SECRET", clientSecret))
	forms := []string{
		`{"error":{"code":%q,"message":%[1]q,"innererror":{"code":%[1]q}}}`, `{"error":%q,"error_description":%[1]q,"error_codes":[1]}`, `%s`,
		`{"value":{"token":%q}}`, `{"value":5,"id":%q}`, `{"access_token":%q`, `{"value":"{\"token\":5}","id":%q}`, `AADSTS7000215: %s`,
	}
	for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 405, 418, 429, 500, 501, 503} {
		for _, form := range forms {
			for _, at := range []string{"/secrets/", "/" + tenant + "/"} {
				s, value, token := newStandin(), canary.New(), canary.New()
				s.put(value)
				s.login = func(*http.Request, url.Values) reply {
					return reply{status: 200, body: fmt.Sprintf(`{"token_type":"Bearer","expires_in":3599,"access_token":%q}`, token)}
				}
				s.before = func(req *http.Request) *reply {
					if !strings.HasPrefix(req.URL.Path, at) || at == "/secrets/" && req.Header.Get("Authorization") == "" {
						return nil
					}
					r := reply{status: status, body: fmt.Sprintf(form, token+" "+clientSecret+" "+value)}
					r.header = http.Header{"Location": {"https://h/" + token}, "X-Ms-Error-Code": {token}, "Retry-After": {value}, "Www-Authenticate": {s.challenge}}
					return &r
				}
				_, err := s.provider(t, func(c *azure.Config) { c.MaxAttempts = 1 }).Fetch(t.Context())
				if err != nil {
					canary.AbsentFrom(t, fmt.Sprint(status, form, at), err, token, clientSecret, value)
				} else if status != 200 {
					t.Errorf("%d %s: no error", status, at)
				}
			}
		}
	}
}
