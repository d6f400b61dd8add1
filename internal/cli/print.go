package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fatih/color"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/mlflow-secrets-auth/secretsauth/internal/doctor"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// painter colours text on a terminal, and nowhere else. NO_COLOR forbids it
// (no-color.org).
type painter struct{ on bool }

func newPainter(to io.Writer) painter {
	return painter{isTerminal(to) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// isTerminal reports whether a person sees what is written, and no program.
func isTerminal(to io.Writer) bool {
	file, ok := to.(*os.File)
	return ok && (isatty.IsTerminal(file.Fd()) || isatty.IsCygwinTerminal(file.Fd()))
}

func (p painter) paint(text string, attributes ...color.Attribute) string {
	c := color.New(attributes...)
	if p.on {
		c.EnableColor()
	} else {
		c.DisableColor()
	}
	return c.Sprint(text)
}

var marks = map[inspect.Status]struct {
	sign  string
	paint color.Attribute
}{
	inspect.Pass: {"✓", color.FgGreen},
	inspect.Warn: {"!", color.FgYellow},
	inspect.Fail: {"✗", color.FgRed},
	inspect.Skip: {"-", color.FgHiBlack},
}

func (p painter) mark(s inspect.Status) string { return p.paint(marks[s].sign, marks[s].paint) }

// checks prints results as they come, a line each, and why and what to do below
// those that are not well.
type checks struct {
	to io.Writer
	painter
	skipped []doctor.Result // for one reason, not printed yet
}

func (c *checks) print(r doctor.Result) {
	if r.Status == inspect.Skip {
		if len(c.skipped) > 0 && (c.skipped[0].Summary != r.Summary || c.skipped[0].Provider != r.Provider) {
			c.flush()
		}
		c.skipped = append(c.skipped, r)
		return
	}
	c.flush()
	c.line(r)
}

// flush prints what was skipped, a line for all.
func (c *checks) flush() {
	if len(c.skipped) == 0 {
		return
	}
	all := c.skipped[0]
	if last := c.skipped[len(c.skipped)-1]; last.ID != all.ID {
		all.ID += " … " + last.ID
	}
	c.line(all)
	c.skipped = nil
}

func (c *checks) line(r doctor.Result) {
	text := oneLine(r.Summary)
	if r.Provider != "" {
		text = r.Provider + ": " + text
	}
	_, _ = fmt.Fprintf(c.to, "%s %-20s %s\n", c.mark(r.Status), r.ID, text)
	if r.Cause != "" {
		_, _ = fmt.Fprintf(c.to, "    cause: %s\n", oneLine(r.Cause))
	}
	if r.Fix != "" {
		_, _ = fmt.Fprintf(c.to, "    fix:   %s\n", oneLine(r.Fix))
	}
}

func printJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return failure(cmd, err)
	}
	return nil
}
