// Command quickstart lists experiments with the credential that the environment
// names. It is the program of the README.
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

func main() {
	rt, err := providers.TransportFromEnv(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: rt}
	resp, err := client.Get(os.Getenv("MLFLOW_TRACKING_URI") + "/api/2.0/mlflow/experiments/search?max_results=5")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(os.Stdout, resp.Body)
}
