package cli_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mlflow-secrets-auth/secretsauth/internal/cli"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mlflow-secrets-auth": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		os.Exit(cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
	}})
}

// The scripts of testdata read like a session at a terminal. Each has a Vault and an
// MLflow server of its own, stand-ins both, and a canary for a password that no
// output may show.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			password, token := "pass-"+rand.Text(), "hvs."+rand.Text()
			store, err := devstack.StartVault(token)
			if err != nil {
				return err
			}
			env.Defer(store.Close)
			store.Write("mlflow/auth", map[string]string{"username": "trainer", "password": password})
			store.Write("mlflow/default", map[string]string{"username": "admin", "password": "password1234"})
			store.Write("mlflow/newline", map[string]string{"token": password + "\n"})
			store.Write("mlflow/incomplete", map[string]string{"username": "trainer"})
			store.Write("mlflow/token", map[string]string{"token": password})
			store.Write("mlflow/both", map[string]string{"token": password, "username": "trainer", "password": password})
			server, err := devstack.StartMLflow("trainer", password)
			if err != nil {
				return err
			}
			env.Defer(server.Close)
			silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Defer(func() { _ = silent.Close() })
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("SILENT", silent.Addr().String())
			env.Setenv("STORE", store.URL())
			env.Setenv("STORE_TOKEN", token)
			env.Setenv("SERVER", server.URL())
			env.Setenv("PASSWORD", password)
			env.Setenv("HOME", env.WorkDir) // without a ~/.vault-token
			env.Values["canaries"] = []string{password, token, "trainer:" + password}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"noleak": noLeak},
	})
}

// noLeak checks that what was printed last, and the given files, hold no secret, in
// no form.
func noLeak(ts *testscript.TestScript, _ bool, files []string) {
	texts := []string{ts.ReadFile("stdout"), ts.ReadFile("stderr")}
	for _, file := range files {
		texts = append(texts, ts.ReadFile(file))
	}
	canaries, _ := ts.Value("canaries").([]string)
	for _, text := range texts {
		for _, canary := range canaries {
			if form := leaked(text, canary); form != "" {
				ts.Fatalf("a secret is shown, %s", form)
			}
		}
	}
}

// leaked is the form in which text holds a secret, or "".
func leaked(text, secret string) string {
	forms := map[string]string{
		"as it is":       secret,
		"as base64":      base64.StdEncoding.EncodeToString([]byte(secret)),
		"as URL base64":  base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"as hex":         hex.EncodeToString([]byte(secret)),
		"escaped":        url.QueryEscape(secret),
		"quoted":         strings.Trim(fmt.Sprintf("%q", secret), `"`),
		"in part, begin": secret[:12],
		"in part, end":   secret[len(secret)-12:],
	}
	for name, form := range forms {
		if strings.Contains(text, form) {
			return name
		}
	}
	return ""
}

// The scripts of the troubleshooting guide are in the guide's words, but for the
// plugin's name.
func TestGuideScriptsAreTheGuides(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "guide.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"if ! mlflow-secrets-auth doctor > /dev/null 2>&1; then",
		"duration=$(( (end_time - start_time) / 1000000 ))  # milliseconds",
		`mlflow-secrets-auth doctor --dry-run "$STAGING_MLFLOW_URL"`,
		`case "$MLFLOW_SECRETS_AUTH_ENABLE" in`,
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("no line %q", line)
		}
	}
}

// stack is a store and a server, stand-ins both, and a password to rotate.
type stack struct {
	store                *devstack.Vault
	server               *devstack.MLflow
	token, first, second string
}

func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{token: "hvs." + rand.Text(), first: "pass-" + rand.Text(), second: "pass-" + rand.Text()}
	var err error
	if s.store, err = devstack.StartVault(s.token); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.store.Close)
	s.put(s.first)
	if s.server, err = devstack.StartMLflow("trainer", s.first); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.server.Close)
	return s
}

func (s *stack) put(password string) {
	s.store.Write("mlflow/auth", map[string]string{"username": "trainer", "password": password})
}

func (s *stack) rotate() {
	s.put(s.second)
	s.server.Rotate(s.second)
}

func (s *stack) environ() []string {
	return []string{
		"MLFLOW_SECRETS_AUTH_ENABLE=vault", "VAULT_ADDR=" + s.store.URL(), "VAULT_TOKEN=" + s.token,
		"MLFLOW_VAULT_SECRET_PATH=secret/mlflow/auth", "MLFLOW_SECRETS_ALLOWED_HOSTS=127.0.0.1",
	}
}

func (s *stack) secrets() []string { return []string{s.token, s.first, s.second} }
