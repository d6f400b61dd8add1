package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
)

func TestMain(m *testing.M) { os.Exit(canary.Net(m).Run()) }

// counted is what the program tells about itself.
type counted struct {
	Reads, Retries, Rejections, Withheld uint64
	Failing                              bool    `json:"store_failing"`
	Age                                  float64 `json:"age_seconds"`
}

func TestRun(t *testing.T) {
	first, next, token := canary.New(), canary.New(), canary.New()
	store, err := devstack.StartVault(token)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	server, err := devstack.StartMLflow("admin", first)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	store.Write("mlflow/auth", map[string]string{"username": "admin", "password": first})
	for name, value := range map[string]string{
		"MLFLOW_TRACKING_URI": server.URL(), "MLFLOW_SECRETS_ALLOWED_HOSTS": "127.0.0.1", "MLFLOW_SECRETS_AUTH_ENABLE": "vault",
		"VAULT_ADDR": store.URL(), "VAULT_TOKEN": token, "MLFLOW_VAULT_SECRET_PATH": "secret/mlflow/auth",
	} {
		t.Setenv(name, value)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log canary.Journal
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, listener, 10*time.Millisecond, log.Logger())
	}()

	vars := "http://" + listener.Addr().String() + "/debug/vars"
	host := strings.TrimPrefix(server.URL(), "http://")
	wait(t, vars, host, func(c counted) bool { return c.Reads == 1 && c.Age > 0 })
	store.Write("mlflow/auth", map[string]string{"username": "admin", "password": next})
	server.Rotate(next)
	got := wait(t, vars, host, func(c counted) bool { return c.Retries == 1 })
	if got.Rejections != 1 || got.Reads != 2 || got.Withheld != 0 || got.Failing {
		t.Errorf("after a rotation: %+v", got)
	}

	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, line := range []string{
		"Secret fetched successfully (provider=vault, cache_hit=false)",
		"Authentication successful (provider=vault, auth_mode=basic)",
		"Cache hit for key: vault:" + store.URL() + ":secret/mlflow/auth",
		"Credential rejected by the server: 401 Unauthorized (provider=vault)",
	} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log lacks %q", line)
		}
	}
	canary.Absent(t, "the log", log.String(), first, next, token)
}

// wait looks at the counts until they are as they should be.
func wait(t *testing.T, vars, host string, good func(counted) bool) counted {
	t.Helper()
	var all struct {
		Credentials map[string]counted `json:"mlflow_credentials"`
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get(vars)
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(resp.Body).Decode(&all)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if good(all.Credentials[host]) {
			return all.Credentials[host]
		}
	}
	t.Fatalf("the counts stay %+v", all.Credentials[host])
	return counted{}
}
