package cli_test

import (
	"context"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/cli"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
)

func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{asksMLflow}) {
		os.Exit(m.Run()) // the program of TestExecWithProxy, which looks itself
	}
	testscript.Main(canary.Net(m), map[string]func(){"mlflow-secrets-auth": func() {
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
	testscript.RunT(quiet{t}, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			password, token := "pass-"+canary.New(), "hvs."+canary.New()
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
			store.WriteJSON("mlflow/gate", `{"token":"`+password+`","headers":{"X-Gate":"`+password+`","X-MLFLOW-WORKSPACE":"team-s"}}`)
			store.WriteJSON("mlflow/swapped", `{"headers":{"`+password+`":"X-Gate"}}`)
			store.WriteJSON("mlflow/alone", `{"headers":{"CF-Access-Client-Id":"id","CF-Access-Client-Secret":"`+password+`"}}`)
			store.Write("mlflow/flat", map[string]string{"api_key": password, "user": "trainer", "pass": password, "gate": password})
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
			env.Values["secrets"] = []string{password, token}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"noleak": noLeak},
	})
}

// quiet is a test whose scripts do not print their environment, with the secrets in
// it, under -v.
type quiet struct{ *testing.T }

func (quiet) Verbose() bool { return false }

func (q quiet) Run(name string, script func(testscript.T)) {
	q.T.Run(name, func(t *testing.T) { script(quiet{t}) })
}

// noLeak checks that what was printed last, and the given files, hold no secret, in
// no form.
func noLeak(ts *testscript.TestScript, _ bool, files []string) {
	texts := []string{ts.ReadFile("stdout"), ts.ReadFile("stderr")}
	for _, file := range files {
		texts = append(texts, ts.ReadFile(file))
	}
	secrets, _ := ts.Value("secrets").([]string)
	for _, text := range texts {
		canary.Keep("what a command prints", text)
		if canary.Shows(text, secrets...) {
			ts.Fatalf("a secret is shown")
		}
	}
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
	s := &stack{token: "hvs." + canary.New(), first: "pass-" + canary.New(), second: "pass-" + canary.New()}
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
