//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// service is a process of a user's, whose output is read line by line.
type service struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string
	stderr *bytes.Buffer
	once   sync.Once
	err    error
}

func serve(t *testing.T, env map[string]string, name string, args ...string) *service {
	t.Helper()
	s := &service{t: t, cmd: exec.Command(name, args...), lines: make(chan string, 10_000), stderr: new(bytes.Buffer)}
	for name, value := range env {
		s.cmd.Env = append(s.cmd.Env, name+"="+value)
	}
	s.cmd.Stderr = s.stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin = stdin
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.lines)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			s.lines <- in.Text()
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		_ = s.wait()
	})
	return s
}

func (s *service) wait() error {
	s.once.Do(func() { s.err = s.cmd.Wait() })
	return s.err
}

// await reads on until a line matches, and returns its groups.
func (s *service) await(pattern string) []string {
	s.t.Helper()
	want, patience := regexp.MustCompile(pattern), time.After(3*time.Minute)
	for {
		select {
		case line, open := <-s.lines:
			if !open {
				err := s.wait()
				s.t.Fatalf("it has ended (%v) without %q; the end of its log:\n%s", err, pattern, s.stderr.Bytes()[max(0, s.stderr.Len()-3000):])
			}
			if found := want.FindStringSubmatch(line); found != nil {
				return found
			}
		case <-patience:
			s.t.Fatalf("waited in vain for %q", pattern)
		}
	}
}

func (s *service) say(line string) {
	s.t.Helper()
	if _, err := io.WriteString(s.stdin, line+"\n"); err != nil {
		s.t.Fatal(err)
	}
}

// end asks it to end, and waits.
func (s *service) end() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := s.wait(); err != nil {
		s.t.Errorf("%v; its log:\n%s", err, s.stderr)
	}
}

// startProxy runs the command's proxy in front of MLflow.
func startProxy(t *testing.T, env map[string]string, args ...string) (s *service, url, token, link string) {
	t.Helper()
	s = serve(t, env, program, append([]string{"proxy", "--upstream", mlflow.url, "--listen", "127.0.0.1:0"}, args...)...)
	url = s.await(`^export MLFLOW_TRACKING_URI=(\S+)`)[1]
	token = s.await(`^export MLFLOW_TRACKING_TOKEN=(\S+)`)[1]
	link = s.await(`(http://\S+/\.mlflow-secrets-auth/login\S+)`)[1]
	return s, url, token, link
}

// admin gives the user of w every right: its model registry asks for them.
func (w *world) admin() {
	w.Helper()
	if err := mlflow.admin.call(w.ctx, "PATCH", "users/update-admin", map[string]any{"username": w.user, "is_admin": true}, nil); err != nil {
		w.Fatal(err)
	}
}

// train runs train.py through two rotations: one while batches are logged, and one
// between the upload and the download of an artifact.
func (w *world) train(python *service, rotate func()) {
	w.Helper()
	python.await(`^started`)
	python.await(`^logged 300`)
	rotate()
	python.await(`^logged [0-9]+`)
	python.await(`^logged [0-9]+`)
	python.say("enough")
	python.await(`^uploaded`)
	w.old, w.fresh = w.fresh, w.old
	rotate()
	python.say("go on")
	done := python.await(`^done ([0-9]+)`)
	if err := python.wait(); err != nil {
		w.Errorf("%v", err)
	}
	w.Logf("%s values logged, an artifact up and down, a model registered, through two rotations", done[1])
}

// storeFirst rotates in the order that is recommended.
func (w *world) storeFirst() {
	w.rotateStore()
	w.rotateServer()
}

func python() (string, string) { return bin("mlflow", "python"), "testdata/train.py" }

// TestPythonThroughTheProxy: MLflow's own client, unmodified, works through the proxy
// while the password is rotated, and never holds it.
func TestPythonThroughTheProxy(t *testing.T) {
	s := inOpenBao(t, openbao, byAppRole, 2)
	w := newWorld(t, s)
	w.admin()
	proxy, url, token, _ := startProxy(t, joined(machine(t), s.environ(), allowed, map[string]string{"XDG_RUNTIME_DIR": t.TempDir()}))
	interpreter, script := python()
	w.train(serve(t, joined(machine(t), map[string]string{
		"MLFLOW_TRACKING_URI": url, "MLFLOW_TRACKING_TOKEN": token, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
	}), interpreter, script, "200"), w.storeFirst)

	control := ""
	for _, pair := range proxy.cmd.Env {
		if dir, ok := strings.CutPrefix(pair, "XDG_RUNTIME_DIR="); ok {
			control = dir
		}
	}
	out := launch(t, joined(machine(t), map[string]string{"XDG_RUNTIME_DIR": control}), []string{w.old, w.fresh}, "cache", "status")
	if out.code != 0 || !strings.Contains(out.stdout, "hit rate") {
		t.Errorf("cache status: exit code %d: %s%s", out.code, out.stdout, out.stderr)
	}
	t.Log(out.stdout)
	proxy.end()
	if form := shownIn(proxy.stderr.String(), w.old) + shownIn(proxy.stderr.String(), w.fresh); form != "" {
		t.Errorf("the proxy's log shows the password, %s", form)
	}
}

