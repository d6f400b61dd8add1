package child_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/child"
)

// The tests' programs are this one, told by a variable which part to play.
const part = "CHILD_TEST_PART"

var parts = map[string]func(){
	// parent is a process that is there for its child, as exec is.
	"parent": func() {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), part+"="+os.Getenv("CHILD_TEST_CHILD"))
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		code, err := child.Run(context.Background(), cmd)
		if err != nil {
			panic(err)
		}
		os.Exit(code)
	},
	"exit": func() {
		code, _ := strconv.Atoi(os.Getenv("CHILD_TEST_CODE"))
		os.Exit(code)
	},
	"echo": func() { _, _ = io.Copy(os.Stdout, os.Stdin) },
}

func TestMain(m *testing.M) {
	if play, ok := parts[os.Getenv(part)]; ok {
		play()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program is this program in another part.
func program(t *testing.T, name string, variables ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), append(variables, part+"="+name, "GORACE=atexit_sleep_ms=0")...)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestTheExitCodeIsTheChilds(t *testing.T) {
	t.Parallel()
	for _, want := range []int{0, 1, 2, 77, 125, 255} {
		code, err := child.Run(t.Context(), program(t, "exit", "CHILD_TEST_CODE="+strconv.Itoa(want)))
		if code != want || err != nil {
			t.Errorf("exit %d, %v, want %d", code, err, want)
		}
	}
}

func TestTheStreamsAreTheChilds(t *testing.T) {
	t.Parallel()
	cmd := program(t, "parent", "CHILD_TEST_CHILD=echo")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	lines := start(t, cmd)
	for _, want := range []string{"one", "two"} {
		_, _ = io.WriteString(in, want+"\n")
		if got := lines(); got != want {
			t.Errorf("%q came back as %q", want, got)
		}
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	tests := map[string]struct {
		ctx  context.Context
		name string
		code int
	}{
		"not in PATH":        {t.Context(), "mlflow-secrets-auth-no-such-program", child.NotFound},
		"no such file":       {t.Context(), filepath.Join(dir, "none"), child.NotFound},
		"not a program":      {t.Context(), text, child.NoProgram},
		"a folder":           {t.Context(), dir, child.NoProgram},
		"stopped beforehand": {ended, os.Args[0], child.Failed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, err := child.Run(test.ctx, exec.Command(test.name))
			if code != test.code || err == nil {
				t.Errorf("exit %d, %v, want %d", code, err, test.code)
			}
			if test.code == child.Failed && !errors.Is(err, context.Canceled) {
				t.Errorf("%v is not the context's", err)
			}
		})
	}
}

// start runs cmd and returns its output line by line, "" at the end.
func start(t *testing.T, cmd *exec.Cmd) (next func() string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	return func() string {
		lines.Scan()
		return lines.Text()
	}
}
