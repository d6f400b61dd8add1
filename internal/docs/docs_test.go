package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/cli"
	"github.com/mlflow-secrets-auth/secretsauth/internal/docs"
	"github.com/mlflow-secrets-auth/secretsauth/internal/settings"
)

const root = "../.."

// TestMain lets the documents' scripts run mlflow-secrets-auth.
func TestMain(m *testing.M) {
	testscript.Main(canary.Net(m), map[string]func(){"mlflow-secrets-auth": func() {
		os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}})
}

// documents are the Markdown files for users, by their path in the module.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	add := func(path string) {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.ToSlash(path)] = string(text)
	}
	for _, name := range []string{"README.md", "SECURITY.md"} {
		add(name)
	}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			path, err = filepath.Rel(root, path)
			add(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ours are those that this package looks after.
func ours(t *testing.T) map[string]string {
	all := documents(t)
	for name := range all {
		switch {
		case name == "docs/security.md", name == "docs/performance.md", name == "SECURITY.md", strings.HasPrefix(name, "docs/releases/"):
			delete(all, name)
		}
	}
	return all
}

func TestTheNamesAreThere(t *testing.T) {
	t.Parallel()
	all := documents(t)
	for _, name := range []string{
		"getting-started", "configuration", "cli", "troubleshooting", "faq", "proxy", "go-clients", "security", "performance", "architecture",
		"providers/vault", "providers/aws", "providers/azure",
	} {
		if all["docs/"+name+".md"] == "" {
			t.Errorf("there is no docs/%s.md", name)
		}
		if !strings.Contains(all["README.md"], "(docs/"+name+".md)") {
			t.Errorf("README.md has no link to docs/%s.md", name)
		}
	}
}

func TestGeneratedPartsAreUpToDate(t *testing.T) { //nolint:tparallel // the command sets the default logger
	parts, err := docs.Parts(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	all := documents(t)
	for _, p := range parts {
		is := all["docs/"+p.File]
		want, err := p.In(is)
		if err != nil {
			t.Error(err)
		} else if want != is {
			t.Errorf("docs/%s, %q is not what the code says: go run ./internal/docs/gen", p.File, p.Name)
		}
	}
}

// The table of fields has every field, and the table of variables every variable.
func TestTheReferenceIsComplete(t *testing.T) {
	t.Parallel()
	text := documents(t)["docs/configuration.md"]
	for _, field := range reflect.VisibleFields(reflect.TypeFor[secretsauth.Config]()) {
		if !strings.Contains(text, "\n| `"+field.Name+"` |") {
			t.Errorf("the field %s is missing", field.Name)
		}
	}
	for _, v := range settings.All {
		if !strings.Contains(text, "\n| `"+v.Name+"`") {
			t.Errorf("the variable %s is missing", v.Name)
		}
		if v.Meaning == "" || v.Example == "" {
			t.Errorf("%s has no meaning or no example", v.Name)
		}
	}
}

// block is a fenced block of code.
type block struct {
	file, kind, text string
}

var fence = regexp.MustCompile("(?ms)^( *)```(\\w*)\n(.*?)^ *```$")

func blocksOf(files map[string]string, kinds ...string) []block {
	var all []block
	for file, text := range files {
		for _, m := range fence.FindAllStringSubmatch(text, -1) {
			if slices.Contains(kinds, m[2]) {
				all = append(all, block{file, m[2], regexp.MustCompile("(?m)^"+m[1]).ReplaceAllString(m[3], "")})
			}
		}
	}
	return all
}

// outsideCode is text without its blocks of code.
func outsideCode(text string) string { return fence.ReplaceAllString(text, "") }

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^(#+) +(.*)$`)
)

// anchors are what GitHub makes of the headings.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(outsideCode(text), -1) {
		title := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[2], "$1")
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, title)
		base := slug
		for n := 1; all[slug]; n++ {
			slug = base + "-" + strconv.Itoa(n)
		}
		all[slug] = true
	}
	return all
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	all := documents(t)
	for file, text := range all {
		for _, m := range link.FindAllStringSubmatch(outsideCode(text), -1) {
			to := m[1]
			if strings.Contains(to, "://") {
				continue
			}
			path, anchor, _ := strings.Cut(to, "#")
			target := file
			if path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(file), path))
				if _, err := os.Stat(filepath.Join(root, target)); err != nil {
					t.Errorf("%s: %s is not there", file, to)
					continue
				}
			}
			if anchor != "" && !anchors(all[target])[anchor] {
				t.Errorf("%s: %s has no heading #%s", file, target, anchor)
			}
		}
	}
}

