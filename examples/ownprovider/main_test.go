package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/providers/providertest"
)

func TestMain(m *testing.M) { os.Exit(canary.Net(m).Run()) }

var serviceToken, password = canary.New(), canary.New()

// standin is the service.
type standin struct {
	mu     sync.Mutex
	value  string
	denied bool
}

func (s *standin) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.denied || req.Header.Get("Authorization") != "Bearer "+serviceToken:
		w.WriteHeader(http.StatusForbidden)
	case s.value == "":
		w.WriteHeader(http.StatusNotFound)
	default:
		_, _ = w.Write([]byte(s.value))
	}
}

func (s *standin) put(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = value
}

func start(t *testing.T) (*standin, string) {
	s := &standin{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL + "/mlflow"
}

// The whole of what a provider's author has to show.
func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, func(t *testing.T, client *http.Client) providertest.Fixture {
		s, url := start(t)
		return providertest.Fixture{
			Provider: newService(url, serviceToken, client),
			PutFields: func(fields map[string]string) {
				text, err := json.Marshal(fields)
				if err != nil {
					t.Fatal(err)
				}
				s.put(string(text))
			},
			PutText: s.put,
			Deny: func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.denied = true
			},
		}
	})
}

func TestRun(t *testing.T) {
	server, err := devstack.StartMLflow("admin", password)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s, url := start(t)
	for name, value := range map[string]string{
		"SERVICE_URL": url, "SERVICE_TOKEN": serviceToken, "MLFLOW_TRACKING_URI": server.URL(),
		"MLFLOW_SECRETS_ALLOWED_HOSTS": "127.0.0.1", "MLFLOW_SECRETS_LOG_LEVEL": "ERROR",
	} {
		t.Setenv(name, value)
	}

	var out bytes.Buffer
	if err := run(t.Context(), &out); !errors.Is(err, secretsauth.ErrNotFound) {
		t.Errorf("before the secret is stored: %v", err)
	}
	s.put("admin:" + password)
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(out.String()); got != "200 OK" {
		t.Errorf("it says %q", got)
	}
}
