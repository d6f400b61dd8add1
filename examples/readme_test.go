// Package examples holds programs to run and to copy from; here it is seen to
// that the README shows the same.
package examples

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
)

// Every block of Go in the README is a part of one of the programs, which
// compile.
func TestReadmeShowsThePrograms(t *testing.T) {
	t.Parallel()
	readme := read(t, "../README.md")
	files, err := filepath.Glob("*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	for _, block := range goBlocks(readme) {
		found := false
		for _, file := range files {
			if strings.Contains(read(t, file), block) {
				found, shown[filepath.Dir(file)] = true, true
			}
		}
		if !found {
			t.Errorf("the README shows Go that is in none of the programs:\n%s", block)
		}
	}
	for _, dir := range []string{"quickstart", "wrap", "direct"} {
		if !shown[dir] {
			t.Errorf("the README does not show examples/%s", dir)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func goBlocks(markdown string) []string {
	var blocks []string
	for _, part := range strings.Split(markdown, "```go\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		blocks = append(blocks, block)
	}
	return blocks
}

// The first block is a whole program; pasted, it lists the experiments.
func TestReadmeProgramWorks(t *testing.T) {
	t.Parallel()
	store, err := devstack.StartVault("s.token")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	server, err := devstack.StartMLflow("admin", "its-password")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	store.Write("mlflow/auth", map[string]string{"username": "admin", "password": "its-password"})

	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(goBlocks(read(t, "../README.md"))[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := program(t, file,
		"MLFLOW_TRACKING_URI="+server.URL(),
		"MLFLOW_SECRETS_ALLOWED_HOSTS=127.0.0.1",
		"MLFLOW_SECRETS_AUTH_ENABLE=vault",
		"VAULT_ADDR="+store.URL(),
		"VAULT_TOKEN=s.token",
		"MLFLOW_VAULT_SECRET_PATH=secret/mlflow/auth",
	)
	if err != nil || !strings.Contains(out, `{"experiments":[]}`) {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Contains(out, "its-password") {
		t.Errorf("it shows the password:\n%s", out)
	}
}
