package devstack_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

func startVault(t *testing.T) *devstack.Vault {
	t.Helper()
	v, err := devstack.StartVault("s.token")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	v.Write("mlflow/auth", map[string]string{"token": "first"})
	v.Write("mlflow/auth", map[string]string{"token": "second"})
	return v
}

// The provider, which is tested against the real server, has to find its way.
func TestVaultIsEnoughForTheProvider(t *testing.T) {
	t.Parallel()
	v := startVault(t)
	tests := map[string]struct {
		cfg  vault.Config
		want string
		err  error
	}{
		"latest":      {cfg: vault.Config{SecretPath: "secret/mlflow/auth", Token: "s.token"}, want: "second"},
		"pinned":      {cfg: vault.Config{SecretPath: "secret/mlflow/auth", Token: "s.token", SecretVersion: 1}, want: "first"},
		"version":     {cfg: vault.Config{SecretPath: "secret/mlflow/auth", Token: "s.token", SecretVersion: 9}, err: secretsauth.ErrNotFound},
		"wrong path":  {cfg: vault.Config{SecretPath: "secret/wrong/path", Token: "s.token"}, err: secretsauth.ErrNotFound},
		"wrong token": {cfg: vault.Config{SecretPath: "secret/mlflow/auth", Token: "s.other"}, err: secretsauth.ErrDenied},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.cfg.Address = v.URL()
			p, err := vault.New(test.cfg)
			if err != nil {
				t.Fatal(err)
			}
			secret, err := p.Fetch(context.Background())
			if !errors.Is(err, test.err) {
				t.Fatalf("err = %v, want %v", err, test.err)
			}
			if token, _ := secret.Token(); token != test.want {
				t.Errorf("token = %q, want %q", token, test.want)
			}
		})
	}
}

// The answers are those of MLflow 3.17.2, where they were copied from.
func TestMLflowAnswers(t *testing.T) {
	t.Parallel()
	m, err := devstack.StartMLflow("admin", "right")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	const api = "/api/2.0/mlflow"
	tests := []struct {
		name, method, path, password, body string
		status                             int
		want                               string
	}{
		{"health is open", http.MethodGet, "/health", "", "", 200, "OK"},
		{"no password", http.MethodGet, api + "/experiments/search", "", "", 401, "You are not authenticated. Please see https://www.mlflow.org/"},
		{"wrong password", http.MethodPost, api + "/runs/create", "wrong", "{}", 401, "You are not authenticated."},
		{"nothing yet", http.MethodGet, api + "/experiments/search", "right", "", 200, `{"experiments":[]}`},
		{"name missing", http.MethodPost, api + "/experiments/create", "right", "{}", 400, "Missing value for required parameter 'name'"},
		{"experiment", http.MethodPost, api + "/experiments/create", "right", `{"name":"demo"}`, 200, `{"experiment_id":"1"}`},
		{"experiment again", http.MethodPost, api + "/experiments/create", "right", `{"name":"demo"}`, 400, "RESOURCE_ALREADY_EXISTS"},
		{"search", http.MethodPost, api + "/experiments/search", "right", "{}", 200, `"name":"demo"`},
		{"no such experiment", http.MethodPost, api + "/runs/create", "right", `{"experiment_id":"77"}`, 404, "No Experiment with id=77 exists"},
		{"run", http.MethodPost, api + "/runs/create", "right", `{"experiment_id":"1","run_name":"r"}`, 200, `"status":"RUNNING"`},
		{"no such run", http.MethodGet, api + "/runs/get?run_id=nope", "right", "", 404, "Run with id=nope not found"},
		{"no JSON", http.MethodPost, api + "/runs/update", "right", "nonsense", 400, "BAD_REQUEST"},
		{"no such endpoint", http.MethodGet, api + "/nonsense", "right", "", 404, "not found"},
	}
	for _, test := range tests { // in this order: the later ones build on the earlier
		status, header, body := call(t, test.method, m.URL()+test.path, test.password, test.body)
		if status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %q, want %d and %q", test.name, status, body, test.status, test.want)
		}
		if challenge := header.Get("WWW-Authenticate"); (status == 401) != (challenge == `Basic realm="mlflow"`) {
			t.Errorf("%s: WWW-Authenticate %q with status %d", test.name, challenge, status)
		}
	}
	if m.Refused() != 2 {
		t.Errorf("refused %d, want 2", m.Refused())
	}

	m.Rotate("new")
	if status, _, _ := call(t, http.MethodGet, m.URL()+api+"/experiments/search", "right", ""); status != 401 {
		t.Errorf("the old password gives %d after a rotation", status)
	}
	if status, _, _ := call(t, http.MethodGet, m.URL()+api+"/experiments/search", "new", ""); status != 200 {
		t.Errorf("the new password gives %d after a rotation", status)
	}
}

func call(t *testing.T, method, url, password, body string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if password != "" {
		req.SetBasicAuth("admin", password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(answer)
}
