// Command wrap gives the credential to an HTTP client that a program has already,
// whatever else that client's transport does.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

func main() {
	client := &http.Client{Timeout: 30 * time.Second} // the one you have
	if err := equip(client); err != nil {
		log.Fatal(err)
	}
	resp, err := client.Get(os.Getenv("MLFLOW_TRACKING_URI") + "/api/2.0/mlflow/experiments/search?max_results=5")
	if err != nil {
		log.Fatal(err)
	}
	_ = resp.Body.Close()
	fmt.Println(resp.Status)
}

func equip(client *http.Client) error {
	store, err := vault.New(vault.Config{
		Address:    "https://vault.company.com",
		SecretPath: "secret/mlflow/auth",
		RoleID:     os.Getenv("VAULT_ROLE_ID"),
		SecretID:   os.Getenv("VAULT_SECRET_ID"),
	})
	if err != nil {
		return err
	}
	rt, err := secretsauth.NewTransport(store, secretsauth.Config{
		AllowedHosts: []string{"mlflow.company.com"},
		Base:         client.Transport,
	})
	if err != nil {
		return err
	}
	client.Transport = rt
	return rt.Warm(context.Background()) // fail now, not at the first request
}
