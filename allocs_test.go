package secretsauth_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
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
