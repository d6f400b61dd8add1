package cli_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// asksMLflow makes a process of this test a program that asks MLflow, as a client
// would: once for each line of its input, and it tells the answer.
const asksMLflow = "-test.run=^TestAsksMLflow$"

func TestAsksMLflow(t *testing.T) {
	if !slices.Equal(os.Args[1:], []string{asksMLflow}) {
		t.Skip("a program for the test below")
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, os.Getenv("MLFLOW_TRACKING_URI")+"/api/2.0/mlflow/experiments/search?max_results=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+os.Getenv("MLFLOW_TRACKING_TOKEN"))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		_, _ = os.Stdout.WriteString(resp.Status + "\n")
	}
	_, _ = os.Stdout.WriteString(strings.Join(os.Environ(), "\n") + "\n")
	os.Exit(9)
}

// The program behind exec's proxy lives through a rotation and never holds a
// credential; what it does hold is worth nothing afterwards.
func TestExecWithProxy(t *testing.T) {
	t.Parallel()
	s := newStack(t)

	cmd := exec.Command("mlflow-secrets-auth", "exec", "--proxy", "--", os.Args[0], asksMLflow)
	cmd.Env = append(append(os.Environ(), s.environ()...), "HOME="+t.TempDir(), "TMPDIR="+t.TempDir(), "GORACE=atexit_sleep_ms=0",
		"MLFLOW_TRACKING_URI="+s.server.URL(), "MLFLOW_REGISTRY_URI="+s.server.URL()+"/",
		"MLFLOW_TRACKING_USERNAME=old", "MLFLOW_TRACKING_PASSWORD=old",
		"HTTP_PROXY=http://127.0.0.1:1", "NO_PROXY=vault.company.com")
	var log strings.Builder
	cmd.Stderr = &log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewReader(out)
	ask := func() {
		t.Helper()
		_, _ = io.WriteString(in, "ask\n")
		if answer, err := lines.ReadString('\n'); answer != "200 OK\n" {
			t.Fatalf("the program says %q, %v\n%s", answer, err, &log)
		}
	}
	ask()
	s.rotate()
	ask()
	_ = in.Close()
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 9 {
		t.Errorf("exit %d, want the program's 9\n%s", code, &log)
	}

	environ := map[string]string{}
	for line := range strings.Lines(string(rest)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		environ[name] = value
	}
	address, token := environ["MLFLOW_TRACKING_URI"], environ["MLFLOW_TRACKING_TOKEN"]
	if !strings.HasPrefix(address, "http://127.0.0.1:") || address == s.server.URL() || environ["MLFLOW_REGISTRY_URI"] != address {
		t.Errorf("the program is sent to %q, and for models to %q", address, environ["MLFLOW_REGISTRY_URI"])
	}
	if environ["NO_PROXY"] != "vault.company.com,127.0.0.1" {
		t.Errorf("NO_PROXY is %q", environ["NO_PROXY"])
	}
	if token == "" || strings.Contains(log.String(), token) {
		t.Errorf("the client token is %q, and the log\n%s", token, &log)
	}
	for _, name := range []string{"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "VAULT_TOKEN"} {
		if value, held := environ[name]; held {
			t.Errorf("the program has %s=%s", name, value)
		}
	}
	canary.Absent(t, "what the program and the log say", string(rest)+log.String(), s.secrets()...)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("the proxy is there after its program")
	}
}
