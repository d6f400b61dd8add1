// Package inspect is how a provider lets a doctor follow a read of its secret step
// by step: the way is the provider's own, so that what the doctor sees is what
// Fetch does.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// Provider is a provider that can be inspected.
type Provider interface {
	secretsauth.Provider
	Inspect(Options) Store
}

// Options are the doctor's.
type Options struct {
	Regions []string // where to look for an AWS secret that is not in its own region
}

// Store is a secret manager, and the steps of a read in their order.
type Store struct {
	Address   string          // its URL, or "" if it is not known
	Transport *http.Transport // its requests' TLS and proxy settings; nil: not known
	Steps     []Step
}

// Step is one check.
type Step struct {
	ID   string // such as "store.auth"
	Look func(context.Context) Finding
}

// Status is how a check came out.
type Status string

// The statuses of a check.
const (
	Pass Status = "pass"
	Warn Status = "warn"
	Fail Status = "fail"
	Skip Status = "skip"
)

// Finding is what a check has found. Its texts hold no secret, and what a server
// said only quoted.
type Finding struct {
	Status  Status
	Summary string // one line
	Cause   string // of a failure or warning
	Fix     string // what to do about it: a command, a variable to set

	Secret  secretsauth.Secret // of the step that reads it
	Invalid error              // why what was read is no credential, in place of Secret
}

// Passed says what is well.
func Passed(summary string) Finding { return Finding{Status: Pass, Summary: summary} }

// Warned is well enough to go on.
func Warned(summary, cause, fix string) Finding {
	return Finding{Status: Warn, Summary: summary, Cause: cause, Fix: fix}
}

// Skipped says why there was nothing to look at.
func Skipped(why string) Finding { return Finding{Status: Skip, Summary: why} }

// Broken says what does not work.
func Broken(summary, cause, fix string) Finding {
	return Finding{Status: Fail, Summary: summary, Cause: cause, Fix: fix}
}

// Failed is Broken where there is an error; cause and fix are those of err.
func Failed(summary string, err error) Finding {
	f := Broken(summary, err.Error(), "")
	if e, ok := errors.AsType[*secretsauth.Error](err); ok {
		f.Cause, f.Fix = e.Summary, e.Fix
		if f.Cause == "" && e.Kind != nil {
			f.Cause = e.Kind.Error()
		}
		if e.Cause != nil {
			f.Cause += ": " + e.Cause.Error()
		}
	}
	return f
}

// Printable is text as it is, or quoted where it would not stay on its line (S165).
func Printable(text string) string {
	if quoted := strconv.QuoteToASCII(text); quoted != `"`+text+`"` {
		return quoted
	}
	return text
}

// Span is a length of time in its largest unit, such as "2 days".
func Span(d time.Duration) string {
	n, unit := max(d, 0)/time.Second, "second"
	switch {
	case d >= 48*time.Hour:
		n, unit = d/(24*time.Hour), "day"
	case d >= 2*time.Hour:
		n, unit = d/time.Hour, "hour"
	case d >= 2*time.Minute:
		n, unit = d/time.Minute, "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}
