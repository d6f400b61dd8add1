package secretsauth_test

import (
	"net/http"
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
