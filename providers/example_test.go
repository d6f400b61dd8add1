package providers_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// A read of the store, without a cache. The servers of these examples are
// stand-ins.
func ExampleFromEnv() {
	store, err := devstack.StartVault("s.token")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	store.Write("mlflow/auth", map[string]string{"username": "alice", "password": "correct horse"})
	for name, value := range map[string]string{
		"MLFLOW_SECRETS_AUTH_ENABLE": "vault",
		"VAULT_ADDR":                 store.URL(),
		"VAULT_TOKEN":                "s.token",
		"MLFLOW_VAULT_SECRET_PATH":   "secret/mlflow/auth",
	} {
		os.Setenv(name, value)
		defer os.Unsetenv(name)
	}

	p, err := providers.FromEnv(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	secret, err := p.Fetch(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	user, _, _ := secret.UserPassword()
	fmt.Println(p.Name(), user, secret)
	// Output: vault alice [REDACTED]
}

// Which of the stores that are enabled can be used, and why another cannot.
func ExampleEachFromEnv() {
	for name, value := range map[string]string{
		"MLFLOW_SECRETS_AUTH_ENABLE": "vault, azure-key-vault",
		"VAULT_ADDR":                 "https://vault.company.com",
		"VAULT_TOKEN":                "s.token",
		"MLFLOW_VAULT_SECRET_PATH":   "secret/mlflow/auth",
		"MLFLOW_AZURE_KEY_VAULT_URL": "https://my-vault.vault.azure.net",
	} {
		os.Setenv(name, value)
		defer os.Unsetenv(name)
	}

	each, err := providers.EachFromEnv(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range each {
		fmt.Println(e.Name, e.Err)
	}
	// Output:
	// vault <nil>
	// azure-key-vault azure-key-vault: MLFLOW_AZURE_SECRET_NAME (Config.SecretName) is not set; fix: export MLFLOW_AZURE_SECRET_NAME=mlflow-auth
}

// All that a program needs which leaves its settings to the environment.
func ExampleTransportFromEnv() {
	server, err := devstack.StartMLflow("alice", "correct horse")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	store, err := devstack.StartVault("s.token")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	store.Write("mlflow/auth", map[string]string{"username": "alice", "password": "correct horse"})
	for name, value := range map[string]string{
		"MLFLOW_TRACKING_URI":          server.URL(),
		"MLFLOW_SECRETS_ALLOWED_HOSTS": "127.0.0.1",
		"MLFLOW_SECRETS_LOG_LEVEL":     "ERROR",
		"MLFLOW_SECRETS_AUTH_ENABLE":   "vault",
		"VAULT_ADDR":                   store.URL(),
		"VAULT_TOKEN":                  "s.token",
		"MLFLOW_VAULT_SECRET_PATH":     "secret/mlflow/auth",
	} {
		os.Setenv(name, value)
		defer os.Unsetenv(name)
	}

	rt, err := providers.TransportFromEnv(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: rt}
	resp, err := client.Get(os.Getenv("MLFLOW_TRACKING_URI") + "/api/2.0/mlflow/experiments/search?max_results=5")
	if err != nil {
		log.Fatal(err)
	}
	_ = resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

func ExampleNames() {
	fmt.Println(providers.Names())
	// Output: [vault aws-secrets-manager azure-key-vault]
}
