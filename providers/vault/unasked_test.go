package vault_test

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

// Whatever Vault, or what stands in front of it, sends besides its answers: with every
// login, by the client's own transport and by one that is handed in, for a read and for
// the looks of a doctor.
func TestF2F3WhatVaultSendsUnaskedIsNotPrinted(t *testing.T) {
	t.Parallel()
	logins := map[string]func(t *testing.T, cfg *vault.Config, credential string){
		"token": func(_ *testing.T, cfg *vault.Config, credential string) { cfg.Token = credential },
		"AppRole": func(_ *testing.T, cfg *vault.Config, credential string) {
			cfg.RoleID, cfg.SecretID = "role", credential
		},
		"Kubernetes": func(t *testing.T, cfg *vault.Config, credential string) {
			file := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(file, []byte(credential), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg.KubernetesRole, cfg.KubernetesTokenPath = "mlflow", file
		},
	}
	for login, configure := range logins {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			faults.EverySurplus(t, []string{"TCP", "TLS 1.2", "TLS 1.3"}, faults.Surpluses(), func(stage *faults.Stage) {
				s, secret := newStandin()
				credential, given := canary.New(), canary.New()
				s.setToken(credential, "*")
				s.login = func(s *standin, _ string, _ map[string]string) reply {
					s.tokens[given] = []string{"*"}
					return granted(given, 60)
				}
				peer := stage.Start(s, secret, credential, given)
				cfg := vault.Config{Address: peer.URL, SecretPath: "secret/mlflow/auth", MaxAttempts: 1}
				if stage.Link != "TCP" {
					cfg.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: peer.Roots(), MinVersion: tls.VersionTLS12}}}
				}
				configure(stage.T, &cfg, credential)
				p := newProvider(stage.T, cfg)
				for range 3 {
					got, err := p.Fetch(faults.Hesitate(stage.Context()))
					if token, _ := got.Token(); !stage.Surplus.Spoils() && token != secret {
						stage.Errorf("the secret is not read: %v", err)
					}
				}
				for _, step := range p.Inspect(inspect.Options{}).Steps {
					step.Look(faults.Hesitate(stage.Context()))
				}
			})
		})
	}
}
