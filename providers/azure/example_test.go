package azure_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

func ExampleNew() {
	server, err := devstack.StartKeyVault("header") // a stand-in, with a managed identity
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Put("mlflow-auth", `{"username": "alice", "password": "correct horse"}`)
	for name, value := range map[string]string{
		"IDENTITY_ENDPOINT":       server.IdentityEndpoint(), // Azure sets these itself
		"IDENTITY_HEADER":         "header",
		"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential", // without it: the first that gives a token
	} {
		os.Setenv(name, value)
		defer os.Unsetenv(name)
	}

	store, err := azure.New(azure.Config{
		VaultURL:   server.URL(), // https://my-vault.vault.azure.net
		SecretName: "mlflow-auth",
	})
	if err != nil {
		log.Fatal(err)
	}
	secret, err := store.Fetch(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	user, _, _ := secret.UserPassword()
	fmt.Println(user, secret)
	// Output: alice [REDACTED]
}
