package secretsauth_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// makers are what makes an HTTP client, or is one, by the package that it is in. Of a
// type, values count and pointers do not.
var makers = map[string][]string{
	"net/http":               {"Client", "Transport", "DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm"},
	"net/http/httputil":      {"ReverseProxy", "NewSingleHostReverseProxy"},
	"golang.org/x/net/http2": {"Transport", "ConfigureTransport", "ConfigureTransports"},
	"github.com/aws/aws-sdk-go-v2/aws/transport/http": {"NewBuildableClient", "BuildableClient"},
	"github.com/hashicorp/go-cleanhttp":               {"DefaultClient", "DefaultPooledClient", "DefaultTransport", "DefaultPooledTransport"},
	"github.com/hashicorp/go-retryablehttp":           {"Client", "NewClient", "Get", "Head", "Post", "PostForm"},
	"github.com/hashicorp/vault/api":                  {"DefaultConfig", "NewClient"},
}

// allowedClients are the places that may have one: a file, or a folder that ends in a
// slash, and why. internal/store is where the others get theirs.
var allowedClients = map[string]string{
	"internal/store/": "what makes transports for all others, and holds back their reads",

	"config.go":                        "a program's requests to its own servers go by net/http's transport unless it says otherwise; docs/security.md tells what that prints",
	"internal/proxy/proxy.go":          "connections to the upstream are kept for the sake of speed; the command's standard logger goes to nowhere",
	"internal/proxy/control_client.go": "its transport is a store.Single",
	"providers/aws/client.go":          "a copy of the caller's client, whose transport is a store.Single",
	"providers/aws/sdkconfig.go":       "the SDK's client, which the requests do not reach: see sender.go",
	"providers/aws/sender.go":          "takes the settings of the SDK's client; its transport is a store.Single",
	"providers/azure/client.go":        "a copy of the caller's client, whose transport is a store.Single",
	"providers/vault/client.go":        "takes the settings of Vault's client; its transport is a store.Single",

	"examples/":               "programs as users write them",
	"internal/e2e/":           "tests",
	"internal/faults/":        "stand-ins of tests",
	"providers/providertest/": "the clients of a test suite, which fail on purpose",
}

// clientsIn are the makers that a file uses, as it writes them.
func clientsIn(t *testing.T, name string, text any) (used []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	makes := map[string][]string{} // by the name of the import in this file
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		local := path[strings.LastIndex(path, "/")+1:]
		if path == "github.com/hashicorp/go-cleanhttp" || path == "github.com/hashicorp/go-retryablehttp" {
			local = strings.TrimPrefix(local, "go-")
		}
		if spec.Name != nil {
			local = spec.Name.Name
		}
		switch names := makers[path]; {
		case names == nil:
		case local == ".":
			used = append(used, `. "`+path+`"`) // its names could not be told from the file's own
		default:
			makes[local] = names
		}
	}
	pointers := map[ast.Expr]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StarExpr:
			pointers[ast.Unparen(n.X)] = true
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && !pointers[n] && slices.Contains(makes[x.Name], n.Sel.Name) {
				used = append(used, x.Name+"."+n.Sel.Name)
			}
		}
		return true
	})
	return used
}

// A client that keeps its connections has net/http print what its peer sends unasked. So
// a new one is made by internal/store, or has a reason here.
func TestF2ClientsAreMadeInOnePlace(t *testing.T) {
	t.Parallel()
	needed := map[string]bool{}
	files := 0
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name != "." && (strings.HasPrefix(entry.Name(), ".") || name == "bench" || entry.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files++
		used := clientsIn(t, name, nil)
		if len(used) == 0 {
			return nil
		}
		name = filepath.ToSlash(name)
		for place := range allowedClients {
			if name == place || strings.HasSuffix(place, "/") && strings.HasPrefix(name, place) {
				needed[place] = true
				return nil
			}
		}
		t.Errorf("%s uses %s: let internal/store make the client, or give a reason in allowedClients", name, strings.Join(used, ", "))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range slices.Sorted(maps.Keys(allowedClients)) {
		if !needed[place] {
			t.Errorf("%s needs no reason any more", place)
		}
	}
	if files < 100 {
		t.Errorf("%d files are not the module", files)
	}
}

// However it is written, a client is found.
func TestF2AClientIsFoundHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`import "net/http"; var t = &http.Transport{}`:                                                   "http.Transport",
		"import \"net/http\"; var t = &http.\n\tTransport\t{ }":                                          "http.Transport",
		`import web "net/http"; var c = web.DefaultClient`:                                               "web.DefaultClient",
		"import `net/http`; var c = (http.DefaultTransport)":                                             "http.DefaultTransport",
		`import . "net/http"; var t = &Transport{}`:                                                      `. "net/http"`,
		`import "net/http"; var t = new(http.Transport)`:                                                 "http.Transport",
		`import "net/http"; var t http.Transport`:                                                        "http.Transport",
		`import "net/http"; type own struct { http.Transport }`:                                          "http.Transport",
		`import "net/http"; type own = http.Transport`:                                                   "http.Transport",
		`import "net/http"; var c = http.Client{}`:                                                       "http.Client",
		`import "net/http"; var get = http.Get`:                                                          "http.Get",
		`import "net/http/httputil"; var p = &httputil.ReverseProxy{}`:                                   "httputil.ReverseProxy",
		`import aws "github.com/aws/aws-sdk-go-v2/aws/transport/http"; var c = aws.NewBuildableClient()`: "aws.NewBuildableClient",
		`import "github.com/hashicorp/go-cleanhttp"; var c = cleanhttp.DefaultClient()`:                  "cleanhttp.DefaultClient",

		`import "net/http"; func f(t *http.Transport, rt http.RoundTripper, c *http.Client) {}`: "",
		`import "net/http"; var t, ok = http.RoundTripper(nil).(*http.Transport)`:               "",
		`import "net/http"; var t = (*(http.Transport))(nil)`:                                   "",
		`import "strings"; /* http.Transport{} */ var s = "http.DefaultClient"`:                 "",
	} {
		if got := strings.Join(clientsIn(t, "some.go", "package some\n"+text), ", "); got != want {
			t.Errorf("%s: found %q, want %q", text, got, want)
		}
	}
}
