package docs_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

// place is where the steps of a document are run: stand-ins in place of the servers
// that it names.
type place struct {
	named   map[string]string // what the document writes, and what stands in for it
	environ []string          // of the platform
	input   string            // what the user pastes
	secret  string
}

// places are the stores of getting-started.md, each with the credential of a user at
// an MLflow server.
func places(t *testing.T) map[string]place {
	t.Helper()
	password := "pass-" + canary.New()
	fields := map[string]string{"username": "trainer", "password": password}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	started := func(close func(), err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(close)
	}
	server, err := devstack.StartMLflow("trainer", password)
	started(server.Close, err)
	token := "hvs." + canary.New()
	vault, err := devstack.StartVault(token)
	started(vault.Close, err)
	vault.Write("mlflow/auth", fields)
	manager, err := devstack.StartSecretsManager()
	started(manager.Close, err)
	manager.Put("mlflow/auth", string(text))
	header := canary.New()
	keyVault, err := devstack.StartKeyVault(header)
	started(keyVault.Close, err)
	keyVault.Put("mlflow-auth", string(text))

	tracking := map[string]string{"https://mlflow.company.com": server.URL(), "HOSTS=mlflow.company.com": "HOSTS=127.0.0.1"}
	with := func(name, value string) map[string]string {
		named := map[string]string{name: value}
		maps.Copy(named, tracking)
		return named
	}
	return map[string]place{
		"Vault or OpenBao": {with("https://vault.company.com:8200", vault.URL()), nil, token + "\n", password},
		"AWS Secrets Manager": {tracking, []string{
			"AWS_ENDPOINT_URL=" + manager.URL(), "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=key", "AWS_EC2_METADATA_DISABLED=true",
		}, "", password},
		"Azure Key Vault": {with("https://my-vault.vault.azure.net", keyVault.URL()), []string{
			"IDENTITY_ENDPOINT=" + keyVault.IdentityEndpoint(), "IDENTITY_HEADER=" + header,
		}, "", password},
	}
}

// run runs a script as a user does who has nothing else in the environment.
func (p place) run(t *testing.T, script string) (out string, err error) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	for name, value := range p.named {
		script = strings.ReplaceAll(script, name, value)
	}
	cmd := exec.CommandContext(t.Context(), bash, "-e", "-c", script)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.TempDir(), "GORACE=atexit_sleep_ms=0"}, p.environ...)
	cmd.Stdin = strings.NewReader(p.input)
	text, err := cmd.CombinedOutput()
	if strings.Contains(string(text), p.secret) {
		t.Error("a secret is shown")
	}
	return string(text), err
}

var checkLine = regexp.MustCompile(`(?m)^[✓!✗-] ([a-z]+\.?[a-z]*)`)

func checksOf(text string) []string {
	var ids []string
	for _, m := range checkLine.FindAllStringSubmatch(text, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

// The steps of getting-started.md lead to a doctor without a failure, as they stand
// there. What the store's administrator does is done already.
func TestGettingStarted(t *testing.T) {
	t.Parallel()
	text := documents(t)["docs/getting-started.md"]
	sections := map[string]string{}
	for _, section := range strings.Split(text, "\n## ")[1:] {
		title, rest, _ := strings.Cut(section, "\n")
		sections[title] = rest
	}
	for title, p := range places(t) {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			section := map[string]string{title: sections[title]}
			steps := blocksOf(section, "bash")
			if len(steps) != 1 {
				t.Fatalf("%d scripts, want one", len(steps))
			}
			out, err := p.run(t, steps[0].text)
			if err != nil || !strings.Contains(out, " 0 failed") || !strings.Contains(out, "✓ mlflow.authenticated") {
				t.Errorf("%v\n%s", err, out)
			}
			for _, shown := range blocksOf(section, "console") {
				if want, have := checksOf(shown.text), checksOf(out); !slices.Equal(want, have) {
					t.Errorf("the document shows %q, doctor prints %q", want, have)
				}
			}
		})
	}
}

// What doctor says before anything is set is what the document shows.
func TestDoctorWithNothingSet(t *testing.T) {
	t.Parallel()
	out, err := place{secret: "none"}.run(t, "mlflow-secrets-auth doctor")
	if err == nil {
		t.Error("doctor finds nothing wrong")
	}
	shown := blocksOf(map[string]string{"": documents(t)["docs/getting-started.md"]}, "console")[0].text
	for _, line := range strings.Split(strings.TrimSpace(shown), "\n")[1:] {
		if !strings.Contains(out, line+"\n") {
			t.Errorf("doctor does not print %q but\n%s", line, out)
		}
	}
}

// The short scripts of the troubleshooting page work where all is well.
func TestTroubleshootingScripts(t *testing.T) {
	t.Parallel()
	text := documents(t)
	all := places(t)
	p := all["Vault or OpenBao"]
	setting := blocksOf(map[string]string{"": text["docs/getting-started.md"]}, "bash")[0].text
	setting, _, _ = strings.Cut(setting, "mlflow-secrets-auth info")
	ran := 0
	for _, b := range blocksOf(map[string]string{"": text["docs/troubleshooting.md"]}, "bash") {
		if strings.Contains(b.text, "cache ") || strings.Contains(b.text, "go version") || strings.Contains(b.text, "jq ") || !strings.Contains(b.text, "mlflow-secrets-auth") {
			continue // they need a proxy, a program, another tool, or are settings alone
		}
		script := strings.ReplaceAll(b.text, "https://mlflow.other.com", "https://mlflow.company.com")
		script = strings.ReplaceAll(script, "$STAGING_MLFLOW_URL", "https://mlflow.company.com")
		if out, err := p.run(t, "cd \"$HOME\"\n"+setting+script); err != nil {
			t.Errorf("%s: %v\n%s", b.text, err, out)
		}
		ran++
	}
	if ran < 8 {
		t.Errorf("only %d scripts were run", ran)
	}
}

// The table of metrics is what a proxy tells.
func TestMetricsAreAllThere(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	server, err := devstack.StartMLflow("trainer", canary.New())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	upstream, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxy.New(ctx, secretsauth.Static(secretsauth.NewUserPassword("trainer", canary.New()).WithExpiry(time.Now().Add(time.Hour))), secretsauth.Config{},
		proxy.Config{Upstream: upstream, Listen: "127.0.0.1:0", ClientToken: "token", Admin: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx) }()
	get := func(address, token string) string {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	get(p.URL()+"/version", "token")
	get(p.URL()+"/version", "another")
	names := func(text, pattern string) []string {
		var all []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return all
	}
	told := names(get(p.AdminURL()+"/metrics", ""), `(?m)^# TYPE (mlflow_\S+)`)
	if shown := names(documents(t)["docs/proxy.md"], "(?m)^\\| `(mlflow_[a-z_]+)`"); !slices.Equal(told, shown) {
		t.Errorf("the proxy tells\n%q, docs/proxy.md\n%q", told, shown)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
