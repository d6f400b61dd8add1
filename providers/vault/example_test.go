package vault_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

func ExampleNew() {
	server, err := devstack.StartVault("s.token") // a stand-in
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Write("mlflow/auth", map[string]string{"username": "alice", "password": "correct horse"})

	store, err := vault.New(vault.Config{
		Address:    server.URL(), // https://vault.company.com
		SecretPath: "secret/mlflow/auth",
		Token:      "s.token", // or RoleID and SecretID, or KubernetesRole
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

// All that is wrong is said at once, before anything is sent.
func ExampleNew_incomplete() {
	_, err := vault.New(vault.Config{Address: "https://vault.company.com", Token: "s.token"})
	fmt.Println(errors.Is(err, secretsauth.ErrConfig))
	fmt.Println(err)
	// Output:
	// true
	// vault: MLFLOW_VAULT_SECRET_PATH (Config.SecretPath) is not set; fix: export MLFLOW_VAULT_SECRET_PATH=secret/mlflow/auth, the path that `vault kv get` takes
}
