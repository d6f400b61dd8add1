package proxy_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

// Of the headers of the secret a client has no version of its own; a workspace, which is
// no credential, is the client's to choose.
func TestHeadersOfTheSecret(t *testing.T) {
	t.Parallel()
	const id, key, team = "Cf-Access-Client-Id", "Cf-Access-Client-Secret", "X-Mlflow-Workspace"
	for _, test := range []struct {
		name       string
		configured string   // the workspace, or ""
		client     []string // what a client sends besides
		want       string   // the workspace that arrives
	}{
		{"a client that sends none of them", "configured", nil, "configured"},
		{"no workspace is configured", "", nil, "stored"},
		{"a client with versions of its own", "configured", []string{"CF-Access-Client-Id: mine", "cf-access-client-secret: mine", "CF-ACCESS-CLIENT-SECRET: mine too"}, "configured"},
		{"a client with a workspace of its own", "configured", []string{"x-mlflow-workspace: mine"}, "mine"},
		{"a client that has them removed as hop by hop", "configured", []string{"Connection: close, cf-access-client-secret, x-mlflow-workspace, authorization", "cf-access-client-secret: mine", "x-mlflow-workspace: mine"}, "configured"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			gate := canary.New()
			w := newWorld(t, fine, func(w *world, _ *proxy.Config, library *secretsauth.Config) {
				w.secrets = append(w.secrets, gate)
				w.store.further = http.Header{id: {"id"}, key: {gate}, team: {"stored"}}
				if test.configured != "" {
					library.Headers = http.Header{team: {test.configured}}
				}
			})
			request := fmt.Sprintf("GET / HTTP/1.1\nHost: %s\nAuthorization: Bearer %s\n", strings.TrimPrefix(w.proxy.URL(), "http://"), w.token)
			for _, line := range test.client {
				request += line + "\n"
			}
			got, _, _ := w.raw(request + "\n")
			w.wantStatus(got, http.StatusOK)
			h := w.server.requests()[0].Header
			if !slices.Equal(h[id], []string{"id"}) || !slices.Equal(h[key], []string{gate}) || !slices.Equal(h[team], []string{test.want}) || len(h["Authorization"]) != 1 {
				t.Errorf("%d, %d and %d values of the secret's headers, workspace %q", len(h["Authorization"]), len(h[id]), len(h[key]), h[team])
			}
		})
	}
}

// A server that echoes what it gets shows the headers to the client, which is the
// server's doing; the proxy's own answers and its log do not.
func TestHeadersOfTheSecretAreNotTold(t *testing.T) {
	t.Parallel()
	gate := canary.New()
	for name, bad := range map[string]http.Header{
		"a value that no header can carry": {"X-Gate": {gate + "\n" + gate}},
		"a name that is not for it":        {"Cookie": {gate}},
		"the header of the credential":     {"Authorization": {gate}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fine, func(w *world, _ *proxy.Config, _ *secretsauth.Config) {
				w.secrets = append(w.secrets, gate)
				w.store.further = bad
			})
			got := w.get("/")
			w.wantStatus(got, http.StatusServiceUnavailable)
			if n := len(w.server.requests()); n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}
