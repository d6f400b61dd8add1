package azure_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

// Whatever Azure, or what stands in front of it, sends besides its answers: Key Vault,
// Microsoft Entra ID with each kind of login, and the endpoints of managed identities.
// Not parallel: logins are set by the environment.
func TestF2F3WhatAzureSendsUnaskedIsNotPrinted(t *testing.T) {
	certificate := writeFile(t, "app.pem", pemOf(t), 0o600)
	federatedToken := canary.New()
	federated := writeFile(t, "token", federatedToken, 0o600)
	everywhere := []string{"TLS 1.2", "TLS 1.3"}
	secretLogin := func(s string) map[string]string { return servicePrincipal("AZURE_CLIENT_SECRET", s) }
	for _, odd := range []struct {
		name  string
		host  string // of what is odd, all else is sound
		links []string
		vars  func(clientSecret string) map[string]string
	}{
		{"Key Vault", "my-vault.vault.azure.net:443", everywhere, secretLogin},
		{"Entra, client secret", "login.microsoftonline.com:443", everywhere, secretLogin},
		{"Entra, certificate", "login.microsoftonline.com:443", everywhere, func(string) map[string]string {
			return servicePrincipal("AZURE_CLIENT_CERTIFICATE_PATH", certificate)
		}},
		{"Entra, workload identity", "login.microsoftonline.com:443", everywhere, func(string) map[string]string {
			return servicePrincipal("AZURE_FEDERATED_TOKEN_FILE", federated)
		}},
		{"App Service", "identity.test:80", []string{"TCP"}, func(string) map[string]string {
			return minimal("IDENTITY_ENDPOINT", "http://identity.test/msi/token", "IDENTITY_HEADER", "identity-header", "AZURE_CLIENT_ID", rand.Text())
		}},
		{"IMDS", "169.254.169.254:80", []string{"TCP"}, func(string) map[string]string { return minimal("AZURE_CLIENT_ID", rand.Text()) }},
	} {
		t.Run(odd.name, func(t *testing.T) {
			faults.EverySurplus(t, odd.links, faults.Surpluses(), func(stage *faults.Stage) {
				s, secret, token, clientSecret := newStandin(), canary.New(), canary.New(), canary.New()
				s.put(secret)
				s.login = func(*http.Request, url.Values) reply {
					return reply{status: 200, body: fmt.Sprintf(`{"token_type":"Bearer","expires_in":3599,"access_token":%q}`, token)}
				}
				s.identity = func(url.Values) reply { return identityToken(token) }
				s.before = func(req *http.Request) *reply {
					if req.URL.Path != "/metadata/identity/oauth2/token" {
						return nil
					}
					r := identityToken(token)
					return &r
				}
				setenv(stage.T, odd.vars(clientSecret))
				peer := stage.Start(s, secret, token, clientSecret, federatedToken)
				cfg, err := azure.ConfigFromEnv()
				if err != nil {
					stage.Fatal(err)
				}
				cfg.HTTPClient, cfg.MaxAttempts = &http.Client{Transport: leadingTo(stage.T, s, odd.host, peer)}, 1
				readAndLook(stage, newProvider(stage.T, cfg), secret)
			})
		})
	}
}

// The transport that a provider has without one being handed in.
func TestF2AProvidersOwnTransportKeepsNoConnectionToAzure(t *testing.T) {
	faults.EverySurplus(t, []string{"TCP"}, faults.Surpluses(), func(stage *faults.Stage) {
		s, secret, token := newStandin(), canary.New(), canary.New()
		s.put(secret)
		s.identity = func(url.Values) reply { return identityToken(token) }
		peer := stage.Start(s, secret, token)
		setenv(stage.T, minimal("MLFLOW_AZURE_KEY_VAULT_URL", peer.URL, "IDENTITY_ENDPOINT", peer.URL+"/msi/token", "IDENTITY_HEADER", "identity-header", "AZURE_CLIENT_ID", rand.Text()))
		cfg, err := azure.ConfigFromEnv()
		if err != nil {
			stage.Fatal(err)
		}
		cfg.MaxAttempts = 1
		readAndLook(stage, newProvider(stage.T, cfg), secret)
	})
}

func identityToken(token string) reply {
	return reply{status: 200, body: fmt.Sprintf(`{"access_token":%q,"expires_on":"4102444800","resource":"https://vault.azure.net","token_type":"Bearer"}`, token)}
}

// leadingTo is a transport to peer in place of one host, and to a sound stand-in in
// place of all others that speak TLS.
func leadingTo(t *testing.T, s *standin, host string, peer *faults.Peer) *http.Transport {
	sound := httptest.NewTLSServer(s)
	t.Cleanup(sound.Close)
	return &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the names are not the stand-in's
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			to := sound.URL
			switch {
			case address == host:
				to = peer.URL
			case !strings.HasSuffix(address, ":443"):
				return nil, errNobody
			}
			_, to, _ = strings.Cut(to, "://")
			return new(net.Dialer).DialContext(ctx, network, to)
		},
	}
}

func readAndLook(stage *faults.Stage, p netted, secret string) {
	stage.Helper()
	for range 3 {
		got, err := p.Fetch(faults.Hesitate(stage.Context()))
		if token, _ := got.Token(); !stage.Surplus.Spoils() && token != secret {
			stage.Errorf("the secret is not read: %v", err)
		}
	}
	for _, step := range p.Inspect(inspect.Options{}).Steps {
		step.Look(faults.Hesitate(stage.Context()))
	}
}
