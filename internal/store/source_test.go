package store_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed are the files outside this package that use net/http's own clients and
// transports, and why each may. A name that ends in a slash is a folder.
var allowed = map[string]string{
	"config.go":                              "requests to the tracking server are the user's, and so is their transport (docs/security.md)",
	"examples/":                              "programs as users write them",
	"internal/e2e/":                          "administers the servers of the tests",
	"internal/faults/faults.go":              "a stand-in of the tests",
	"providers/aws/client.go":                "a client's transport becomes a Single, whatever it was",
	"providers/azure/client.go":              "as in aws/client.go",
	"providers/aws/sender.go":                "the client gets its transport, a Single, where it is copied",
	"providers/providertest/providertest.go": "the way of the suite itself, which providers are handed",
}

// A client that is added later keeps connections, unless its requests go through Single.
func TestF1F2F3NoOtherClientOrTransportIsMade(t *testing.T) {
	t.Parallel()
	const root = "../.."
	used, read := map[string]bool{}, 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		name = filepath.ToSlash(name)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "internal/store" || name == "bench" || name != "." && strings.HasPrefix(name, ".")):
			return filepath.SkipDir // bench is another module, and measures
		case entry.IsDir(), !strings.HasSuffix(name, ".go"), strings.HasSuffix(name, "_test.go"):
			return nil
		}
		read++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		entryOf := name
		for folder := range allowed {
			if strings.HasSuffix(folder, "/") && strings.HasPrefix(name, folder) {
				entryOf = folder
			}
		}
		for _, what := range ownHTTP(file) {
			if used[entryOf] = true; allowed[entryOf] == "" {
				t.Errorf("%s uses %s: send the requests through store.NewSingle", name, what)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range allowed {
		if !used[name] {
			t.Errorf("%s is allowed and needs not be", name)
		}
	}
	if read < 100 {
		t.Errorf("%d files are not the module", read)
	}
}

// ownHTTP is what a file uses of net/http that makes a transport, or a client that has
// the default one.
func ownHTTP(file *ast.File) (found []string) {
	names := []string{}
	for _, spec := range file.Imports {
		if path, _ := strconv.Unquote(spec.Path.Value); path != "net/http" {
			continue
		}
		switch {
		case spec.Name == nil:
			names = append(names, "http")
		case spec.Name.Name == ".":
			return []string{"net/http without a name"}
		default:
			names = append(names, spec.Name.Name)
		}
	}
	member := func(n ast.Node) string {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return ""
		}
		if x, ok := s.X.(*ast.Ident); ok && slices.Contains(names, x.Name) {
			return s.Sel.Name
		}
		return ""
	}
	pointed := map[ast.Node]bool{} // types that only a pointer is made to
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StarExpr:
			pointed[n.X] = true
		case *ast.CompositeLit:
			if member(n.Type) == "Client" {
				pointed[n.Type] = slices.ContainsFunc(n.Elts, func(e ast.Expr) bool {
					pair, ok := e.(*ast.KeyValueExpr)
					return ok && fmt.Sprint(pair.Key) == "Transport"
				})
			}
		}
		switch name := member(n); name {
		case "DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm":
			found = append(found, "http."+name)
		case "Transport", "Client":
			if !pointed[n] {
				found = append(found, "an http."+name+" of its own")
			}
		}
		return true
	})
	return found
}

// The test above sees each way of making one.
func TestEachWayToMakeATransportIsSeen(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		`import "net/http"; var t = &http.Transport{}`:                                                          true,
		`import "net/http"; var t = new(http.Transport)`:                                                        true,
		`import "net/http"; var t http.Transport`:                                                               true,
		`import "net/http"; type t struct { http.Transport }`:                                                   true,
		`import web "net/http"; var t = web.DefaultTransport`:                                                   true,
		`import ("net/http"; web "net/http"); var c = web.DefaultClient; var h http.Header`:                     true,
		`import . "net/http"; var c = DefaultClient`:                                                            true,
		`import "net/http"; var c = http.Client{Timeout: 1}`:                                                    true,
		`import "net/http"; var c = new(http.Client)`:                                                           true,
		`import "net/http"; func f() { http.Get("") }`:                                                          true,
		`import "net/http"; func f(t *http.Transport, rt http.RoundTripper) { _ = http.Client{Transport: rt} }`: false,
		`import "net/http"; var _, ok = any(nil).(*http.Transport)`:                                             false,
		`import http "net/url"; var v = http.Values{}; var t = http.Transport`:                                  false,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p; "+code, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if found := ownHTTP(file); len(found) > 0 != want {
			t.Errorf("%s: %q", code, found)
		}
	}
}
