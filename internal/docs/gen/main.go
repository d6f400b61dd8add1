// Gen writes the generated parts of docs/. Run it in the module's directory:
//
//	go run ./internal/docs/gen
package main

import (
	"context"
	"log"

	"github.com/mlflow-secrets-auth/secretsauth/internal/docs"
)

func main() {
	if err := docs.Write(context.Background(), "."); err != nil {
		log.Fatal(err)
	}
}
