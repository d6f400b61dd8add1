package doctor

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

func TestMain(m *testing.M) { os.Exit(canary.Net(m).Run()) }

// mlflow answers as MLflow with basic-auth does; each stage changes a part.
type mlflow struct {
	version string
	change  func(w http.ResponseWriter, req *http.Request, known bool) bool // it has answered
	token   string
}

func (m mlflow) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	known := req.Header.Get("Authorization") == "Bearer "+m.token
	if m.change != nil && m.change(w, req, known) {
		return
	}
	switch {
	case !known:
		w.Header().Set("WWW-Authenticate", `Basic realm="mlflow"`)
		http.Error(w, "You are not authenticated. "+req.Header.Get("Authorization"), http.StatusUnauthorized)
	case req.URL.Path == "/version":
		w.Header().Set("Content-Type", "text/html; charset=utf-8") // so says MLflow
		_, _ = io.WriteString(w, m.version)
	case req.URL.Path == "/api/2.0/mlflow/experiments/search":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"experiments":[{"experiment_id":"0","name":"Default"}]}`)
	default:
		http.NotFound(w, req)
	}
}

// patience is what nothing but a hanging server ever takes.
const patience = time.Minute

// dry tries a server with a token, and tells the checks by their ids.
func dry(t *testing.T, within time.Duration, url, token string, hosts ...string) map[string]Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return dryIn(ctx, t, url, token, hosts...)
}

func dryIn(ctx context.Context, t *testing.T, url, token string, hosts ...string) map[string]Result {
	t.Helper()
	matcher, err := secretsauth.CompileHosts(hosts)
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]Result{}
	r := &run{Options: Options{URL: url, Log: slog.New(slog.DiscardHandler)}, ctx: ctx, hosts: matcher, config: secretsauth.Config{AllowedHosts: hosts}}
	r.own = r.visit("", func(r Result) { results[r.ID] = r })
	secret := secretsauth.NewToken(token)
	r.patients = []*patient{{Enabled: providers.Enabled{Name: "vault", Provider: secretsauth.Static(secret)}, secret: secret}}
	r.dryRun()
	for _, found := range results {
		canary.KeepValue("a finding", found)
		canary.AbsentFrom(t, found.ID, found.Finding, token)
	}
	return results
}

func TestATrackingServerThatIsWell(t *testing.T) {
	t.Parallel()
	m := mlflow{version: "3.18.0", token: canary.New()}
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	results := dry(t, patience, server.URL+"/", m.token, "127.0.0.1")
	for _, id := range []string{"mlflow.host", "mlflow.connect", "mlflow.version", "mlflow.anonymous", "mlflow.authenticated"} {
		if r := results[id]; r.Status != inspect.Pass {
			t.Errorf("%s: %+v", id, r.Finding)
		}
	}
	if r := results["mlflow.version"]; r.Summary != "MLflow 3.18.0" {
		t.Error(r.Summary)
	}
	if r := results["mlflow.host"]; !strings.Contains(r.Summary, `pattern "127.0.0.1"`) {
		t.Error(r.Summary)
	}
}

// Everything that a tracking server, or somebody in front of it, is known to answer
// (reference: MLflow's own, nginx, oauth2-proxy, Cloudflare Access, Databricks).
func TestWhatATrackingServerMayAnswer(t *testing.T) {
	t.Parallel()
	status := func(code int) func(http.ResponseWriter, *http.Request, bool) bool {
		return func(w http.ResponseWriter, _ *http.Request, known bool) bool {
			if known {
				w.WriteHeader(code)
			}
			return known
		}
	}
	page := func(code int) func(http.ResponseWriter, *http.Request, bool) bool {
		return func(w http.ResponseWriter, req *http.Request, _ bool) bool {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(code)
			_, _ = fmt.Fprintf(w, "<!DOCTYPE html><html>Sign in %s</html>", req.Header.Get("Authorization"))
			return true
		}
	}
	stages := []struct {
		name   string
		server mlflow
		id     string
		status inspect.Status
		says   []string
	}{
		{"the credential is rejected", mlflow{version: "3.18.0", change: func(w http.ResponseWriter, _ *http.Request, _ bool) bool {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}}, "mlflow.authenticated", inspect.Fail, []string{"rejects the credential", "401", "compare the secret"}},
		{"rejected at the version already", mlflow{change: status(401)}, "mlflow.version", inspect.Fail, []string{"rejects the credential", "401"}},
		{"known, and not permitted", mlflow{version: "3.18.0", change: func(w http.ResponseWriter, req *http.Request, known bool) bool {
			if known && req.URL.Path != "/version" {
				w.WriteHeader(http.StatusForbidden)
				return true
			}
			return false
		}}, "mlflow.authenticated", inspect.Fail, []string{"not permitted", "403", "grant"}},
		{"the version is not permitted", mlflow{change: status(403)}, "mlflow.version", inspect.Warn, []string{"does not tell its version", "403"}},
		{"our own proxy", mlflow{change: func(w http.ResponseWriter, _ *http.Request, _ bool) bool {
			w.Header().Set("Server", "mlflow-secrets-auth")
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}}, "mlflow.version", inspect.Fail, []string{"this is a proxy of mlflow-secrets-auth", "client token", "--upstream"}},
		{"S111 a login page", mlflow{change: page(200)}, "mlflow.authenticated", inspect.Fail, []string{"web page", "login page"}},
		{"S111 a login page in place of the version", mlflow{change: page(200)}, "mlflow.version", inspect.Fail, []string{"web page"}},
		{"S111 a redirect to a login", mlflow{change: func(w http.ResponseWriter, req *http.Request, _ bool) bool {
			http.Redirect(w, req, "https://login.test/?token="+req.Header.Get("Authorization"), http.StatusFound)
			return true
		}}, "mlflow.authenticated", inspect.Fail, []string{"redirects", "302 Found to login.test", "login page"}},
		{"S7 a redirect to https", mlflow{change: func(w http.ResponseWriter, req *http.Request, _ bool) bool {
			http.Redirect(w, req, "https://"+req.Host+req.URL.Path, http.StatusMovedPermanently)
			return true
		}}, "mlflow.authenticated", inspect.Fail, []string{"redirects to https", "301", "use the https URL: https://127.0.0.1:"}},
		{"an error of the server", mlflow{change: status(500)}, "mlflow.authenticated", inspect.Fail, []string{"not well", "500", "log"}},
		{"an error of a proxy", mlflow{change: status(502)}, "mlflow.version", inspect.Fail, []string{"not well", "502"}},
		{"not MLflow", mlflow{change: status(404)}, "mlflow.version", inspect.Fail, []string{"not an MLflow server", "404", "check the URL"}},
		{"not MLflow's API", mlflow{version: "3.18.0", change: func(w http.ResponseWriter, req *http.Request, known bool) bool {
			if known && req.URL.Path != "/version" {
				_, _ = io.WriteString(w, "hello")
				return true
			}
			return false
		}}, "mlflow.authenticated", inspect.Fail, []string{"not MLflow's API"}},
		{"a server with workspaces, asked without one", mlflow{version: "3.18.0", change: func(w http.ResponseWriter, req *http.Request, known bool) bool {
			if known && req.URL.Path != "/version" {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error_code":"INVALID_PARAMETER_VALUE","message":"Workspace context is required"}`)
				return true
			}
			return false
		}}, "mlflow.authenticated", inspect.Fail, []string{"workspace", "400", "export MLFLOW_WORKSPACE="}},
		{"old", mlflow{version: "2.9.2"}, "mlflow.version", inspect.Warn, []string{"MLflow 2.9.2", "older than 2.20.4", "pip install"}},
		{"old by a little", mlflow{version: "2.20.3"}, "mlflow.version", inspect.Warn, []string{"older than 2.20.4"}},
		{"a version of the server's own", mlflow{version: "3.18.0.dev0"}, "mlflow.version", inspect.Pass, []string{"MLflow 3.18.0.dev0"}},
		{"S165 escapes in place of a version", mlflow{version: "\x1b[31m3.18.0"}, "mlflow.version", inspect.Fail, []string{"no version"}},
		{"S167 no authentication", mlflow{version: "3.18.0", change: func(w http.ResponseWriter, req *http.Request, _ bool) bool {
			if req.URL.Path == "/version" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{}`)
			return true
		}}, "mlflow.anonymous", inspect.Warn, []string{"asks for no credential", "prove nothing", "basic-auth"}},
		{"says nothing", mlflow{change: func(_ http.ResponseWriter, req *http.Request, known bool) bool {
			if known {
				<-req.Context().Done()
			}
			return known
		}}, "mlflow.version", inspect.Fail, []string{"no answer", "timeout"}},
		{"hangs up", mlflow{change: func(_ http.ResponseWriter, _ *http.Request, known bool) bool {
			if known {
				panic(http.ErrAbortHandler)
			}
			return false
		}}, "mlflow.authenticated", inspect.Fail, []string{"no answer", "EOF"}},
	}
	for _, stage := range stages {
		t.Run(stage.name, func(t *testing.T) {
			t.Parallel()
			stage.server.token = canary.New()
			server := httptest.NewUnstartedServer(stage.server)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.Start()
			t.Cleanup(server.Close)
			within := patience
			if slices.Contains(stage.says, "timeout") {
				within = 2 * time.Second
			}
			wantCheck(t, dry(t, within, server.URL, stage.server.token, "127.0.0.1")[stage.id], stage.status, stage.says...)
		})
	}
	t.Logf("%d answers of tracking servers staged", len(stages))
}

func wantCheck(t *testing.T, r Result, status inspect.Status, says ...string) {
	t.Helper()
	text := strings.Join([]string{r.Summary, r.Cause, r.Fix}, " | ")
	if r.Status != status {
		t.Errorf("%s: %s, want %s: %s", r.ID, r.Status, status, text)
	}
	if status == inspect.Fail && (r.Cause == "" || r.Fix == "") {
		t.Errorf("%s: no cause or no fix: %s", r.ID, text)
	}
	for _, want := range says {
		if !strings.Contains(text, want) {
			t.Errorf("%s: %q does not say %q", r.ID, text, want)
		}
	}
}

func TestURLsOfATrackingServer(t *testing.T) {
	t.Parallel()
	secret := canary.New()
	for _, test := range []struct {
		name, url string
		hosts     []string
		says      []string
	}{
		{"S35 no scheme", "mlflow.company.com/", nil, []string{"no scheme", "https://mlflow.company.com"}},
		{"S35 no scheme, but a port", "mlflow.company.com:5000/x", nil, []string{"no scheme"}},
		{"another scheme", "file:///mlruns", nil, []string{"neither http nor https"}},
		{"databricks", "databricks://profile", nil, []string{"neither http nor https"}},
		{"S154 userinfo", "https://user:" + secret + "@mlflow.test", nil, []string{"username or password", "comes from the store"}},
		{"S37 a line end", "https://mlflow.test/\r\n" + secret, nil, []string{"control character"}},
		{"S37 an escape", "https://\x1b[31m" + secret, nil, []string{"control character"}},
		{"no host", "https:///x", nil, []string{"no host"}},
		{"a query", "https://mlflow.test/?token=" + secret, nil, []string{"query"}},
		{"not allowed", "https://mlflow.test", []string{"*.company.com"}, []string{"would not get the credential", "no pattern", "ALLOWED_HOSTS='*.company.com,mlflow.test'"}},
		{"not a plain host", "https://mlfl\u00f6w.test", []string{"*"}, []string{"would not get the credential", "ASCII"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v := &run{hosts: mustCompile(t, test.hosts), config: secretsauth.Config{AllowedHosts: test.hosts}}
			u, why := ParseServer(test.url)
			if why == nil {
				f := v.host(t.Context(), u)
				why = &f
			}
			wantCheck(t, Result{ID: "mlflow.host", Finding: *why}, inspect.Fail, test.says...)
			canary.AbsentFrom(t, "the finding", *why, secret)
		})
	}
}

func mustCompile(t *testing.T, hosts []string) *secretsauth.HostMatcher {
	t.Helper()
	m, err := secretsauth.CompileHosts(hosts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPlainHTTPWhereTLSIsRequired(t *testing.T) {
	t.Parallel()
	for address, refused := range map[string]bool{
		"http://mlflow.test": true, "http://127.evil.test": true,
		"https://mlflow.test": false, "http://127.0.0.1:5000": false, "http://localhost:5000": false, "http://[::1]:5000": false,
	} {
		cfg := secretsauth.Config{AllowedHosts: []string{"*"}, RequireTLS: true}
		u, why := ParseServer(address)
		if why != nil {
			t.Fatal(why.Cause)
		}
		f := (&run{hosts: mustCompile(t, cfg.AllowedHosts), config: cfg}).host(t.Context(), u)
		if (f.Status == inspect.Fail) != refused {
			t.Errorf("%s: %+v", address, f)
		}
	}
}

// A host that is not allowed is asked without the credential, and only that.
func TestAHostThatIsNotAllowedGetsNoCredential(t *testing.T) {
	t.Parallel()
	var with int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "" {
			with++
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	results := dry(t, patience, server.URL, canary.New(), "mlflow.company.com")
	wantCheck(t, results["mlflow.host"], inspect.Fail, "127.0.0.1")
	wantCheck(t, results["mlflow.anonymous"], inspect.Pass, "401")
	wantCheck(t, results["mlflow.authenticated"], inspect.Skip, "mlflow.host failed")
	if with != 0 {
		t.Errorf("%d requests carried the credential", with)
	}
}
