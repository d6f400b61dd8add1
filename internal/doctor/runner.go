package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// Result is one check.
type Result struct {
	ID       string
	Provider string // slug, or "" for a check of none in particular
	inspect.Finding
	Duration time.Duration
}

// MarshalJSON is the form that other programs read.
func (r Result) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID       string         `json:"id"`
		Provider string         `json:"provider"`
		Status   inspect.Status `json:"status"`
		Summary  string         `json:"summary"`
		Cause    string         `json:"cause"`
		Fix      string         `json:"fix"`
		Duration float64        `json:"duration_ms"`
	}{r.ID, r.Provider, r.Status, r.Summary, r.Cause, r.Fix, float64(r.Duration.Microseconds()) / 1000})
}

// checkTimeout bounds one check. It also has no more than half of what is left of
// the whole run's time, so that there is some to say what has hung.
const checkTimeout = 10 * time.Second

func (v *visit) share() (context.Context, context.CancelFunc) {
	bound := checkTimeout
	if end, ok := v.ctx.Deadline(); ok {
		bound = min(bound, time.Until(end)/2)
	}
	return context.WithTimeout(v.ctx, bound)
}

// noTime is a check that was not made, which is no success.
func (v *visit) noTime(id string) inspect.Finding {
	f := inspect.Broken("not checked", "the time for the run is over", "give more, such as --timeout 1m")
	if errors.Is(v.ctx.Err(), context.Canceled) {
		f = inspect.Broken("not checked", "the run was interrupted", "run it again")
	}
	if v.blocked == "" {
		v.block(id)
	}
	return v.note(id, f)
}

// visit runs checks one after the other. Once one has failed that the others build
// on, those are skipped.
type visit struct {
	ctx      context.Context
	log      *slog.Logger
	provider string
	emit     func(Result)
	results  []Result
	blocked  string // why the rest is skipped, or ""
}

// check looks, unless an earlier check was in vain.
func (v *visit) check(id string, look func(context.Context) inspect.Finding) inspect.Finding {
	if v.blocked != "" {
		return v.note(id, inspect.Skipped(v.blocked))
	}
	return v.always(id, look)
}

// required is a check that the later ones build on.
func (v *visit) required(id string, look func(context.Context) inspect.Finding) inspect.Finding {
	f := v.check(id, look)
	if f.Status == inspect.Fail {
		v.block(id)
	}
	return f
}

func (v *visit) block(id string) { v.blocked = "not checked: " + id + " failed" }

// always looks whatever has failed so far.
func (v *visit) always(id string, look func(context.Context) inspect.Finding) inspect.Finding {
	if v.ctx.Err() != nil {
		return v.noTime(id)
	}
	ctx, cancel := v.share()
	defer cancel()
	v.log.DebugContext(ctx, "Check "+id+" begins", "provider", v.provider)
	begun := time.Now()
	f := look(ctx)
	took := time.Since(begun)
	v.log.DebugContext(ctx, fmt.Sprintf("Check %s: %s in %v", id, f.Status, took.Round(time.Microsecond)), "provider", v.provider)
	return v.timed(id, f, took)
}

func (v *visit) note(id string, f inspect.Finding) inspect.Finding { return v.timed(id, f, 0) }

func (v *visit) timed(id string, f inspect.Finding, took time.Duration) inspect.Finding {
	r := Result{ID: id, Provider: v.provider, Finding: f, Duration: took}
	v.results = append(v.results, r)
	v.emit(r)
	return f
}

// took is how long a check has taken, 0 if it was not run.
func (v *visit) took(id string) time.Duration {
	for _, r := range v.results {
		if r.ID == id {
			return r.Duration
		}
	}
	return 0
}
