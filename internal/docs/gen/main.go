// Gen writes the generated parts of docs/. Run it in the module's directory:
//
//	go run ./internal/docs/gen
package main

import (
	"context"
	"log"
	"os"

	"github.com/mlflow-secrets-auth/secretsauth/internal/docs"
)

func main() {
	// They are defaults in the help of exec.
	for _, name := range []string{"MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH"} {
		_ = os.Unsetenv(name)
	}
	if err := docs.Write(context.Background(), "."); err != nil {
		log.Fatal(err)
	}
}
