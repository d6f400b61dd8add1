// Command direct reads the secret once, without a transport or a cache.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

func main() {
	cfg, err := vault.ConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	store, err := vault.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	secret, err := store.Fetch(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	username, password, ok := secret.UserPassword()
	fmt.Println("username:", username, "password set:", ok && password != "")
	fmt.Println(secret) // [REDACTED]
}
