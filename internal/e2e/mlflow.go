//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// mlflowServer is "mlflow server --app-name basic-auth".
type mlflowServer struct {
	url     string
	admin   *client
	process *process
}

const adminName = "admin"

func startMLflow(dir string) (*mlflowServer, error) {
	m := &mlflowServer{}
	password := canary.New()
	err := onFreePort(func(port string) error {
		m.url = "http://127.0.0.1:" + port
		cmd := exec.Command(bin("mlflow", "mlflow"), "server", "--app-name", "basic-auth", "--workers", "1",
			"--host", "127.0.0.1", "--port", port,
			"--backend-store-uri", "sqlite:///"+filepath.Join(dir, "mlflow.db"),
			"--artifacts-destination", filepath.Join(dir, "artifacts"))
		cmd.Dir = dir // basic_auth.db goes there
		cmd.Env = append(os.Environ(),
			"PATH="+filepath.Dir(bin("mlflow", "mlflow"))+":"+os.Getenv("PATH"),
			"MLFLOW_FLASK_SERVER_SECRET_KEY="+canary.New(),
			"MLFLOW_AUTH_ADMIN_PASSWORD="+password,
			"MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true")
		var err error
		m.process, err = start(filepath.Join(dir, "log"), cmd, answers(m.url+"/health", http.StatusOK))
		return err
	})
	if err != nil {
		return nil, err
	}
	m.admin = &client{base: m.url, http: &http.Client{Transport: basic{adminName, password}}}
	return m, nil
}

// basic is a client of plain means: a fixed password.
type basic struct{ user, password string }

func (b basic) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.SetBasicAuth(b.user, b.password)
	return http.DefaultTransport.RoundTrip(req)
}

// createUser makes a user with a random name.
func (m *mlflowServer) createUser(password string) (name string, err error) {
	name = "user-" + strings.ToLower(rand.Text()[:12])
	return name, m.admin.call(context.Background(), http.MethodPost, "users/create",
		map[string]string{"username": name, "password": password}, nil)
}

func (m *mlflowServer) setPassword(user, password string) error {
	return m.admin.call(context.Background(), http.MethodPatch, "users/update-password",
		map[string]string{"username": user, "password": password}, nil)
}

// client is a Go program of a user's: net/http and MLflow's REST API.
type client struct {
	base string
	http *http.Client
	// retried counts what MLflow answered 500 and was asked once more, as MLflow's
	// own clients do: it looks the password up several times in one request, and
	// falls over its own 401 if the password changes in between
	// (mlflow/server/auth, authenticate_request().username).
	retried atomic.Int64
}

// statusError is an answer other than 200.
type statusError int

func (s statusError) Error() string {
	return fmt.Sprintf("status %d %s", int(s), http.StatusText(int(s)))
}

func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	text, err := c.send(ctx, method, "/api/2.0/mlflow/"+path, body)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// send has a body that can be sent again: net/http sets GetBody for it.
func (c *client) send(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	text, err := c.sendOnce(ctx, method, path, body)
	if errors.Is(err, statusError(http.StatusInternalServerError)) {
		c.retried.Add(1)
		text, err = c.sendOnce(ctx, method, path, body)
	}
	return text, err
}

func (c *client) sendOnce(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusBadRequest {
		err = errors.Join(err, fmt.Errorf("it says %.300q", text))
	}
	if resp.StatusCode != http.StatusOK {
		return text, errors.Join(statusError(resp.StatusCode), err)
	}
	return text, err
}

func (c *client) createExperiment(ctx context.Context) (id string, err error) {
	var out struct {
		ID string `json:"experiment_id"`
	}
	err = c.call(ctx, http.MethodPost, "experiments/create", map[string]string{"name": "e2e-" + rand.Text()}, &out)
	return out.ID, err
}

func (c *client) createRun(ctx context.Context, experiment string) (id string, err error) {
	var out struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	err = c.call(ctx, http.MethodPost, "runs/create", map[string]string{"experiment_id": experiment}, &out)
	return out.Run.Info.ID, err
}

type metric struct {
	Key       string  `json:"key"`
	Value     float64 `json:"value"`
	Timestamp int64   `json:"timestamp"`
	Step      int     `json:"step"`
}

type param struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (c *client) logBatch(ctx context.Context, run string, metrics []metric, params []param) error {
	return c.call(ctx, http.MethodPost, "runs/log-batch", map[string]any{"run_id": run, "metrics": metrics, "params": params}, nil)
}

// search is the cheapest call that needs a password.
func (c *client) search(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "experiments/search", map[string]int{"max_results": 1}, nil)
}

// history counts the values of a metric.
func (c *client) history(ctx context.Context, run, key string) (int, error) {
	var out struct {
		Metrics []metric `json:"metrics"`
	}
	err := c.call(ctx, http.MethodGet, "metrics/get-history?run_id="+run+"&metric_key="+key+"&max_results=25000", nil, &out)
	return len(out.Metrics), err
}

func artifact(experiment, run, name string) string {
	return "/api/2.0/mlflow-artifacts/artifacts/" + experiment + "/" + run + "/artifacts/" + name
}
