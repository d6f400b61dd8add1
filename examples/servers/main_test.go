package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
)

func TestMain(m *testing.M) { os.Exit(canary.Net(m).Run()) }

var token, ofResearch, ofProduction = canary.New(), canary.New(), canary.New()

// tracking starts a server with a password of its own.
func tracking(t *testing.T, password string) *devstack.MLflow {
	t.Helper()
	server, err := devstack.StartMLflow("admin", password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

func TestEachServerGetsItsOwnCredential(t *testing.T) {
	store, err := devstack.StartVault(token)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	research, production := tracking(t, ofResearch), tracking(t, ofProduction)
	store.Write("research/mlflow", map[string]string{"username": "admin", "password": ofResearch})
	store.Write("production/mlflow", map[string]string{"username": "admin", "password": ofProduction})
	t.Setenv("VAULT_ADDR", store.URL())
	t.Setenv("VAULT_TOKEN", token)

	var out bytes.Buffer
	err = run(t.Context(), &out, []string{
		research.URL() + "=secret/research/mlflow",
		production.URL() + "=secret/production/mlflow",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s 200 OK\n%s 200 OK\n", research.URL(), production.URL())
	if out.String() != want {
		t.Errorf("it says\n%swant\n%s", &out, want)
	}
	if n := research.Refused() + production.Refused(); n > 0 {
		t.Errorf("%d requests were refused on the way", n)
	}
}

func TestNoServerGetsTheOthersCredential(t *testing.T) {
	t.Parallel()
	research, production := tracking(t, ofResearch), tracking(t, ofProduction)
	outsider, err := devstack.StartOutsider()
	if err != nil {
		t.Fatal(err)
	}
	defer outsider.Close()
	var all router
	for server, password := range map[*devstack.MLflow]string{research: ofResearch, production: ofProduction} {
		if err := all.add(server.URL(), secretsauth.Static(secretsauth.NewUserPassword("admin", password))); err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{Transport: &all}
	get := func(from, to string) int {
		resp, err := client.Get(from + "/moved?to=" + url.QueryEscape(to))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}

	// Both servers are on a list, each on its own: the redirect carries nothing.
	if status := get(research.URL(), production.URL()+"/version"); status != http.StatusUnauthorized {
		t.Errorf("redirected from one server to the other: %d", status)
	}
	if status := get(research.URL(), outsider.URL()); status != http.StatusOK {
		t.Errorf("redirected to an outsider: %d", status)
	}
	if resp, err := client.Get(outsider.URL()); err != nil {
		t.Error(err)
	} else {
		_ = resp.Body.Close()
	}
	if received := outsider.Received(); len(received) != 2 {
		t.Errorf("the outsider saw %d requests, want 2", len(received))
	}
	for _, got := range outsider.Received() {
		if got.Header.Get("Authorization") != "" {
			t.Error("the outsider got a credential")
		}
	}
}

func TestArgumentsThatAreNone(t *testing.T) {
	t.Parallel()
	if err := run(t.Context(), new(bytes.Buffer), []string{"https://mlflow.company.com"}); err == nil {
		t.Error("a server without a secret is accepted")
	}
}
