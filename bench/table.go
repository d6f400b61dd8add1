package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// row is one line of the table.
type row struct {
	measure string
	ours    string
	beside  string // what ours is a multiple of, or what others need
	goal    string
	reached verdict

	times float64 // ours, where it is a multiple
	exact bool    // it does not depend on the machine
}

type verdict string

const (
	reported verdict = "" // there is no goal
	reached  verdict = "reached"
	missed   verdict = "missed"
)

func reachedIf(ok bool) verdict {
	if ok {
		return reached
	}
	return missed
}

// ratio is ours as a multiple of theirs.
func ratio(measure string, ours, theirs float64, beside string) row {
	x := ours / theirs
	return row{measure: measure, ours: multiple(x), beside: beside, times: x}
}

func multiple(x float64) string { return fmt.Sprintf("%.2f ×", x) }

// atMost sets the goal of a ratio.
func (r row) atMost(goal float64) row {
	r.goal, r.reached = "at most "+multiple(goal), reachedIf(r.times <= goal)
	return r
}

// faster is how many times theirs is of ours.
func faster(measure string, ours, theirs float64, beside string) row {
	x := theirs / ours
	return row{measure: measure, ours: fmt.Sprintf("%.0f × faster", x), beside: beside, times: x}
}

// atLeast sets the goal of what is faster.
func (r row) atLeast(goal float64) row {
	r.goal, r.reached = fmt.Sprintf("at least %.0f × faster", goal), reachedIf(r.times >= goal)
	return r
}

// exact is a number that is the same on every machine, and may be at most goal.
func exact(measure string, n float64, beside string, goal int) row {
	return row{measure: measure, ours: number(n), beside: beside, exact: true,
		goal: fmt.Sprintf("at most %d", goal), reached: reachedIf(n <= float64(goal))}
}

func number(n float64) string { return fmt.Sprintf("%.0f", n) }

// notMeasured says why not.
func notMeasured(measure, why string) row {
	return row{measure: measure, ours: "not measured: " + why}
}

type table []row

var heads = []string{"measure", "secretsauth", "beside", "goal", ""}

func (r row) cells() []string {
	return []string{r.measure, r.ours, r.beside, r.goal, string(r.reached)}
}

// plain is for a terminal.
func (t table) plain() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, cells := range append([][]string{heads}, t.all()...) {
		_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush()
	return text.String()
}

// markdown is for a document.
func (t table) markdown() string {
	var text strings.Builder
	line := func(cells []string) { fmt.Fprintf(&text, "| %s |\n", strings.Join(cells, " | ")) }
	line(heads)
	line([]string{"---", "---", "---", "---", "---"})
	for _, cells := range t.all() {
		line(cells)
	}
	return text.String()
}

func (t table) all() (cells [][]string) {
	for _, r := range t {
		cells = append(cells, r.cells())
	}
	return cells
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }
