//go:build unix

package child_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/child"
)

func init() {
	// witness tells which signals it gets, until one of them is SIGTERM.
	parts["witness"] = func() {
		signals := make(chan os.Signal, 16)
		signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
			syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGWINCH, syscall.SIGXCPU)
		fmt.Println("ready")
		for s := range signals {
			fmt.Println(s)
			if s == syscall.SIGTERM {
				os.Exit(7)
			}
		}
	}
	parts["ignorant"] = func() { fmt.Println(signal.Ignored(syscall.SIGHUP)) }
	parts["victim"] = func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }
}

func TestSignalsReachTheChild(t *testing.T) {
	t.Parallel()
	cmd := program(t, "parent", "CHILD_TEST_CHILD=witness")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // without a terminal, wherever the tests run
	lines := start(t, cmd)
	if got := lines(); got != "ready" {
		t.Fatalf("the child says %q", got)
	}
	for _, s := range []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGWINCH, syscall.SIGXCPU, syscall.SIGTERM,
	} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if got := lines(); got != s.String() {
			t.Errorf("sent %q, the child got %q", s, got)
		}
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit %d, want the child's 7", code)
	}
}

func TestAChildThatIsKilled(t *testing.T) {
	t.Parallel()
	code, err := child.Run(t.Context(), program(t, "victim"))
	if code != 128+9 || err != nil {
		t.Errorf("exit %d, %v, want 137", code, err)
	}
}

// nohup has a program ignore SIGHUP, which is for its child, too.
func TestWhatIsIgnoredStaysIgnored(t *testing.T) {
	t.Parallel()
	for trap, want := range map[string]string{"trap '' HUP; ": "true", "": "false"} {
		direct := program(t, "parent", "CHILD_TEST_CHILD=ignorant")
		cmd := exec.Command("sh", "-c", trap+`exec "$0"`, direct.Path)
		cmd.Env, cmd.Stderr = direct.Env, os.Stderr
		if got := start(t, cmd)(); got != want {
			t.Errorf("%sthe child ignores it: %s, want %s", trap, got, want)
		}
		_ = cmd.Wait()
	}
}

// Ctrl-C goes to the child and to us, the terminal sees to that; from us it does not
// come a second time.
func TestCtrlCReachesTheChildOnce(t *testing.T) {
	t.Parallel()
	keyboard, terminal := openTerminal(t)
	cmd := program(t, "parent", "CHILD_TEST_CHILD=witness")
	cmd.Stdin = terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	lines := start(t, cmd)
	if got := lines(); got != "ready" {
		t.Fatalf("the child says %q", got)
	}
	// Two of a kind may come as one, so a few tries would prove little.
	const times = 200
	got := map[string]int{}
	for range times {
		if _, err := keyboard.Write([]byte{3}); err != nil {
			t.Fatal(err)
		}
		got[lines()]++
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	for line := lines(); line != ""; line = lines() {
		got[line]++
	}
	if got["interrupt"] != times || got["terminated"] != 1 {
		t.Errorf("the child got %v, want %d interrupts", got, times)
	}
	_ = cmd.Wait()
}
