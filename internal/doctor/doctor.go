// Package doctor is the troubleshooting guide, executable: checks that follow the
// way of a credential from the environment to the tracking server, and say of each
// step whether it is well, and if not, why and what to do.
package doctor

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// DefaultTimeout bounds a whole run.
const DefaultTimeout = 30 * time.Second

// Options are what a run is asked for.
type Options struct {
	URL     string        // a tracking server to try the credential at; "": none
	Timeout time.Duration // of the whole run; default [DefaultTimeout]
	Regions []string      // where to look for an AWS secret that is not in its own region
	Log     *slog.Logger  // default: discard
}

// Report is a run.
type Report struct {
	OK       bool     `json:"ok"`       // no check failed
	Provider string   `json:"provider"` // that gives the credential, or is the first enabled
	Checks   []Result `json:"checks"`

	ServerVersion string `json:"-"` // of the tracking server, where it was asked
}

// Run makes every check and calls emit with each result, in order. It reads the
// process's environment.
func Run(ctx context.Context, o Options, emit func(Result)) Report {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()

	r := &run{Options: o, ctx: ctx}
	r.own = r.visit("", func(result Result) { r.report.Checks = append(r.report.Checks, result); emit(result) })
	r.providers()
	r.settings()
	r.visits()
	if o.URL != "" {
		r.dryRun()
	}
	return r.sum()
}

// run is one run.
type run struct {
	Options
	ctx      context.Context
	own      *visit // the checks of no provider in particular, and where all results go
	patients []*patient
	report   Report

	config   secretsauth.Config       // of the transport
	hosts    *secretsauth.HostMatcher // nil: the allow-list cannot be used
	noConfig error                    // why there is no config

	variablesTold bool // what is no provider's in particular is told once
}

// patient is one provider.
type patient struct {
	providers.Enabled
	store  inspect.Store
	secret secretsauth.Secret // zero: it gives none
}

func (r *run) visit(provider string, emit func(Result)) *visit {
	return &visit{ctx: r.ctx, log: r.Log, provider: provider, emit: emit}
}

// visits looks at every provider and at the allow-list. The results of one come as
// they are found. Several are looked at side by side, and what fails in one is a
// warning if another gives the credential, so that their results come at the end.
func (r *run) visits() {
	emit := r.own.emit
	if len(r.patients) > 1 {
		emit = func(Result) {}
	}
	all := make([]*visit, len(r.patients))
	for i, p := range r.patients {
		all[i] = r.visit(p.Name, emit)
		all[i].configuration(r, p)
	}
	switch len(r.patients) {
	case 0:
		if f := variables(); f.Status == inspect.Warn { // a misspelt name may be why there is none
			r.own.note("config.values", f)
		}
		r.allowList()
		r.own.rest()
		return
	case 1:
		r.allowList()
	default:
		defer r.gather(all)
	}
	var wg sync.WaitGroup
	for i, p := range r.patients {
		wg.Go(func() { r.examine(p, all[i]) })
	}
	wg.Wait()
}

// gather brings the results of several providers in order.
func (r *run) gather(all []*visit) {
	serving := r.serving()
	tell := func(config bool) {
		for _, v := range all {
			for _, result := range v.results {
				if strings.HasPrefix(result.ID, "config.") != config {
					continue
				}
				if serving != "" && result.Status == inspect.Fail {
					result.Status = inspect.Warn
					result.Summary += " (" + serving + " gives the credential meanwhile)"
				}
				r.own.emit(result)
			}
		}
	}
	tell(true)
	r.allowList()
	tell(false)
}

// examine follows a read of p's secret.
func (r *run) examine(p *patient, v *visit) {
	if can, ok := p.Provider.(inspect.Provider); ok {
		p.store = can.Inspect(inspect.Options{Regions: r.Regions})
	}
	v.reach(p)
	found := v.read(p, r.Regions)
	v.format(p, found)
	v.header(r, p)
	v.always("cache.config", func(context.Context) inspect.Finding { return r.cache(p) })
	v.timing(p)
}

// serving is the first provider that gives a credential, or "".
func (r *run) serving() string {
	if p := r.servant(); p != nil {
		return p.Name
	}
	return ""
}

func (r *run) servant() *patient {
	for _, p := range r.patients {
		if !p.secret.IsZero() {
			return p
		}
	}
	return nil
}

func (r *run) sum() Report {
	r.report.OK = true
	for _, c := range r.report.Checks {
		r.report.OK = r.report.OK && c.Status != inspect.Fail
	}
	r.report.Provider = r.serving()
	if r.report.Provider == "" && len(r.patients) > 0 {
		r.report.Provider = r.patients[0].Name
	}
	return r.report
}
