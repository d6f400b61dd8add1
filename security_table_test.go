package secretsauth_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// lastNumber is the last row of the table of docs/security.md.
const lastNumber = 169

// untestable are the rows that no test of this project can show; the table says
// why.
var untestable = []int{168}

var (
	tableRow  = regexp.MustCompile(`^\| S(\d+) \| (.+) \| (.+) \| (.+) \|$`)
	codeSpan  = regexp.MustCompile("`([^`]+)`")
	testFiles = regexp.MustCompile(`^[\w./-]+(_test\.go|\.txtar)$`)
)

// TestEveryRowOfTheSecurityTableHasItsTest reads docs/security.md, and looks for
// the tests that it names in the sources.
func TestEveryRowOfTheSecurityTableHasItsTest(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]testSource{}
	rows := map[int]int{}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| S") {
			continue
		}
		cells := tableRow.FindStringSubmatch(strings.TrimSpace(line))
		if cells == nil {
			t.Errorf("a row has not four cells: %.60q", line)
			continue
		}
		n, _ := strconv.Atoi(cells[1])
		rows[n]++
		if slices.Contains(untestable, n) {
			if !strings.HasPrefix(cells[4], "No test") {
				t.Errorf("S%d does not say why it has no test", n)
			}
			continue
		}
		checkTests(t, sources, n, cells[4])
	}
	for n := 1; n <= lastNumber; n++ {
		if rows[n] != 1 {
			t.Errorf("S%d has %d rows", n, rows[n])
		}
	}
	if len(rows) != lastNumber {
		t.Errorf("%d numbers have a row, want %d", len(rows), lastNumber)
	}
}

// checkTests looks for what a row names: `file` `Test`, `Test/S1`; `file` …
func checkTests(t *testing.T, sources map[string]testSource, n int, cell string) {
	t.Helper()
	tests, numbered := 0, false
	for part := range strings.SplitSeq(cell, "; ") {
		spans := codeSpan.FindAllStringSubmatch(part, -1)
		if len(spans) < 2 || !testFiles.MatchString(spans[0][1]) {
			t.Errorf("S%d: %q is not a file and its tests", n, part)
			continue
		}
		file := spans[0][1]
		source, known := sources[file]
		if !known {
			var err error
			if source, err = readTests(file); err != nil {
				t.Errorf("S%d: %v", n, err)
			}
			sources[file] = source
		}
		for _, span := range spans[1:] {
			tests++
			name, subtest, _ := strings.Cut(span[1], "/")
			comment, ok := source.tests[name]
			switch {
			case !ok:
				t.Errorf("S%d: there is no %s in %s", n, name, file)
			case strings.HasSuffix(file, ".txtar"):
				if subtest+".txtar" != path.Base(file) {
					t.Errorf("S%d: %s is no script of %s", n, span[1], file)
				}
				numbered = numbered || holdsNumber(comment, n)
			case subtest != "":
				of, err := strconv.Atoi(strings.TrimPrefix(subtest, "S"))
				if err != nil || !slices.ContainsFunc(source.strings, func(s string) bool { return holdsNumber(s, of) }) {
					t.Errorf("S%d: no subtest %s in %s", n, span[1], file)
				}
				numbered = numbered || of == n
			default:
				numbered = numbered || holdsNumber(name, n) || holdsNumber(comment, n)
			}
		}
	}
	if tests == 0 {
		t.Errorf("S%d names no test", n)
	}
	if !numbered {
		t.Errorf("S%d: none of its tests carries the number", n)
	}
}

// holdsNumber reports whether text has S and n, and no further digit.
func holdsNumber(text string, n int) bool {
	for rest, number := text, fmt.Sprint("S", n); ; {
		_, after, ok := strings.Cut(rest, number)
		if !ok {
			return false
		}
		if after == "" || after[0] < '0' || after[0] > '9' {
			return true
		}
		rest = after
	}
}

// testSource is what is looked for in one file: its tests, with their comments, and
// every string, among which are the names of subtests.
type testSource struct {
	tests   map[string]string
	strings []string
}

func readTests(file string) (testSource, error) {
	s := testSource{tests: map[string]string{}}
	if strings.HasSuffix(file, ".txtar") {
		return readScript(file)
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return s, err
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if name := n.Name.Name; n.Recv == nil && (strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz")) {
				s.tests[name] = n.Doc.Text()
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				s.strings = append(s.strings, n.Value)
			}
		}
		return true
	})
	return s, nil
}

// readScript takes the headings of a script for the comment of TestScripts, which
// runs it.
func readScript(file string) (testSource, error) {
	f, err := os.Open(file)
	if err != nil {
		return testSource{}, err
	}
	defer func() { _ = f.Close() }()
	var headings strings.Builder
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "# ") {
			headings.WriteString(lines.Text() + "\n")
		}
	}
	return testSource{tests: map[string]string{"TestScripts": headings.String()}}, lines.Err()
}

// TestSecurityMDTellsWhatEachDependencyIsFor compares the list of SECURITY.md with
// go.mod: every direct requirement is in it, and nothing that is not required.
func TestSecurityMDTellsWhatEachDependencyIsFor(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var want, required []string
	for line := range strings.Lines(string(mod)) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "require ")
		if fields := strings.Fields(line); len(fields) >= 2 && strings.HasPrefix(fields[1], "v") && strings.Contains(fields[0], ".") {
			if required = append(required, fields[0]); !strings.Contains(line, "// indirect") {
				want = append(want, fields[0])
			}
		}
	}
	text, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	row := regexp.MustCompile("^\\| `([^`]+)` \\| [^|]+\\w[^|]* \\|$")
	for line := range strings.Lines(string(text)) {
		if m := row.FindStringSubmatch(strings.TrimSpace(line)); m != nil && strings.Contains(m[1], "/") {
			got = append(got, m[1])
		}
	}
	if len(want) < 5 {
		t.Fatalf("%d requirements are not go.mod", len(want))
	}
	for _, module := range want {
		if !slices.Contains(got, module) {
			t.Errorf("SECURITY.md does not say what %s is for", module)
		}
	}
	for _, module := range got {
		if !slices.Contains(required, module) {
			t.Errorf("SECURITY.md lists %s, which go.mod does not require", module)
		}
	}
}
