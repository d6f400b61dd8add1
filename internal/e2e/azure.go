//go:build e2e

package e2e

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

// userAssigned is the client id of a managed identity, which AZURE_CLIENT_ID
// picks. Without it the system-assigned one logs in.
const userAssigned = "5e29463d-71da-4fe0-8e69-999b57db23b0"

// startKeyVault puts into the environment, where Azure's SDK looks for it, the
// managed identity to read with, and nothing else of Azure's.
func startKeyVault() (*devstack.KeyVault, error) {
	header := canary.New()
	v, err := devstack.StartKeyVault(header, userAssigned)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"IDENTITY_ENDPOINT": v.IdentityEndpoint(), "IDENTITY_HEADER": header, "IDENTITY_SERVER_THUMBPRINT": "",
		"AZURE_TENANT_ID": "", "AZURE_CLIENT_ID": "", "AZURE_AUTHORITY_HOST": "", "AZURE_TOKEN_CREDENTIALS": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// azureSecret is one secret in the stand-in for Key Vault.
type azureSecret struct {
	t     *testing.T
	vault *devstack.KeyVault
	name  string
}

// inKeyVault is a secret with a name of its own.
func inKeyVault(t *testing.T, v *devstack.KeyVault) azureSecret {
	return azureSecret{t: t, vault: v, name: "mlflow-" + strings.ToLower(rand.Text())}
}

func (s azureSecret) put(fields map[string]string) {
	s.t.Helper()
	text, err := json.Marshal(fields)
	if err != nil {
		s.t.Fatal(err)
	}
	s.vault.Put(s.name, string(text))
}

func (s azureSecret) config() azure.Config {
	return azure.Config{VaultURL: s.vault.URL(), SecretName: s.name}
}

func (s azureSecret) provider() (secretsauth.Provider, error) { return azure.New(s.config()) }

func (s azureSecret) environ() map[string]string {
	return map[string]string{
		"MLFLOW_SECRETS_AUTH_ENABLE": "azure-key-vault",
		"MLFLOW_AZURE_KEY_VAULT_URL": s.vault.URL(),
		"MLFLOW_AZURE_SECRET_NAME":   s.name,
	}
}
