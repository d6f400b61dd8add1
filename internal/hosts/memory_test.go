package hosts

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func memory(t *testing.T, patterns ...string) *Memory {
	t.Helper()
	list, err := Compile(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return NewMemory(list)
}

func TestDecisionIsRemembered(t *testing.T) {
	t.Parallel()
	m := memory(t, "*.company.com")
	u := &url.URL{Scheme: "https", Host: "a.company.com", Path: "/x"}
	first := m.Decide(u)
	if !first.Allowed {
		t.Fatal("the host is not allowed")
	}
	for _, other := range []*url.URL{
		{Scheme: "http", Host: u.Host},
		{Scheme: "https", Host: "A.company.com"},
		{Scheme: "https", Host: "a.company.com:444"},
		{Scheme: "https", Host: u.Host, Opaque: "//evil.test/"},
	} {
		if m.Decide(other) == first {
			t.Errorf("%v gets the decision on %v", other, u)
		}
	}
	if m.Decide(&url.URL{Scheme: "https", Host: u.Host, Path: "/y"}) != first {
		t.Error("a host is decided on again")
	}
}

func TestDecisionThatIsNotRemembered(t *testing.T) {
	t.Parallel()
	for name, u := range map[string]*url.URL{
		"an opaque URL":      {Scheme: "https", Host: "a.company.com", Opaque: "//evil.test/"},
		"a host of any size": {Scheme: "https", Host: strings.Repeat("a", maxHostSize+1)},
	} {
		m := memory(t, "*")
		if m.Decide(u); m.recent.Load() != nil {
			t.Errorf("%s is remembered", name)
		}
	}
}

// What other goroutines read is replaced, never changed, and does not grow.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m := memory(t, "*")
	for i := range 10 * maxRecent {
		before := m.recent.Load()
		var held []*Host
		if before != nil {
			held = slices.Clone(*before)
		}
		u := &url.URL{Scheme: "https", Host: fmt.Sprintf("host%d.test", i)}
		h := m.Decide(u)
		if before != nil && !slices.Equal(*before, held) {
			t.Fatal("a list that others may read has changed")
		}
		if n := len(*m.recent.Load()); n > maxRecent {
			t.Fatalf("%d decisions are kept, want at most %d", n, maxRecent)
		}
		if m.Decide(u) != h {
			t.Fatal("the latest decision is not kept")
		}
	}
}

// A remembered decision costs no allocation, however long the list is.
func TestRememberedDecisionCostsNoAllocation(t *testing.T) {
	var patterns []string
	for i := range 1000 {
		patterns = append(patterns, fmt.Sprintf("mlflow-%d-*.company.com", i))
	}
	m := memory(t, patterns...)
	allowed := &url.URL{Scheme: "http", Host: "mlflow-999-x.company.com"}
	refused := &url.URL{Scheme: "http", Host: "evil.test"}
	if n := testing.AllocsPerRun(100, func() {
		if h := m.Decide(allowed); !h.Allowed {
			t.Error("the host is not allowed")
		}
		h := m.Decide(refused)
		if h.Allowed {
			t.Error("the other host is allowed")
		}
		m.FirstWarning(h, "Host not allowed")
	}); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestFirstWarning(t *testing.T) {
	t.Parallel()
	m := memory(t, "*")
	var firsts atomic.Int32
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			// Two spellings of one host have a decision each, and one warning.
			h := m.Decide(&url.URL{Scheme: "http", Host: []string{"a.test", "A.test."}[i%2]})
			if line, ok := m.FirstWarning(h, "Host not allowed"); ok {
				firsts.Add(1)
				if line != "Host not allowed: a.test" {
					t.Errorf("the line is %q", line)
				}
			}
		})
	}
	wg.Wait()
	if n := firsts.Load(); n != 1 {
		t.Errorf("%d first warnings, want 1", n)
	}

	h := m.Decide(&url.URL{Scheme: "http", Host: "a.test"})
	for _, c := range []struct {
		what string
		want bool
	}{{"Credential withheld", true}, {"Host not allowed", false}, {"Credential withheld", false}} {
		if _, ok := m.FirstWarning(h, c.what); ok != c.want {
			t.Errorf("%q is a first warning: %v, want %v", c.what, ok, c.want)
		}
	}

	said := 0
	for i := range 2 * maxLines {
		h := m.Decide(&url.URL{Scheme: "http", Host: fmt.Sprintf("host%d.test", i)})
		if _, ok := m.FirstWarning(h, "Host not allowed"); ok {
			said++
		}
	}
	if said != maxLines-2 || len(m.logged.lines) != maxLines {
		t.Errorf("%d warnings more, %d kept; want at most %d in all", said, len(m.logged.lines), maxLines)
	}
}
