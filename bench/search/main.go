// Command search does what search.py does: it searches the experiments of a
// tracking server n times, with a credential from the environment's store, and
// prints when each search began and ended.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

func main() {
	log.SetFlags(0)
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	rt, err := providers.TransportFromEnv(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: rt}
	spans := make([][2]float64, n)
	for i := range spans {
		spans[i][0] = now()
		if err := search(client); err != nil {
			log.Fatal(err)
		}
		spans[i][1] = now()
	}
	if err := json.NewEncoder(os.Stdout).Encode(spans); err != nil {
		log.Fatal(err)
	}
}

func now() float64 { return float64(time.Now().UnixNano()) / 1e9 }

func search(client *http.Client) error {
	resp, err := client.Post(os.Getenv("MLFLOW_TRACKING_URI")+"/api/2.0/mlflow/experiments/search",
		"application/json", strings.NewReader(`{"max_results": 5}`))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	var found struct {
		Experiments []struct {
			ID   string `json:"experiment_id"`
			Name string `json:"name"`
		} `json:"experiments"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		return err
	}
	if len(found.Experiments) == 0 {
		return fmt.Errorf("no experiment was found")
	}
	return nil
}
