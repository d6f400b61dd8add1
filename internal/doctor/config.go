package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/nearest"
	"github.com/mlflow-secrets-auth/secretsauth/internal/settings"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// providers finds out which are enabled.
func (r *run) providers() {
	r.own.required("config.provider", func(ctx context.Context) inspect.Finding {
		each, err := providers.EachFromEnv(ctx)
		if err != nil {
			return inspect.Failed("no provider can be used", err)
		}
		names := make([]string, len(each))
		for i, e := range each {
			names[i] = e.Name
			r.patients = append(r.patients, &patient{Enabled: e})
		}
		return inspect.Passed("enabled: " + strings.Join(names, ", "))
	})
}

// configuration checks what p is configured by.
func (v *visit) configuration(r *run, p *patient) {
	missing, bad := problems(p.Err)
	v.always("config.required", func(context.Context) inspect.Finding {
		if len(missing) > 0 {
			return several("required settings are missing", missing)
		}
		return inspect.Passed("all required variables are set")
	})
	v.always("config.values", func(context.Context) inspect.Finding {
		switch {
		case len(bad) > 0:
			return several("values cannot be used", bad)
		case r.variablesTold:
			return usable
		}
		r.variablesTold = true
		return variables()
	})
	switch {
	case len(missing) > 0:
		v.block("config.required")
	case len(bad) > 0:
		v.block("config.values")
	}
}

// problems tells what is not set from what is set to something useless.
func problems(err error) (missing, bad []error) {
	for _, one := range env.Each(err) {
		e, ok := errors.AsType[*secretsauth.Error](one)
		if ok && strings.Contains(e.Summary, " is not set") {
			missing = append(missing, one)
		} else {
			bad = append(bad, one)
		}
	}
	return missing, bad
}

// several is one finding for all of errs.
func several(summary string, errs []error) inspect.Finding {
	var causes, fixes []string
	for _, err := range errs {
		one := inspect.Failed("", err)
		causes = append(causes, one.Cause)
		if one.Fix != "" && !slices.Contains(fixes, one.Fix) {
			fixes = append(fixes, one.Fix)
		}
	}
	return inspect.Broken(summary, strings.Join(causes, "; "), strings.Join(fixes, "; "))
}

var usable = inspect.Passed("every value that is set can be used")

// variables looks at those of no provider in particular: values that count as unset,
// and names that nobody reads.
func variables() inspect.Finding {
	var warnings, fixes []string
	add := func(warning, fix string) {
		if warning != "" {
			warnings, fixes = append(warnings, warning), append(fixes, fix)
		}
	}
	_, warning := env.CheckAttempts()
	add(warning, "export MLFLOW_SECRETS_MAX_RETRIES=3")
	if _, known := env.LogLevel(); !known {
		add("MLFLOW_SECRETS_LOG_LEVEL is not one of DEBUG, INFO, WARNING, ERROR; INFO is used", "export MLFLOW_SECRETS_LOG_LEVEL=INFO")
	}
	if strings.Contains(os.Getenv("GODEBUG"), "http2debug") {
		add("GODEBUG holds http2debug, which prints every header, the credential included", "unset GODEBUG")
	}
	for _, name := range unknownNames() {
		if right := meant(name); right != "" {
			add(name+" is read by nobody", "did you mean "+right+"?")
		} else {
			add(name+" is read by nobody", "unset "+name)
		}
	}
	if len(warnings) == 0 {
		return usable
	}
	return inspect.Warned("values that may not be what was meant", strings.Join(warnings, "; "), strings.Join(fixes, "; "))
}

// unknownNames are the variables in the manner of ours that are none.
func unknownNames() []string {
	var names []string
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if !ours(name) || strings.TrimSpace(value) == "" {
			continue
		}
		if _, known := settings.Find(name); !known {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func ours(name string) bool {
	for _, prefix := range []string{"MLFLOW_SECRET", "MLFLOW_AUTH_HEAD", "MLFLOW_VAULT", "MLFLOW_AWS", "MLFLOW_AZURE"} {
		if strings.HasPrefix(strings.ToUpper(name), prefix) {
			return true
		}
	}
	return false
}

// meant is the variable that a misspelt one was meant to be. All names begin
// alike, so that only what follows can be compared.
func meant(name string) string {
	short := func(name string) string { return strings.TrimPrefix(strings.ToUpper(name), "MLFLOW_") }
	byShort := map[string]string{}
	var choices []string
	for _, v := range settings.All {
		for _, known := range []string{v.Name, v.Alias} {
			if strings.HasPrefix(known, "MLFLOW_") {
				byShort[short(known)] = known
				choices = append(choices, short(known))
			}
		}
	}
	return byShort[nearest.Of(short(name), choices)]
}

// settings reads those of the transport. Every provider's header is made by them.
func (r *run) settings() {
	if r.config, r.noConfig = secretsauth.ConfigFromEnv(); r.noConfig == nil {
		r.hosts, r.noConfig = secretsauth.CompileHosts(r.config.AllowedHosts)
	}
}

// allowList looks at the patterns.
func (r *run) allowList() {
	r.own.always("hosts.allowlist", func(context.Context) inspect.Finding {
		if r.noConfig != nil {
			return several("the settings of the transport cannot be used", env.Each(r.noConfig))
		}
		cfg, hosts := r.config, r.hosts
		const fix = "export MLFLOW_SECRETS_ALLOWED_HOSTS=mlflow.company.com"
		if _, set := os.LookupEnv("MLFLOW_SECRETS_ALLOWED_HOSTS"); !set {
			return inspect.Warned("every host gets the credential", "MLFLOW_SECRETS_ALLOWED_HOSTS is not set", fix)
		}
		summary := fmt.Sprintf("%d pattern(s): %s", len(cfg.AllowedHosts), strings.Join(cfg.AllowedHosts, ", "))
		if warnings := append(hosts.Warnings(), suffixWarnings(cfg.AllowedHosts)...); len(warnings) > 0 {
			return inspect.Warned(summary, strings.Join(warnings, "; "), fix)
		}
		return inspect.Passed(summary)
	})
}

// suffixWarnings are the patterns like *.co.uk, under which anybody can register a
// host. Of those that end in a single label the library itself warns (S49).
func suffixWarnings(patterns []string) []string {
	var warnings []string
	for _, pattern := range patterns {
		host := strings.ToLower(pattern)
		if _, rest, ok := strings.Cut(host, "://"); ok {
			host = rest
		}
		host, _, _ = strings.Cut(host, ":")
		_, end, _ := strings.Cut(host[strings.LastIndexAny(host, "*?]")+1:], ".")
		end = strings.TrimSuffix(end, ".")
		if suffix, _ := publicsuffix.PublicSuffix(end); strings.ContainsAny(host, "*?]") && strings.Contains(end, ".") && suffix == end {
			warnings = append(warnings, fmt.Sprintf("host pattern %q covers hosts of other owners: anybody can register a name under %s", pattern, end))
		}
	}
	return warnings
}
