// Command ownprovider takes the credential from a store that this module does not
// know. The provider is in service.go; main_test.go holds it to the contract.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	cfg, err := secretsauth.ConfigFromEnv() // the allow-list, the log level and the like
	if err != nil {
		return err
	}
	store := newService(os.Getenv("SERVICE_URL"), os.Getenv("SERVICE_TOKEN"), &http.Client{Timeout: 5 * time.Second})
	rt, err := secretsauth.NewTransport(store, cfg)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: rt, Timeout: 30 * time.Second}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		os.Getenv("MLFLOW_TRACKING_URI")+"/api/2.0/mlflow/experiments/search?max_results=5", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = fmt.Fprintln(out, resp.Status)
	return err
}