// TestPythonByExec: the same, with a proxy for the life of the program.
func TestPythonByExec(t *testing.T) {
	s := inOpenBao(t, openbao, byAppRole, 2)
	w := newWorld(t, s)
	w.admin()
	interpreter, script := python()
	child := serve(t, joined(machine(t), s.environ(), allowed, map[string]string{
		"MLFLOW_TRACKING_URI": mlflow.url, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
	}), program, "exec", "--proxy", "--", interpreter, script, "200")
	w.train(child, w.storeFirst)
	if form := shownIn(child.stderr.String(), w.old) + shownIn(child.stderr.String(), w.fresh); form != "" {
		t.Errorf("the log shows the password, %s", form)
	}
}

// TestF20PythonByExecWhereTheServerIsChangedFirst: the store follows 2 s later, as with
// the rotations that AWS manages. With RotationWait no call of the client fails: it would
// end the training.
func TestF20PythonByExecWhereTheServerIsChangedFirst(t *testing.T) {
	s := inOpenBao(t, openbao, byAppRole, 2)
	w := newWorld(t, s)
	w.admin()
	interpreter, script := python()
	child := serve(t, joined(machine(t), s.environ(), allowed, map[string]string{
		"MLFLOW_TRACKING_URI": mlflow.url, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
		"MLFLOW_SECRETS_ROTATION_WAIT_SEC": "60",
	}), program, "exec", "--proxy", "--", interpreter, script, "5")
	w.train(child, func() {
		w.rotateServer()
		time.Sleep(2 * time.Second) // the gap that it is about
		w.rotateStore()
	})
	if n := strings.Count(child.stderr.String(), "Credential rejected by the server: 401"); n == 0 {
		t.Errorf("no request was rejected, so nothing was waited for; the log:\n%s", child.stderr)
	}
}

// TestCurlByHeader: the header reaches curl, and with it MLflow.
func TestCurlByHeader(t *testing.T) {
	s := inKeyVault(t, keyVault)
	newWorld(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", `curl -sS -o /dev/null -w '%{http_code}' -H @<("$0" header "$1") "$1/api/2.0/mlflow/experiments/search?max_results=1"`, program, mlflow.url)
	for name, value := range joined(machine(t), logins(), s.environ(), allowed) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.Output()
	if err != nil || !slices.Equal(out, []byte("200")) {
		t.Errorf("curl says %s, %v", out, err)
	}
}

// TestBrowserThroughTheProxy: MLflow's UI works, with a login by the one-time link.
// The picture is kept beside what make e2e has fetched.
func TestBrowserThroughTheProxy(t *testing.T) {
	s := inOpenBao(t, openbao, byToken, 2)
	w := newWorld(t, s).connect(mlflow.url)
	experiment, err := w.client.createExperiment(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	run, err := w.client.createRun(w.ctx, experiment)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.client.logBatch(w.ctx, run, []metric{{Key: "loss", Value: 0.25, Timestamp: time.Now().UnixMilli()}}, []param{{"optimizer", "adam"}}); err != nil {
		t.Fatal(err)
	}
	_, url, _, link := startProxy(t, joined(machine(t), s.environ(), allowed, map[string]string{"XDG_RUNTIME_DIR": t.TempDir()}))
	b := startBrowser(t)
	b.open(url)
	b.shows("token") // who has not come in by the link is told what is missing
	b.open(link)
	b.shows("Experiments")
	b.open(url + "/#/experiments/" + experiment + "/runs/" + run)
	b.shows("loss", "0.25", "optimizer", "adam")
	picture := filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(bin("mlflow", "x")))), "ui.png")
	if err := b.screenshot(picture); err != nil {
		t.Error(err)
	}
	t.Logf("the run is on the page; see %s", filepath.Base(picture))
}
