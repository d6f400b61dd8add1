//go:build e2e

package e2e

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
	"github.com/mlflow-secrets-auth/secretsauth/providers/providertest"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

func TestConformanceOfVault(t *testing.T) {
	providertest.Run(t, func(t *testing.T, client *http.Client) providertest.Fixture {
		s := inOpenBao(t, openbao, byAppRole, 2)
		cfg := s.config()
		cfg.HTTPClient = client
		p, err := vault.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return providertest.Fixture{
			Provider:  p,
			PutFields: s.put,
			Deny: func() {
				s.bao.call(http.MethodPut, "sys/policies/acl/"+s.policy(), map[string]string{
					"policy": `path "another/path" { capabilities = ["read"] }`,
				}, nil)
			},
		}
	})
}

func TestConformanceOfAWS(t *testing.T) {
	for name, role := range map[string]string{"own credentials": "", "assumed role": roleARN} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T, client *http.Client) providertest.Fixture {
				s := inMoto(t, moto, role)
				cfg := s.config()
				cfg.HTTPClient = client
				p, err := aws.New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				return providertest.Fixture{
					Provider:  p,
					PutFields: s.put,
					PutText:   func(text string) { s.putValue("SecretString", text) },
					PutBinary: func(b []byte) { s.putValue("SecretBinary", b) },
				}
			})
		})
	}
}

func TestConformanceOfAzure(t *testing.T) {
	for name, clientID := range map[string]string{"system-assigned identity": "", "user-assigned identity": userAssigned} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AZURE_CLIENT_ID", clientID)
			providertest.Run(t, func(t *testing.T, client *http.Client) providertest.Fixture {
				s := inKeyVault(t, keyVault)
				cfg := s.config()
				cfg.HTTPClient = client
				p, err := azure.New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				return providertest.Fixture{
					Provider:  p,
					PutFields: s.put,
					PutText:   func(text string) { s.vault.Put(s.name, text) },
					Deny:      func() { s.vault.Deny(s.name) },
				}
			})
		})
	}
}

// TestVersionsOfAWS reads stages and ids, and a secret that is to be deleted.
func TestVersionsOfAWS(t *testing.T) {
	s := inMoto(t, moto, "")
	s.put(map[string]string{"token": "first"})
	s.put(map[string]string{"token": "second"})
	for _, test := range []struct {
		name, region, version string
		want                  string
		kind                  error
	}{
		{"current", region, "", "second", nil},
		{"AWSCURRENT", region, "AWSCURRENT", "second", nil},
		{"AWSPREVIOUS", region, "AWSPREVIOUS", "first", nil},
		{"a stage that is not there", region, "AWSOLD", "", secretsauth.ErrNotFound},
		{"another region", "us-east-1", "", "", secretsauth.ErrNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := s.config()
			cfg.SecretVersion, cfg.Region = test.version, test.region
			p, err := aws.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Fetch(t.Context())
			if !errors.Is(err, test.kind) {
				t.Fatalf("%v, want %v", err, test.kind)
			}
			if token, _ := got.Token(); token != test.want {
				t.Error("not the version that was asked for")
			}
		})
	}
	if err := s.call("DeleteSecret", map[string]any{"SecretId": s.name, "RecoveryWindowInDays": 7}); err != nil {
		t.Fatal(err)
	}
	p, err := s.provider()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Fetch(t.Context()); !errors.Is(err, secretsauth.ErrNotFound) || !strings.Contains(err.Error(), "restore-secret") {
		t.Errorf("scheduled for deletion: %v", err)
	}
}

// TestVersionsOfAzure reads versions by their ids, and one that is disabled.
func TestVersionsOfAzure(t *testing.T) {
	s := inKeyVault(t, keyVault)
	first, second := s.vault.Put(s.name, "first"), s.vault.Put(s.name, "second")
	s.vault.Put(s.name, "third")
	s.vault.SetAttributes(s.name, devstack.Attributes{Enabled: false})
	for _, test := range []struct {
		name, secret, version string
		want                  string
		kind                  error
	}{
		{"first", s.name, first, "first", nil},
		{"second", s.name, second, "second", nil},
		{"the latest, which is disabled", s.name, "", "", secretsauth.ErrDenied},
		{"a version that is not there", s.name, strings.Repeat("0", 32), "", secretsauth.ErrNotFound},
		{"a version of another secret", "mlflow-other", first, "", secretsauth.ErrNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := s.config()
			cfg.SecretName, cfg.SecretVersion = test.secret, test.version
			p, err := azure.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Fetch(t.Context())
			if !errors.Is(err, test.kind) {
				t.Fatalf("%v, want %v", err, test.kind)
			}
			if token, _ := got.Token(); token != test.want {
				t.Error("not the version that was asked for")
			}
		})
	}
}
