package settings_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/settings"
)

const root = "../.."

// Every variable of this module's own that the code names is in the table, and the
// other way round.
func TestTheTableIsTheCodes(t *testing.T) {
	t.Parallel()
	inCode := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 || d.Name() == "bench" || d.Name() == "settings" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if text, err := strconv.Unquote(literal.Value); err == nil && ours.MatchString(text) {
					inCode[text] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(inCode) < 20 {
		t.Fatalf("only %d variables found in the code", len(inCode))
	}
	for name := range inCode {
		if _, ok := settings.Find(name); !ok {
			t.Errorf("%s is in the code, and not in the table", name)
		}
	}
	for _, v := range settings.All {
		if ours.MatchString(v.Name) && !inCode[v.Name] {
			t.Errorf("%s is in the table, and nobody reads it", v.Name)
		}
	}
}

var ours = regexp.MustCompile(`^MLFLOW_((SECRETS_|AUTH_HEADER_|VAULT_|AWS_|AZURE_)[A-Z0-9_]+|WORKSPACE)$`)

// The README's table holds every variable of this module's own.
func TestTheReadmeHoldsTheTable(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range settings.All {
		if !strings.HasPrefix(v.Name, "MLFLOW_SECRETS_AUTH_ENABLE_") && ours.MatchString(v.Name) && !strings.Contains(string(readme), "`"+v.Name+"`") {
			t.Errorf("README.md does not name %s", v.Name)
		}
	}
}

func TestWhatIsShown(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"VAULT_TOKEN", "canary", "****"},
		{"MLFLOW_VAULT_TTL_SEC", " 60 ", "60"},
		{"MLFLOW_VAULT_TTL_SEC", "canary", "(not a number)"},
		{"MLFLOW_VAULT_AUTH_MODE", "Basic", "Basic"},
		{"MLFLOW_VAULT_AUTH_MODE", "canary", "(none of bearer, basic)"},
		{"VAULT_ADDR", "https://vault.company.com:8200/", "https://vault.company.com:8200/"},
		{"VAULT_ADDR", "https://user:canary@vault.company.com/?token=canary#canary", "https://****@vault.company.com/"},
		{"VAULT_ADDR", "canary", "(not a URL)"},
		{"MLFLOW_VAULT_SECRET_PATH", "secret/mlflow/auth", "secret/mlflow/auth"},
		{"MLFLOW_VAULT_SECRET_PATH", "secret/\x1b[31m", `"secret/\x1b[31m"`},
	} {
		t.Setenv(test.name, test.value)
		v, ok := settings.Find(test.name)
		if !ok || v.Shown() != test.want {
			t.Errorf("%s: %s, want %s", test.name, v.Shown(), test.want)
		}
	}
}

func TestWhereAValueComesFrom(t *testing.T) {
	v, _ := settings.Find("MLFLOW_AWS_SECRET_NAME")
	t.Setenv("MLFLOW_AWS_SECRET_NAME", " ")
	t.Setenv("MLFLOW_AWS_SECRET_ID", "")
	if v.Source() != "" {
		t.Errorf("unset: %s", v.Source())
	}
	t.Setenv("MLFLOW_AWS_SECRET_ID", "mlflow/auth")
	if v.Source() != "MLFLOW_AWS_SECRET_ID" || v.Shown() != "mlflow/auth" {
		t.Errorf("by its alias: %s %s", v.Source(), v.Shown())
	}
	t.Setenv("MLFLOW_AWS_SECRET_NAME", "other")
	if v.Source() != "MLFLOW_AWS_SECRET_NAME" {
		t.Errorf("both: %s", v.Source())
	}
	t.Setenv("MLFLOW_SECRETS_ALLOWED_HOSTS", "")
	if hosts, _ := settings.Find("MLFLOW_SECRETS_ALLOWED_HOSTS"); hosts.Source() == "" {
		t.Error("an allow-list that is set but empty counts as unset")
	}
}
