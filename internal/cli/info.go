package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/settings"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// info is the effective configuration, without secrets.
type info struct {
	build
	OK        bool       `json:"ok"` // a provider can be used, and the transport's settings too
	Problems  []problem  `json:"problems"`
	Providers []provider `json:"providers"`
	Settings  []setting  `json:"settings"` // of no provider in particular
	Hosts     []string   `json:"allowed_hosts"`
	Warnings  []string   `json:"warnings"`
}

type problem struct {
	Cause string `json:"cause"`
	Fix   string `json:"fix"`
}

type provider struct {
	Name     string    `json:"name"`
	Status   string    `json:"status"` // enabled, disabled or misconfigured
	Secret   string    `json:"secret"` // its key
	Problems []problem `json:"problems"`
	Settings []setting `json:"settings"`
}

type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"` // the variable it is set by, or "default"
}

func newInfo() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Show the effective configuration, without secrets and without network",
		Long: `info shows version, providers, allow-list and settings, each with where it comes
from. Secrets are masked. Nothing is sent: see doctor.

The exit code is 1 if nothing usable is configured. It cannot look into a running
process: the hit rate and the rejections are in that process's log and
Transport.Stats; for a running proxy see cache status.`,
		Example: `  mlflow-secrets-auth info
  mlflow-secrets-auth info --json | jq .providers`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			i := collect(cmd)
			if asJSON {
				if err := printJSON(cmd, i); err != nil {
					return err
				}
			} else {
				i.print(cmd.OutOrStdout())
			}
			if !i.OK {
				return exit(bad)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// collect reads the environment.
func collect(cmd *cobra.Command) info {
	var log warnings
	defer logTo(&log)() // they are part of the answer

	i := info{build: thisBuild(), Problems: []problem{}}
	each, enabling := providers.EachFromEnv(cmd.Context())
	i.Problems = append(i.Problems, told(enabling)...)
	usable, general := false, enabling // what is wrong with the variables of no provider in particular
	for _, slug := range providers.Names() {
		p := provider{Name: slug, Status: "disabled", Problems: []problem{}, Settings: []setting{}}
		for _, e := range each {
			if e.Name != slug {
				continue
			}
			p.Status = "enabled"
			if e.Err != nil {
				p.Status, p.Problems = "misconfigured", told(e.Err)
				general = env.Problems(general, e.Err)
			} else {
				usable = true
				if k, ok := e.Provider.(secretsauth.Keyed); ok {
					p.Secret = k.Key()
				}
			}
			p.Settings = values(slug, e.Err)
		}
		i.Providers = append(i.Providers, p)
	}
	cfg, err := secretsauth.ConfigFromEnv()
	if err != nil {
		i.Problems = append(i.Problems, told(err)...)
	}
	i.OK = usable && err == nil
	i.Settings = values("", env.Problems(general, err))
	if i.Hosts = cfg.AllowedHosts; i.Hosts == nil {
		i.Hosts = []string{}
	}
	if m, err := secretsauth.CompileHosts(cfg.AllowedHosts); err == nil {
		log.texts = append(log.texts, m.Warnings()...)
	}
	i.Warnings = append([]string{}, log.texts...)
	return i
}

// told is every problem of err.
func told(err error) []problem {
	var all []problem
	for _, one := range env.Each(err) {
		f := inspect.Failed("", one)
		all = append(all, problem{f.Cause, f.Fix})
	}
	return all
}

// values are what a provider's variables are set to. A value that err is about is
// not shown: it may be anything.
func values(slug string, err error) []setting {
	all := []setting{}
	for _, v := range settings.Of(slug) {
		s := setting{Name: v.Name, Value: v.Default, Source: "default"}
		if name := v.Source(); name != "" {
			s.Value, s.Source = v.Shown(), name
			if v.Kind == settings.Text && complained(err, v) {
				s.Value = "(cannot be used)"
			}
		} else if v.Default == "" || !strings.HasPrefix(v.Name, "MLFLOW_") {
			continue
		}
		all = append(all, s)
	}
	return all
}

func complained(err error, v settings.Variable) bool {
	for _, one := range env.Each(err) {
		e, ok := errors.AsType[*secretsauth.Error](one)
		if ok && (strings.Contains(e.Summary+e.Fix, v.Name) || v.Alias != "" && strings.Contains(e.Summary+e.Fix, v.Alias)) {
			return true
		}
	}
	return false
}

func (i info) print(to io.Writer) {
	paint := newPainter(to)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(to, format+"\n", args...) }
	head := func(text string) { line("\n%s", paint.paint(text, color.Bold)) }
	problems := func(all []problem) {
		for _, p := range all {
			line("    %s\n      fix: %s", oneLine(p.Cause), oneLine(p.Fix))
		}
	}
	list := func(all []setting) {
		for _, s := range all {
			from := s.Source
			if s.Source == s.Name {
				from = "environment"
			}
			line("    %-30s %s  (%s)", s.Name, s.Value, from)
		}
	}
	line("%s", i.build)
	head("Providers")
	for _, p := range i.Providers {
		line("  %-20s %s%s", p.Name, p.Status, after(": ", p.Secret))
		problems(p.Problems)
		list(p.Settings)
	}
	problems(i.Problems)
	head("Hosts that get the credential")
	for _, pattern := range i.Hosts {
		line("  %s", inspect.Printable(pattern))
	}
	if _, set := os.LookupEnv("MLFLOW_SECRETS_ALLOWED_HOSTS"); !set {
		line("  MLFLOW_SECRETS_ALLOWED_HOSTS is not set: every host gets it")
	}
	head("Settings")
	list(i.Settings)
	if len(i.Warnings) > 0 {
		head("Warnings")
		for _, w := range i.Warnings {
			line("  %s", oneLine(w))
		}
	}
	line("\nEvery process has a cache of its own, whose hit rate is in its log and in Transport.Stats; for a running proxy: mlflow-secrets-auth cache status.")
}

func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}
