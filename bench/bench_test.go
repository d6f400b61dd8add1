package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// moment is enough to see that a measure works.
var moment = effort{batches: 1, batch: 100 * time.Microsecond, rounds: 1, soak: 1500 * time.Millisecond}

// TestMeasures makes every measure once. Its numbers mean nothing.
func TestMeasures(t *testing.T) {
	slow := map[string]bool{"start": true, "search": true} // they build and start programs
	var all table
	for _, m := range measures {
		t.Run(m.name, func(t *testing.T) {
			if slow[m.name] && testing.Short() {
				t.Skip("takes longer than a moment")
			}
			rows, err := m.run(moment)
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) == 0 {
				t.Fatal("it has measured nothing")
			}
			for _, r := range rows {
				if r.measure == "" || r.ours == "" || strings.Contains(r.ours, "NaN") || strings.Contains(r.ours, "Inf") {
					t.Errorf("%+v", r)
				}
				if r.exact && r.reached == missed {
					t.Errorf("%+v: no other load can be the reason", r)
				}
			}
			all = append(all, rows...)
		})
	}
	path := filepath.Join(t.TempDir(), "performance.md")
	if err := report(path, all); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), all.markdown()) {
		t.Errorf("the report does not hold the table: %v", err)
	}
}
