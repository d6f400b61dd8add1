// Package docs writes the parts of docs/ that follow from the code: the reference of
// the variables and that of the commands. Its tests hold all documents against the
// code.
package docs

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth/internal/cli"
	"github.com/mlflow-secrets-auth/secretsauth/internal/settings"
)

// A Part is the text between two marks of a document:
//
//	<!-- generated: NAME -->
//	<!-- end -->
type Part struct {
	File string // below docs/
	Name string
	Text string
}

// Parts are all of them. root is the module's directory.
func Parts(ctx context.Context, root string) ([]Part, error) {
	fields, err := configFields(filepath.Join(root, "config.go"))
	if err != nil {
		return nil, err
	}
	commands, err := Commands(ctx)
	if err != nil {
		return nil, err
	}
	parts := []Part{
		{"configuration.md", "fields", fields},
		{"cli.md", "commands", reference(commands)},
	}
	for name, slug := range map[string]string{
		"general variables": "", "vault variables": "vault",
		"aws variables": "aws-secrets-manager", "azure variables": "azure-key-vault",
	} {
		parts = append(parts, Part{"configuration.md", name, variables(slug)})
	}
	return parts, nil
}

// In is document with the part in its place.
func (p Part) In(document string) (string, error) {
	begin, end := "<!-- generated: "+p.Name+" -->\n", "<!-- end -->\n"
	before, rest, ok := strings.Cut(document, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("%s has no place for %q", p.File, p.Name)
	}
	return before + begin + "\n" + p.Text + "\n" + end + after, nil
}

// variables is the table of one provider's, or with "" of those of none.
func variables(slug string) string {
	var b strings.Builder
	b.WriteString("| variable | meaning | default | example |\n| --- | --- | --- | --- |\n")
	for _, v := range settings.Of(slug) {
		name := "`" + v.Name + "`"
		if v.Alias != "" {
			name += " (`" + v.Alias + "`)"
		}
		meaning := v.Meaning
		if v.Kind == settings.Choice {
			meaning += ": " + strings.Join(v.Choices, ", ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` |\n", name, meaning, v.Default, v.Example)
	}
	return b.String()
}

// byVariable are the fields of secretsauth.Config that the environment sets too.
var byVariable = map[string]string{
	"AllowedHosts": "`MLFLOW_SECRETS_ALLOWED_HOSTS`",
	"Mode":         ofProviders("_AUTH_MODE"),
	"HeaderName":   "`MLFLOW_AUTH_HEADER_NAME`",
	"Headers":      "one of them: `MLFLOW_WORKSPACE`",
	"TTL":          ofProviders("_TTL_SEC"),
	"MaxStale":     "`MLFLOW_SECRETS_MAX_STALE_SEC`",
	"Logger":       "its level: `MLFLOW_SECRETS_LOG_LEVEL`",
	"RequireTLS":   "`MLFLOW_SECRETS_REQUIRE_TLS`",
	"RotationWait": "`MLFLOW_SECRETS_ROTATION_WAIT_SEC`",
	"Ignore403":    "`MLFLOW_SECRETS_IGNORE_403`",
}

// ofProviders are the variables with that end, of which each provider has one.
func ofProviders(end string) string {
	var names []string
	for _, v := range settings.All {
		if strings.HasSuffix(v.Name, end) {
			names = append(names, "`"+v.Name+"`")
		}
	}
	return strings.Join(names, ", ")
}

// configFields is the table of the fields of secretsauth.Config, from their comments.
func configFields(file string) (string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| field | variable | meaning |\n| --- | --- | --- |\n")
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Config" {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					variable := byVariable[name.Name]
					if variable == "" {
						variable = "none"
					}
					fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name.Name, variable, sentence(f.Doc.Text()))
				}
			}
		}
		return false
	})
	return b.String(), nil
}

var docLink = regexp.MustCompile(`\[([A-Za-z*][\w.]*)\]`)

// sentence is a Go comment on one line of Markdown.
func sentence(comment string) string {
	text := strings.Join(strings.Fields(comment), " ")
	text = docLink.ReplaceAllString(text, "`$1`")
	return strings.ReplaceAll(text, `[]string{"*"}`, "`[]string{\"*\"}`")
}

// A Command is what the program says of one of its commands.
type Command struct {
	Path  string          // "cache status"; "" for the program
	Help  string          // as --help prints it
	Flags map[string]bool // whether each takes a value
	Args  bool            // it takes arguments
}

// Commands are all of them, in the order of the help, those of completion excepted.
func Commands(ctx context.Context) ([]Command, error) {
	return commandsBelow(ctx, nil)
}

func commandsBelow(ctx context.Context, path []string) ([]Command, error) {
	var stdout, stderr bytes.Buffer
	if code := cli.Main(ctx, append(append([]string{}, path...), "--help"), &stdout, &stderr); code != 0 {
		return nil, fmt.Errorf("--help of %q exits with %d: %s", path, code, stderr.String())
	}
	c := newCommand(strings.Join(path, " "), stdout.String())
	all := []Command{c}
	if c.Path == "completion" {
		return all, nil
	}
	_, list, _ := strings.Cut(c.Help, "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "help" {
			continue
		}
		below, err := commandsBelow(ctx, append(append([]string{}, path...), words[0]))
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}

var (
	flagLine = regexp.MustCompile(`(?m)^\s+(-\w, |    )--([a-z-]+)( [A-Za-z]+)?  `)
	usage    = regexp.MustCompile(`(?m)^  mlflow-secrets-auth.*$`)
)

func newCommand(path, help string) Command {
	c := Command{Path: path, Help: strings.TrimSpace(help), Flags: map[string]bool{}}
	_, flags, _ := strings.Cut(help, "\nFlags:\n")
	for _, m := range flagLine.FindAllStringSubmatch(flags, -1) {
		c.Flags[m[2]] = m[3] != ""
	}
	_, how, _ := strings.Cut(help, "\nUsage:\n")
	line := strings.ReplaceAll(usage.FindString(how), "--upstream URL", "")
	c.Args = regexp.MustCompile(`\b[A-Z]{3,}\b`).MatchString(line)
	return c
}

// reference is the commands as a document.
func reference(commands []Command) string {
	var b strings.Builder
	for _, c := range commands {
		title := strings.TrimSpace("mlflow-secrets-auth " + c.Path)
		fmt.Fprintf(&b, "## %s\n\n```text\n%s\n```\n\n", title, c.Help)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Write brings the documents up to date.
func Write(ctx context.Context, root string) error {
	parts, err := Parts(ctx, root)
	if err != nil {
		return err
	}
	for _, p := range parts {
		file := filepath.Join(root, "docs", p.File)
		text, err := os.ReadFile(file) //nolint:gosec // a document of this module
		if err != nil {
			return err
		}
		written, err := p.In(string(text))
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(written), 0o644); err != nil { //nolint:gosec // a document is for all to read
			return err
		}
	}
	return nil
}
