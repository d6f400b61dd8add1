package secretsauth_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/mlflow-secrets-auth/secretsauth"

// belowTheRoot are the packages that the root imports. They import the standard
// library only.
var belowTheRoot = []string{module + "/internal/env", module + "/internal/hosts", module + "/internal/jwt", module + "/internal/headers"}

// Importing the root costs a user the standard library and nothing else.
func TestTheRootNeedsTheStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command in PATH, so the dependencies cannot be listed")
	}
	for _, pkg := range append([]string{module}, belowTheRoot...) {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			list := exec.CommandContext(t.Context(), goTool, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg)
			var stderr strings.Builder
			list.Stderr = &stderr
			out, err := list.Output()
			if err != nil {
				t.Fatalf("go list: %v\n%s", err, &stderr)
			}
			deps := strings.Fields(string(out))
			for _, dep := range deps {
				if dep != pkg && (pkg != module || !slices.Contains(belowTheRoot, dep)) {
					t.Errorf("it needs %s", dep)
				}
			}
			if len(deps) == 0 || deps[len(deps)-1] != pkg {
				t.Error("go list does not name the package itself, so nothing was tested")
			}
		})
	}
}

// source is every file of the root and of the packages below it but the tests.
func source(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	for _, pkg := range append([]string{module}, belowTheRoot...) {
		folder := "." + strings.TrimPrefix(pkg, module)
		names, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil || len(names) < 2 {
			t.Fatalf("%s has %d files; %v", folder, len(names), err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files[name] = file
		}
	}
	if len(files) < 10 {
		t.Fatalf("%d files are not the package", len(files))
	}
	return files
}

// Nothing happens on import, and nothing can be registered from outside.
func TestNothingIsRegisteredOnImport(t *testing.T) {
	t.Parallel()
	for name, file := range source(t) {
		for _, spec := range file.Imports {
			if spec.Name != nil && spec.Name.Name == "_" {
				t.Errorf("%s imports %s for its side effects", name, spec.Path.Value)
			}
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s has an init function", name)
				}
			case *ast.GenDecl:
				if d.Tok != token.VAR {
					continue
				}
				for _, spec := range d.Specs {
					for _, v := range spec.(*ast.ValueSpec).Names {
						if v.IsExported() && !strings.HasPrefix(v.Name, "Err") {
							t.Errorf("%s exports the variable %s, which anyone may change", name, v.Name)
						}
					}
				}
			}
		}
	}
}

// What would bring a header or a raw URL into a text is not used at all.
func TestNothingThatDumpsRequestsIsUsed(t *testing.T) {
	t.Parallel()
	files := source(t)
	t.Run("S158 no dump, no trace, no global log", func(t *testing.T) {
		t.Parallel()
		for name, file := range files {
			for _, spec := range file.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				switch path {
				case "net/http/httputil", "net/http/httptrace", "log", "expvar":
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
	})
	t.Run("S153 no URL is parsed, whose error would quote it", func(t *testing.T) {
		t.Parallel()
		refused := map[string]bool{"url.Parse": true, "url.ParseRequestURI": true, "http.NewRequest": true, "http.NewRequestWithContext": true}
		for name, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && refused[x.Name+"."+s.Sel.Name] {
						t.Errorf("%s uses %s.%s", name, x.Name, s.Sel.Name)
					}
				}
				return true
			})
		}
	})
	t.Run("S133 no SDK is told to log bodies", func(t *testing.T) {
		t.Parallel()
		switches := []string{"IncludeBody", "LogRequestWithBody", "LogResponseWithBody", "LogSigning", "LogDeprecatedUsage", "OutputCurlString", "SetOutputCurlString"}
		read := 0
		for _, folder := range []string{"providers", "internal", "cmd", "examples"} {
			err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
					return err
				}
				text, err := os.ReadFile(name)
				for _, s := range switches {
					if strings.Contains(string(text), s) {
						t.Errorf("%s mentions %s", name, s)
					}
				}
				read++
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if read < 20 {
			t.Errorf("%d files are not the stores' packages", read)
		}
	})
	t.Run("S159 GODEBUG=http2debug is documented", func(t *testing.T) {
		t.Parallel()
		if doc := files["auth.go"].Doc.Text(); !strings.Contains(doc, "http2debug") || !strings.Contains(doc, "httptrace") {
			t.Error("the package comment does not say what lies below the transport and shows the header")
		}
	})
}
