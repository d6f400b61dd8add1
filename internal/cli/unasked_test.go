package cli_test

import (
	"encoding/pem"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
)

// odd is a stack whose store and server send more than their answers, and how a
// process of the command reaches them.
type odd struct {
	*faults.Stage
	*stack
	vault, server *faults.Peer
	environ       []string
}

func newOdd(stage *faults.Stage, level string) *odd {
	stage.Helper()
	o := &odd{Stage: stage, stack: newStack(stage.T)}
	through := new(http.Transport)
	stage.Cleanup(through.CloseIdleConnections)
	start := func(address string) *faults.Peer {
		behind, err := faults.Behind(through, address)
		if err != nil {
			stage.Fatal(err)
		}
		return stage.Start(behind, o.first, o.token)
	}
	o.vault, o.server = start(o.store.URL()), start(o.stack.server.URL())
	o.environ = append(os.Environ(), o.stack.environ()...)
	o.environ = append(o.environ, "VAULT_ADDR="+o.vault.URL, "MLFLOW_TRACKING_URI="+o.server.URL, "MLFLOW_SECRETS_LOG_LEVEL="+level,
		"HOME="+stage.TempDir(), "TMPDIR="+stage.TempDir(), "NO_PROXY=*", "GORACE=atexit_sleep_ms=0")
	if certificate := o.vault.Certificate(); certificate != nil {
		file := filepath.Join(stage.TempDir(), "ca.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}), 0o600); err != nil {
			stage.Fatal(err)
		}
		o.environ = append(o.environ, "VAULT_CACERT="+file, "SSL_CERT_FILE="+file)
	}
	return o
}

// run runs the command to its end and looks at what it has written. What header prints
// is the credential, which is what it is for.
func (o *odd) run(args ...string) (stdout string) {
	o.Helper()
	cmd := exec.CommandContext(o.Context(), "mlflow-secrets-auth", args...)
	cmd.Env = o.environ
	var out, log strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("ask\nask\nask\n"), &out, &log
	_ = cmd.Run() // answers that are of no use are failures
	written := log.String()
	if args[0] != "header" {
		written += out.String()
	}
	canary.Absent(o, args[0]+" prints", written, o.secrets()...)
	return out.String()
}

// What a store or a tracking server sends unasked is in nothing that the command
// writes, whatever its log level.
func TestF1F2F3TheCommandPrintsNothingThatWasNotAskedFor(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"ERROR", "DEBUG"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			faults.EverySurplus(t, []string{"TCP", "TLS 1.3"}, faults.Surpluses(), func(stage *faults.Stage) {
				stage.Parallel()
				o := newOdd(stage, level)
				if said := o.run("header", o.server.URL); !stage.Surplus.Spoils() && !strings.HasPrefix(said, "Authorization: Basic ") {
					stage.Error("header prints no header")
				}
				o.run("exec", "--", os.Args[0], "-test.run=^$")
				if said := o.run("exec", "--proxy", "--", os.Args[0], asksMLflow); !stage.Surplus.Spoils() && strings.Count(said, "200 OK\n") != 3 {
					stage.Error("the program behind exec's proxy is not answered")
				}
				o.run("doctor", "--dry-run", o.server.URL)
				o.proxy()
			})
		})
	}
}

// proxy runs the command as a server, and asks it for answers with and without a body.
func (o *odd) proxy() {
	o.Helper()
	p := runProxy(o.T, o.environ, "--upstream", o.server.URL, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	address, token := p.value(`(?m)^export MLFLOW_TRACKING_URI=(\S+)$`), p.value(`(?m)^export MLFLOW_TRACKING_TOKEN=(\w+)$`)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodGet, http.MethodHead} {
		resp, _ := get(o.T, address+"/api/2.0/mlflow/experiments/search?max_results=1", func(r *http.Request) {
			r.Method = method
			r.Header.Set("Authorization", "Bearer "+token)
		})
		if method == http.MethodGet && !o.Surplus.Spoils() && resp.StatusCode != http.StatusOK {
			o.Errorf("status %d", resp.StatusCode)
		}
	}
	if !o.server.Left(time.Minute) { // by then, net/http has printed what it prints
		o.Error("the proxy goes on with a connection on which it was sent too much")
	}
	p.end(o.secrets()...)
}
