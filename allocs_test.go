package secretsauth_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// TestHitCostsThreeAllocations guards the cost of a request that finds its value
// in the cache: the copy of the request, and two for the copy of its header map.
func TestHitCostsThreeAllocations(t *testing.T) {
	for _, hosts := range [][]string{{"mlflow.company.com"}, {"a.test", "b.test", "*.company.com"}} {
		rt, req := warmTransport(t, hosts...)
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := rt.RoundTrip(req); err != nil { //nolint:bodyclose // it has none
				t.Error(err)
			}
		}); n > 3 {
			t.Errorf("allow-list %q: %v allocations a request, want at most 3", hosts, n)
		}
	}
}

// TestTwoHostsInTurnCostThreeAllocations each: neither displaces what was decided
// about the other.
func TestTwoHostsInTurnCostThreeAllocations(t *testing.T) {
	rt, one := warmTransport(t, "*.company.com")
	two := one.Clone(one.Context())
	two.URL.Host = "other.company.com"
	if n := testing.AllocsPerRun(1000, func() {
		for _, req := range []*http.Request{one, two} {
			if _, err := rt.RoundTrip(req); err != nil { //nolint:bodyclose // it has none
				t.Error(err)
			}
		}
	}); n > 2*3 {
		t.Errorf("%v allocations for two requests, want at most 6", n)
	}
}

func TestHostNotAllowedCostsNoAllocation(t *testing.T) {
	rt, req := warmTransport(t, "other.company.com")
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := rt.RoundTrip(req); err != nil { //nolint:bodyclose // it has none
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a request, want none", n)
	}
}

// TestF18BodiesCostNoAllocation unless they are announced: a body that may be taken from
// the first attempt costs one.
func TestF18BodiesCostNoAllocation(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		most   float64
	}{
		{"no GetBody", func(*http.Request) {}, 3},
		{"GetBody", func(req *http.Request) { req.GetBody = func() (io.ReadCloser, error) { return nil, nil } }, 3},
		{"announced", func(req *http.Request) { req.Header["Expect"] = []string{"100-continue"} }, 3 + 1},
	} {
		rt, req := warmTransport(t, "mlflow.company.com")
		req.Body = io.NopCloser(strings.NewReader("metrics"))
		test.change(req)
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := rt.RoundTrip(req); err != nil { //nolint:bodyclose // it has none
				t.Error(err)
			}
		}); n > test.most {
			t.Errorf("%s: %v allocations a request, want at most %v", test.name, n, test.most)
		}
	}
}

// TestSeveralHeadersCostOneAllocationMore, for their values. A request with more than
// eight headers needs a larger map, which is made of parts.
func TestSeveralHeadersCostOneAllocationMore(t *testing.T) {
	one := secretsauth.NewToken(canary.New())
	two := one.WithHeader("X-Gate", canary.New())
	alone := secretsauth.Secret{}.WithHeader("X-Gate", canary.New()).WithHeader("X-Key", canary.New())
	for _, test := range []struct {
		name    string
		secret  secretsauth.Secret
		along   http.Header
		callers int
		replace []string // headers of the caller's that are replaced
		most    float64
	}{
		{"one header, eight in all", one, nil, 7, nil, 3},
		{"one header in the place of the caller's, eight in all", one, nil, 7, []string{"Authorization"}, 3},
		{"one header, nine in all", one, nil, 8, nil, 6},
		{"one header, sixteen in all", one, nil, 15, nil, 6},
		{"one header, forty in all", one, nil, 39, nil, 6},
		{"two headers", two, nil, 4, nil, 4},
		{"two headers, eight in all", two, nil, 6, nil, 4},
		{"two headers in the place of the caller's, eight in all", two, nil, 6, []string{"Authorization", "X-Gate"}, 4},
		{"two headers, nine in all", two, nil, 7, nil, 6},
		{"two headers, forty in all", two, nil, 38, nil, 6},
		{"headers alone", alone, nil, 6, nil, 4},
		{"a configured header", one, http.Header{"X-Mlflow-Workspace": {"team"}}, 6, nil, 4},
		{"further and configured headers", two, http.Header{"X-Mlflow-Workspace": {"team"}, "X-Several": {"a", "b", "c"}}, 4, nil, 4},
		{"further and configured headers, nine in all", two, http.Header{"X-Mlflow-Workspace": {"team"}, "X-Several": {"a", "b", "c"}}, 5, nil, 6},
	} {
		rt, req := warmTransportOf(t, test.secret, secretsauth.Config{AllowedHosts: []string{"*"}, Headers: test.along})
		req.Header = http.Header{}
		for i := range test.callers {
			req.Header.Set(fmt.Sprintf("X-Callers-%d", i), "value")
		}
		for _, name := range test.replace {
			req.Header.Set(name, "placeholder")
		}
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := rt.RoundTrip(req); err != nil { //nolint:bodyclose // it has none
				t.Error(err)
			}
		}); n > test.most {
			t.Errorf("%s: %v allocations a request, want at most %v", test.name, n, test.most)
		}
	}
}
