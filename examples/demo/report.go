package main

import (
	"fmt"
	"io"
)

// report prints what happened, and counts what should not have.
type report struct {
	out      io.Writer
	sections int
	failed   int
}

func (r *report) text(text string) { _, _ = fmt.Fprintln(r.out, text) }

func (r *report) section(title string) {
	r.sections++
	r.text(fmt.Sprintf("\n%d  %s", r.sections, title))
}

func (r *report) check(ok bool, format string, args ...any) {
	mark := "✓"
	if !ok {
		mark = "✗"
		r.failed++
	}
	r.text(fmt.Sprintf("   %s %s", mark, fmt.Sprintf(format, args...)))
}

func (r *report) value(name string, format string, args ...any) {
	r.text(fmt.Sprintf("     %-32s %s", name, fmt.Sprintf(format, args...)))
}