// Scripts can be read by bash, JSON by its parser, and Go by gofmt, which it is
// formatted by.
func TestBlocksOfCodeCanBeRead(t *testing.T) {
	t.Parallel()
	files := ours(t)
	bash, err := exec.LookPath("bash")
	for _, b := range blocksOf(files, "bash", "sh") {
		if err != nil {
			t.Log("no bash: scripts are not looked at")
			break
		}
		cmd := exec.CommandContext(t.Context(), bash, "-n")
		cmd.Stdin = strings.NewReader(b.text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %s\n%s", b.file, out, b.text)
		}
	}
	for _, b := range blocksOf(files, "json") {
		if !json.Valid([]byte(b.text)) {
			t.Errorf("%s: this is no JSON:\n%s", b.file, b.text)
		}
	}
	for _, b := range blocksOf(files, "go") {
		if formatted, err := format.Source([]byte(b.text)); err != nil || string(formatted) != b.text {
			t.Errorf("%s: %v; gofmt wants\n%s", b.file, err, formatted)
		}
	}
}

// calls are the command lines in text that call the command, as words.
func calls(text string) [][]string {
	var all [][]string
	for line := range strings.Lines(text) {
		for _, part := range regexp.MustCompile(`[|;&()<>#]|\|\|`).Split(line, -1) {
			if _, args, ok := strings.Cut(part, "mlflow-secrets-auth "); ok && !strings.HasSuffix(strings.TrimSuffix(part, "mlflow-secrets-auth "+args), "/") {
				args = strings.Trim(strings.TrimSpace(args), "`'")
				all = append(all, strings.Fields(args))
			}
		}
	}
	return all
}

var inline = regexp.MustCompile("`(mlflow-secrets-auth [^`\n]+)`")

// Every command line is one that the command takes: command, flags, and whether
// there are arguments.
func TestCommandLinesParse(t *testing.T) { //nolint:tparallel // as above
	commands, err := docs.Commands(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]docs.Command{}
	for _, c := range commands {
		byPath[c.Path] = c
	}
	seen := 0
	check := func(file string, args []string) {
		path := ""
		if len(args) > 0 && args[0] == "help" {
			args = args[1:]
		}
		for len(args) > 0 {
			next := strings.TrimSpace(path + " " + args[0])
			if _, ok := byPath[next]; !ok {
				break
			}
			path, args = next, args[1:]
		}
		c := byPath[path]
		if path == "" && (len(args) == 0 || !strings.HasPrefix(args[0], "-")) {
			t.Errorf("%s: there is no command %q", file, args)
			return
		}
		seen++
		for i := 0; i < len(args); i++ {
			name, isFlag := strings.CutPrefix(args[i], "--")
			switch {
			case args[i] == "--":
				return // what follows is another program's
			case isFlag:
				name, _, joined := strings.Cut(name, "=")
				takes, known := c.Flags[name]
				if !known && name != "version" {
					t.Errorf("%s: %q has no flag --%s", file, path, name)
				}
				if takes && !joined {
					if i++; i >= len(args) {
						t.Errorf("%s: %q: --%s has no value", file, path, name)
					}
				}
			case !c.Args && path != "completion":
				t.Errorf("%s: %q takes no arguments: %q", file, path, args[i])
			}
		}
	}
	for file, text := range ours(t) {
		for _, b := range blocksOf(map[string]string{file: text}, "bash", "sh", "ini") {
			for _, args := range calls(b.text) {
				check(file, args)
			}
		}
		for _, m := range inline.FindAllStringSubmatch(outsideCode(text), -1) {
			for _, args := range calls(m[1]) {
				check(file, args)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d command lines found", seen)
	}
}

// known are variables that are not in the table of settings: those of MLflow's
// clients, of other programs, and of the SDKs where the documents name more of them.
var known = []string{
	"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD",
	"MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH", "MLFLOW_REGISTRY_URI", "MLFLOW_DEPLOYMENTS_TARGET", "MLFLOW_AUTH_ADMIN_PASSWORD",
	"STAGING_MLFLOW_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NO_COLOR", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"XDG_RUNTIME_DIR", "AWS_CONFIG_FILE", "AWS_USE_FIPS_ENDPOINT", "AWS_ENDPOINT_URL_STS",
}

var variable = regexp.MustCompile(`\b[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]\b`)

func TestVariablesAreKnown(t *testing.T) {
	t.Parallel()
	for file, text := range ours(t) {
		for _, name := range variable.FindAllString(text, -1) {
			if _, ok := settings.Find(name); !ok && !slices.Contains(known, name) {
				t.Errorf("%s: nobody reads %s", file, name)
			}
		}
	}
}

// guide are the headings of the troubleshooting guide of the Python plugin. Each has
// its counterpart, in the same order and on the same level.
const guide = `
# Troubleshooting
## Quick Diagnostics
### Check Plugin Status
### Enable Debug Logging
## Common Issues
### Plugin Not Recognized
#### Symptoms
#### Diagnosis
#### Solutions
### Authentication Failures
#### Symptoms
#### Provider-Specific Diagnosis
#### Solutions
### Host Not Allowed
#### Symptoms
#### Diagnosis
#### Solutions
### Secret Not Found
#### Symptoms
#### Diagnosis
#### Solutions
### Cache Issues
#### Symptoms
#### Diagnosis
#### Solutions
### Network Connectivity
#### Symptoms
#### Diagnosis
#### Solutions
### Configuration Errors
#### Symptoms
#### Diagnosis
#### Solutions
## Performance Issues
### Slow Secret Retrieval
#### Symptoms
#### Diagnosis
#### Solutions
### High Memory Usage
#### Symptoms
#### Diagnosis
#### Solutions
## Environment-Specific Issues
### Development Environment
#### Common Issues
#### Solutions
### CI/CD Environment
#### Common Issues
#### Solutions
### Production Environment
#### Common Issues
#### Solutions
## Provider-Specific Troubleshooting
### Vault Troubleshooting
#### KV Version Issues
#### AppRole Issues
### AWS Troubleshooting
#### IAM Issues
#### Cross-Region Issues
### Azure Troubleshooting
#### Managed Identity Issues
#### RBAC vs Access Policy
## Advanced Debugging
### Packet Capture
### Python Debugging
### Logging Analysis
## Getting Help
### Before Asking for Help
### Information to Include
### Useful Commands for Bug Reports
## Prevention
### Best Practices for Avoiding Issues
### Monitoring and Alerting
### Configuration Validation
## Next Steps
`

// renamed are the headings that have another name here.
var renamed = map[string]string{
	"### Check Plugin Status":   "### Check the Status",
	"### Plugin Not Recognized": "### Transport Not in Use",
	"### Python Debugging":      "### Go Debugging",
}

func TestTroubleshootingHasEverySection(t *testing.T) {
	t.Parallel()
	var have []string
	for _, m := range heading.FindAllStringSubmatch(outsideCode(documents(t)["docs/troubleshooting.md"]), -1) {
		have = append(have, m[0])
	}
	at := 0
	for want := range strings.Lines(strings.TrimSpace(guide)) {
		want = strings.TrimSpace(want)
		if other := renamed[want]; other != "" {
			want = other
		}
		i := slices.Index(have[at:], want)
		if i < 0 {
			t.Errorf("no section %q after %q", want, have[max(at-1, 0)])
			continue
		}
		at += i + 1
	}
}

// The log lines that the documents show begin as the code's do.
func TestLogLinesAreTheCodes(t *testing.T) {
	t.Parallel()
	code := ""
	for _, pattern := range []string{"*.go", "providers/vault/*.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			code += strings.ToLower(string(text))
		}
	}
	shown := 0
	for _, b := range blocksOf(map[string]string{"": documents(t)["docs/troubleshooting.md"]}, "text") {
		for _, m := range regexp.MustCompile(`(?m)^(?:DEBUG|INFO|WARNING|ERROR): ([A-Z][a-z]+(?: [A-Za-z]+)*)`).FindAllStringSubmatch(b.text, -1) {
			text, _, _ := strings.Cut(m[1], " at ") // then an address
			if shown++; !strings.Contains(code, strings.ToLower(text)) {
				t.Errorf("nobody logs %q", text)
			}
		}
	}
	if shown < 8 {
		t.Errorf("%d lines are shown", shown)
	}
}

// TestGoClientsCompile builds the snippets that are marked as compiled, with the
// versions named, in a module of its own. It fetches these modules, so it has to be
// asked for: SECRETSAUTH_GO_CLIENTS=1 go test -run TestGoClientsCompile ./internal/docs
func TestGoClientsCompile(t *testing.T) {
	t.Parallel()
	if os.Getenv("SECRETSAUTH_GO_CLIENTS") == "" {
		t.Skip("SECRETSAUTH_GO_CLIENTS is not set")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	goTool := func(args ...string) {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	goTool("mod", "init", "snippets")
	var modules, wanted []string
	for i, section := range strings.Split(documents(t)["docs/go-clients.md"], "\n## ") {
		m := regexp.MustCompile("(?m)^`(github.com/[^/`]+/[^/`]+)[^`]*`, (v[0-9.]+)\\. Compiled\\.$").FindStringSubmatch(section)
		if m == nil {
			continue
		}
		modules = append(modules, m[1]+"@"+m[2])
		package_ := filepath.Join(dir, "client"+strconv.Itoa(i))
		if err := os.Mkdir(package_, 0o700); err != nil {
			t.Fatal(err)
		}
		source := bytes.NewBufferString("package client\n\n")
		for _, b := range blocksOf(map[string]string{"": section}, "go") {
			source.WriteString(b.text)
		}
		if err := os.WriteFile(filepath.Join(package_, "client.go"), source.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		wanted = append(wanted, "./"+filepath.Base(package_))
	}
	if len(modules) < 2 {
		t.Fatalf("only %v are marked as compiled", modules)
	}
	goTool(append([]string{"get"}, modules...)...)
	goTool(append([]string{"vet"}, wanted...)...)
}

// codes are Microsoft's, of which the code has the number.
var codes = regexp.MustCompile(`^(?:AADSTS|AKV)([0-9]+)$`)

// What the tables of errors quote, the providers say.
func TestErrorsAreTheProviders(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"vault", "aws", "azure"} {
		files, err := filepath.Glob(filepath.Join(root, "providers", store, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		code := ""
		for _, file := range files {
			if text, err := os.ReadFile(file); err != nil {
				t.Fatal(err)
			} else if !strings.HasSuffix(file, "_test.go") {
				code += string(text)
			}
		}
		_, table, _ := strings.Cut(documents(t)["docs/providers/"+store+".md"], "\n## Errors\n")
		_, rows, _ := strings.Cut(table, "| --- | --- | --- |\n")
		looked := 0
		for row := range strings.Lines(rows) {
			said := strings.Split(row, "|")[1]
			for _, part := range regexp.MustCompile(`…|: |[()]|, `).Split(said, -1) {
				part = codes.ReplaceAllString(strings.TrimSpace(part), `"$1"`)
				if len(part) < 7 || unicode.IsDigit(rune(part[0])) { // a status of HTTP
					continue
				}
				if looked++; !strings.Contains(code, part) {
					t.Errorf("providers/%s does not say %q", store, part)
				}
			}
		}
		if looked < 12 {
			t.Errorf("%s: only %d texts are looked at", store, looked)
		}
	}
}
