//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program is the command, built for these tests.
var program string

func buildProgram(dir string) error {
	program = filepath.Join(dir, "mlflow-secrets-auth")
	out, err := exec.Command("go", "build", "-o", program, "../../cmd/mlflow-secrets-auth").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	return nil
}

// machine is what a process finds where it runs, before its user sets anything: the
// keys that moto takes and the managed identity of the stand-in for Azure, and no
// other login.
func machine(t *testing.T) map[string]string {
	return map[string]string{
		"PATH": "/usr/bin:/bin", "HOME": t.TempDir(),
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
	}
}

// logins are the machine's own.
func logins() map[string]string {
	all := map[string]string{}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "IDENTITY_ENDPOINT", "IDENTITY_HEADER"} {
		all[name] = os.Getenv(name)
	}
	return all
}

// joined is one environment of several; the later win, and what is empty is unset.
func joined(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, one := range all {
		maps.Copy(out, one)
	}
	maps.DeleteFunc(out, func(_, value string) bool { return value == "" })
	return out
}

// output is what a run of the command has left.
type output struct {
	stdout, stderr string
	code           int
	cpu            time.Duration
}

// launch runs the command with an environment of its own. No output may hold one of the
// secrets in it, nor those named.
func launch(t *testing.T, env map[string]string, hidden []string, args ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	out := output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	for _, name := range []string{"VAULT_TOKEN", "VAULT_SECRET_ID", "AWS_SECRET_ACCESS_KEY", "IDENTITY_HEADER"} {
		hidden = append(hidden, env[name])
	}
	for _, secret := range hidden {
		if form := shownIn(out.stdout+out.stderr, secret); form != "" {
			t.Errorf("%v shows a secret, %s", args, form)
		}
	}
	return out
}

// shownIn is the form in which text holds a secret, or "".
func shownIn(text, secret string) string {
	if len(secret) < 8 {
		return ""
	}
	for name, form := range map[string]string{
		"as it is": secret, "as base64": base64.StdEncoding.EncodeToString([]byte(secret)), "as hex": hex.EncodeToString([]byte(secret)),
		"its beginning": secret[:8], "its end": secret[len(secret)-8:],
	} {
		if strings.Contains(text, form) {
			return name
		}
	}
	return ""
}

// diagnosis is what doctor --json says.
type diagnosis struct {
	OK       bool    `json:"ok"`
	Provider string  `json:"provider"`
	Checks   []check `json:"checks"`
}

type check struct {
	ID       string `json:"id"`
	Provider string `json:"provider"`
	Status   string `json:"status"`
	Summary  string `json:"summary"`
	Cause    string `json:"cause"`
	Fix      string `json:"fix"`
}

func (c check) String() string {
	return fmt.Sprintf("%s %s: %s | cause: %s | fix: %s", c.Status, c.ID, c.Summary, c.Cause, c.Fix)
}

// diagnose runs doctor, and checks that exit code and answer agree.
func diagnose(t *testing.T, env map[string]string, hidden []string, args ...string) diagnosis {
	t.Helper()
	out := launch(t, env, hidden, append([]string{"doctor", "--json", "--timeout", "60s"}, args...)...)
	var d diagnosis
	if err := json.Unmarshal([]byte(out.stdout), &d); err != nil {
		t.Fatalf("exit code %d, and no JSON: %v", out.code, err)
	}
	if d.OK != (out.code == 0) || out.code > 1 {
		t.Errorf("ok is %t, the exit code %d", d.OK, out.code)
	}
	return d
}

// find is the check with that id, of the only or the first provider.
func (d diagnosis) find(id string) check {
	for _, c := range d.Checks {
		if c.ID == id {
			return c
		}
	}
	return check{ID: id, Status: "missing"}
}
