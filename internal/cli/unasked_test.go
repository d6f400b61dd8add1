package cli_test

import (
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
)

// inFrontOf passes requests on to a stand-in, and adds a header to its answers.
func inFrontOf(t *testing.T, address string, header http.Header) http.Handler {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ErrorLog: log.New(io.Discard, "", 0),
		ModifyResponse: func(resp *http.Response) error {
			maps.Copy(resp.Header, header)
			return nil
		},
	}
}

// oddStack is a stack of which the store, or the server, says more than it is asked.
type oddStack struct {
	*stack
	peer          *faults.Peer
	store, server string // addresses
	authority     string // a file with the certificate of a peer that speaks TLS
}

func newOddStack(stage *faults.Stage, odd string) *oddStack {
	stage.Helper()
	s := newStack(stage.T)
	o := &oddStack{stack: s, store: s.store.URL(), server: s.server.URL()}
	// A server may answer with what it was sent.
	echo := http.Header{}
	if odd == "server" {
		echo.Set("X-Debug", s.first)
	}
	at := map[string]*string{"store": &o.store, "server": &o.server}[odd]
	o.peer = stage.Start(inFrontOf(stage.T, *at, echo), s.first, s.token)
	*at = o.peer.URL
	if c := o.peer.Certificate(); c != nil {
		o.authority = filepath.Join(stage.TempDir(), "ca.pem")
		if err := os.WriteFile(o.authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600); err != nil {
			stage.Fatal(err)
		}
	}
	return o
}

func (o *oddStack) environ(level string) []string {
	environ := append(o.stack.environ(), "VAULT_ADDR="+o.store, "MLFLOW_TRACKING_URI="+o.server, "MLFLOW_SECRETS_LOG_LEVEL="+level)
	if o.authority != "" {
		environ = append(environ, "VAULT_CACERT="+o.authority, "SSL_CERT_FILE="+o.authority)
	}
	return environ
}

// run runs a command to its end, and checks what it prints; of stdout only if no
// secret belongs there.
func (o *oddStack) run(stage *faults.Stage, level string, stdout bool, args ...string) {
	stage.Helper()
	cmd := exec.Command("mlflow-secrets-auth", args...)
	cmd.Env = append(append(os.Environ(), o.environ(level)...), "HOME="+stage.TempDir(), "TMPDIR="+stage.TempDir(), "GORACE=atexit_sleep_ms=0")
	cmd.Stdin = strings.NewReader("ask\nask\n")
	var told, said strings.Builder
	cmd.Stdout, cmd.Stderr = &told, &said
	err := cmd.Run()
	if code := cmd.ProcessState.ExitCode(); !stage.Surplus.Spoils() && code != 0 && code != 9 { // the program's
		stage.Errorf("it has ended by %v\n%s", err, &said)
	}
	canary.Absent(stage, "stderr", said.String(), o.secrets()...)
	if stdout {
		canary.Absent(stage, "stdout", told.String(), o.secrets()...)
	}
}

// What a store or a server sends unasked is printed by no command, at any level.
func TestF1F2F3NoCommandPrintsWhatItHasNotAskedFor(t *testing.T) {
	t.Parallel()
	commands := map[string]struct {
		odd []string
		run func(stage *faults.Stage, o *oddStack, level string)
	}{
		"header": {[]string{"store"}, func(stage *faults.Stage, o *oddStack, level string) {
			o.run(stage, level, false, "header", o.server)
		}},
		"exec": {[]string{"store"}, func(stage *faults.Stage, o *oddStack, level string) {
			o.run(stage, level, true, "exec", "--", "sh", "-c", "exit 0")
		}},
		"doctor": {[]string{"store", "server"}, func(stage *faults.Stage, o *oddStack, level string) {
			o.run(stage, level, true, "doctor", "--dry-run", o.server)
		}},
		"exec with a proxy": {[]string{"store", "server"}, func(stage *faults.Stage, o *oddStack, level string) {
			o.run(stage, level, true, "exec", "--proxy", "--", os.Args[0], asksMLflow)
		}},
		"proxy": {[]string{"store", "server"}, func(stage *faults.Stage, o *oddStack, level string) {
			p := runProxy(stage.T, o.environ(level), "--upstream", o.server, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--no-client-token")
			address := p.value(`URI=(\S+)`) + "/api/2.0/mlflow/experiments/search?max_results=1"
			for range 3 {
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					get(stage.T, address, func(r *http.Request) { r.Method = method })
				}
			}
			if !o.peer.Left(30 * time.Second) { // net/http has read what came, and closed
				stage.Error("a connection is left on which too much was said")
			}
			p.end(o.secrets()...)
		}},
	}
	surpluses := slices.Concat(faults.Surpluses(), []faults.Surplus{faults.AfterHEAD})
	for name, command := range commands {
		for _, odd := range command.odd {
			for level, c := range map[string]struct {
				links     []string
				surpluses []faults.Surplus
			}{
				"ERROR": {[]string{"TCP"}, surpluses},
				"DEBUG": {[]string{"TCP", "TLS 1.3"}, surpluses[:1]},
			} {
				t.Run(name+", odd "+odd+", "+level, func(t *testing.T) {
					t.Parallel()
					faults.EverySurplus(t, c.links, c.surpluses, func(stage *faults.Stage) {
						if stage.Surplus.Name == faults.AfterHEAD.Name && (name != "proxy" || odd != "server") {
							stage.Skip("nobody says HEAD there")
						}
						command.run(stage, newOddStack(stage, odd), level)
					})
				})
			}
		}
	}
}
