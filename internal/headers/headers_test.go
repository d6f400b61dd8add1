package headers_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/headers"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                   string
		canonical              string // "": it is no name
		credential, in, beside bool   // whether it may carry a credential, be stored in a secret, be sent along
	}{
		{"X-Api-Key", "X-Api-Key", true, true, true},
		{"x-api-KEY", "X-Api-Key", true, true, true},
		{"CF-Access-Client-Id", "Cf-Access-Client-Id", true, true, true},
		{"Authorization", "Authorization", true, true, false},
		{"X-MLFLOW-WORKSPACE", "X-Mlflow-Workspace", false, true, true},
		{"user-agent", "User-Agent", false, false, true},
		{"accept", "Accept", false, false, true},
		{"Host", "Host", false, false, false},
		{"transfer-encoding", "Transfer-Encoding", false, false, false},
		{"Proxy-Authorization", "Proxy-Authorization", false, false, false},
		{"Cookie", "Cookie", false, false, false},
		{"", "", false, false, false},
		{"X Key", "", false, false, false},
		{"X-Key:", "", false, false, false},
		{"Ünïcode", "", false, false, false},
		{"X-Key\r\nEvil", "", false, false, false},
	} {
		if got, why := headers.Canonical(test.name); got != test.canonical || (why == "") != (test.canonical != "") {
			t.Errorf("%q: %q, %q", test.name, got, why)
		}
		for what, rule := range map[string]struct {
			check func(string) (string, string)
			want  bool
		}{
			"ForCredential": {headers.ForCredential, test.credential}, "InSecret": {headers.InSecret, test.in}, "Along": {headers.Along, test.beside},
		} {
			got, why := rule.check(test.name)
			switch {
			case (why == "") != rule.want:
				t.Errorf("%s of %q: %q, want it accepted: %v", what, test.name, why, rule.want)
			case rule.want && got != test.canonical:
				t.Errorf("%s of %q is %q", what, test.name, got)
			}
		}
	}
}

func TestOnlyKnownNamesAreRepeated(t *testing.T) {
	t.Parallel()
	for _, name := range headers.Known() {
		canonical, why := headers.Canonical(name)
		if headers.Named(name) != name || canonical != name || why != "" {
			t.Errorf("%q is not named, or not canonical", name)
		}
	}
	for _, name := range []string{"", "X-Gate", "x-api-key", "Hunter2"} {
		if headers.Named(name) != "" {
			t.Errorf("%q is named", name)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	for value, says := range map[string]string{
		"value": "", "two words": "", "": "is empty", "a\nb": "control character", "a\tb": "control character", "é": "outside ASCII",
		strings.Repeat("x", 11): "is 11 bytes long, the limit is 10",
	} {
		if why := headers.Value(value, 10); (why == "") != (says == "") || !strings.Contains(why, says) {
			t.Errorf("%q: %q, want %q", value, why, says)
		}
	}
}

// A request has the right map, the right values in it, and shares the values of Further
// and Along with nobody, however many there are.
func TestWhatIsAdded(t *testing.T) {
	t.Parallel()
	line := func(name string, values ...string) headers.Line { return headers.Line{Name: name, Values: values} }
	for _, size := range []int{0, 1, 4, 7, 8, 9, 20} {
		for _, further := range []*headers.Further{nil, {Replacing: []headers.Line{line("X-Gate", "g")}, Yielding: []headers.Line{line("X-Both", "further"), line("X-Callers-0", "f")}}} {
			for _, along := range [][]headers.Line{nil, {line("X-Along", "1", "2"), line("X-Both", "along"), line("X-Callers-1", "a")}} {
				callers, want := http.Header{"authorization": {"old"}, "X-gate": {"mine"}}, http.Header{"Authorization": {"own"}}
				if further == nil {
					want["X-gate"] = []string{"mine"}
				} else {
					want["X-Gate"], want["X-Both"], want["X-Callers-0"] = []string{"g"}, []string{"further"}, []string{"f"}
				}
				if along != nil {
					want["X-Along"], want["X-Both"], want["X-Callers-1"] = []string{"1", "2"}, []string{"along"}, []string{"a"}
				}
				for i := range size {
					name := "X-Callers-" + string(rune('0'+i))
					callers[name], want[name] = []string{"mine", "too"}, []string{"mine", "too"}
				}
				added := headers.Added{Own: line("Authorization", "own"), Further: further, Along: along}
				got := added.To(callers)
				if !maps.EqualFunc(got, want, slices.Equal) {
					t.Errorf("%d headers of the caller's, further %v, along %v: %v, want %v", size, further != nil, along != nil, got, want)
				}
				for _, name := range []string{"X-Gate", "X-Along"} {
					if len(got[name]) > 0 {
						got[name][0] = "changed"
						got[name] = append(got[name], "more")
					}
				}
				if again := added.To(callers); !maps.EqualFunc(again, want, slices.Equal) {
					t.Error("a request's values are another's too")
				}
			}
		}
	}
}
