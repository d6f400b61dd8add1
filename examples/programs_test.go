package examples

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
)

// program runs one of the programs as a user does, with no more of the stores'
// variables than it is given.
func program(t *testing.T, file string, environ ...string) (output string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "run", file) // here, so that this module is used
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); !strings.HasPrefix(name, "VAULT_") && !strings.HasPrefix(name, "MLFLOW_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(cmd.Env, environ...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestDirectReadsTheSecret(t *testing.T) {
	t.Parallel()
	store, err := devstack.StartVault("s.token")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	store.Write("mlflow/auth", map[string]string{"username": "alice", "password": "its-password"})
	out, err := program(t, "./direct", "VAULT_ADDR="+store.URL(), "VAULT_TOKEN=s.token", "MLFLOW_VAULT_SECRET_PATH=secret/mlflow/auth")
	if want := "username: alice password set: true\n[REDACTED]\n"; err != nil || out != want {
		t.Errorf("%v\n%swant\n%s", err, out, want)
	}
}
