package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/headers"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/settings"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

// addresses are the variables that hold the stores' addresses, and what makes an
// authority trusted.
var addresses = map[string]names{
	"vault":               {"Vault", "VAULT_ADDR", "VAULT_PROXY_ADDR", "set VAULT_CACERT to the certificate of its authority"},
	"aws-secrets-manager": {"Secrets Manager", "AWS_REGION or AWS_ENDPOINT_URL", "", "set AWS_CA_BUNDLE to the certificate of its authority, or the proxy's"},
	"azure-key-vault":     {"Key Vault", "MLFLOW_AZURE_KEY_VAULT_URL", "", "a proxy may intercept: set SSL_CERT_FILE to the certificate of its authority"},
}

// reach checks the way to the store.
func (v *visit) reach(p *patient) {
	to, err := url.Parse(p.store.Address)
	if v.blocked == "" && (err != nil || to.Host == "") {
		for _, id := range way {
			v.note(id, inspect.Skipped("the store's address is not known"))
		}
		return
	}
	via := p.store.Transport
	if via == nil {
		via = store.Standard()
	}
	v.travel(to, via, addresses[p.Name])
}

// steps are the checks of a read, and those that not every store has.
var steps = []string{"store.health", "store.auth", "store.engine", "store.secret"}

// rest skips what is about a provider, and was not looked at without one.
func (v *visit) rest() {
	for _, id := range slices.Concat([]string{"config.required", "config.values"}, way, steps, []string{"secret.format", "auth.header", "cache.config", "timing"}) {
		if !slices.ContainsFunc(v.results, func(r Result) bool { return r.ID == id }) {
			v.check(id, nil)
		}
	}
}

// read makes the provider's own checks.
func (v *visit) read(p *patient, regions []string) (secret inspect.Finding) {
	for _, id := range steps {
		look := func(context.Context) inspect.Finding { return inspect.Skipped(p.Name + " has none") }
		for _, step := range p.store.Steps {
			if step.ID == id {
				look = func(ctx context.Context) inspect.Finding {
					f := step.Look(ctx)
					if f.Status == inspect.Fail && p.Name == "aws-secrets-manager" && strings.Contains(f.Cause, "not found") && len(regions) == 0 {
						f.Fix += "; or look in the regions where it may be: mlflow-secrets-auth doctor --regions REGION,REGION"
					}
					return f
				}
			}
		}
		secret = v.required(id, look)
	}
	return secret
}

// format checks what the secret holds.
func (v *visit) format(p *patient, read inspect.Finding) {
	v.required("secret.format", func(context.Context) inspect.Finding {
		if read.Invalid != nil {
			return inspect.Failed("the secret holds no credential", read.Invalid)
		}
		s := read.Secret
		var holds []string
		if _, ok := s.Token(); ok {
			holds = append(holds, "a token")
		}
		user, password, ok := s.UserPassword()
		if ok {
			holds = append(holds, "a username and password")
		}
		switch n := len(s.Headers()); {
		case n > 0 && len(holds) == 0:
			holds = append(holds, count(n, "header"))
		case n > 0:
			holds = append(holds, count(n, "further header"))
		}
		summary := "holds " + strings.Join(holds, " and ")
		switch {
		case user == "admin" && (password == "password1234" || password == "password"):
			return inspect.Warned(summary, "it is MLflow's default password for admin, which everybody knows", "change it at the server and in the store")
		case s.Trimmed():
			return inspect.Warned(summary, "white space around a value, such as a trailing newline, is stored with it; it is removed before use, but not by other readers",
				"store it again without, with printf or echo -n")
		}
		return inspect.Passed(summary)
	})
	if v.blocked == "" {
		p.secret = read.Secret
	}
}

// header builds the header the way a transport does.
func (v *visit) header(r *run, p *patient) {
	v.required("auth.header", func(ctx context.Context) inspect.Finding {
		cfg := secretsauth.Config{AllowedHosts: []string{nowhere.Host}, HeaderName: r.config.HeaderName, Headers: r.config.Headers}
		sent, err := inspect.Header(ctx, secretsauth.Static(p.secret), cfg, nowhere)
		if err != nil {
			p.secret = secretsauth.Secret{}
			return inspect.Failed("the secret does not fit the mode", err)
		}
		return inspect.Passed(masked(sent, r.config))
	})
}

// nowhere is a server that there is not (RFC 2606).
var nowhere = &url.URL{Scheme: "https", Host: "mlflow.invalid", Path: "/"}

// masked are the headers that are sent, without their values; the one that carries the
// credential comes first. A name that is stored in the secret may be a secret that was
// put in the wrong place, so it is shown only if it is known or configured too.
func masked(sent http.Header, cfg secretsauth.Config) string {
	own := cmp.Or(cfg.HeaderName, "Authorization")
	listed, _ := headers.List(env.Get("MLFLOW_SECRETS_HEADERS"))
	shownAs := func(name string) string {
		if cfg.Headers.Get(name) != "" || slices.ContainsFunc(listed, func(l headers.From) bool { return l.Name == name }) {
			return name
		}
		return cmp.Or(headers.Named(name), "another header")
	}
	var first, others []string
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		if !strings.EqualFold(name, own) {
			others = append(others, shownAs(name)+": ****")
			continue
		}
		shown := "****"
		if scheme, rest, ok := strings.Cut(sent.Get(name), " "); ok && rest != "" && (scheme == "Bearer" || scheme == "Basic") {
			shown = scheme + " ****"
		}
		first = append(first, name+": "+shown)
	}
	return strings.Join(append(first, others...), ", ")
}

// count is "a header" or "3 headers".
func count(n int, what string) string {
	if n == 1 {
		return "a " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// ttlName is the variable of how long a provider's values are kept.
func ttlName(provider string) string {
	for _, v := range settings.Of(provider) {
		if strings.HasSuffix(v.Name, "_TTL_SEC") {
			return v.Name
		}
	}
	return ""
}

// cache checks how long values are kept.
func (r *run) cache(p *patient) inspect.Finding {
	const staleName = "MLFLOW_SECRETS_MAX_STALE_SEC"
	name := ttlName(p.Name)
	ttl, warning := env.CheckTTL(name)
	if ttl == 0 {
		ttl = 5 * time.Minute
	}
	stale, set, staleWarning := env.CheckNumber(staleName)
	window := time.Duration(min(max(stale, 0), int64(env.Longest/time.Second))) * time.Second
	if !set {
		window = time.Hour
	}
	summary := fmt.Sprintf("kept %v, and while the store is unreachable %v longer", ttl, window)
	if window == 0 {
		summary = fmt.Sprintf("kept %v, and no longer while the store is unreachable", ttl)
	}
	switch {
	case warning != "":
		return inspect.Warned(summary, warning, "export "+name+"=300, or unset it")
	case staleWarning != "":
		return inspect.Warned(summary, staleWarning, "export "+staleName+"=3600, or unset it")
	case ttl < 10*time.Second:
		return inspect.Warned(summary, "the store is read very often", "raise "+name)
	case window > 24*time.Hour:
		return inspect.Warned(summary, "a credential that was withdrawn may be sent for days while the store is unreachable", "lower "+staleName)
	}
	return inspect.Passed(summary)
}

// slow is when a read is worth a warning.
const slow = 5 * time.Second

// timing adds up the steps, and reads once more.
func (v *visit) timing(p *patient) {
	v.check("timing", func(ctx context.Context) inspect.Finding {
		parts := []struct{ name, id string }{{"DNS", "store.dns"}, {"connect", "store.tcp"}, {"TLS", "store.tls"}, {"login", "store.auth"}, {"read", "store.secret"}}
		var all, longest time.Duration
		var slowest string
		var texts []string
		for _, part := range parts {
			took := v.took(part.id)
			all += took
			if took > longest {
				longest, slowest = took, part.name
			}
			texts = append(texts, fmt.Sprintf("%s %s", part.name, brief(took)))
		}
		begun := time.Now()
		if _, err := p.Provider.Fetch(ctx); err != nil {
			return inspect.Failed("the second read failed", err)
		}
		summary := fmt.Sprintf("%s; read again %s", strings.Join(texts, ", "), brief(time.Since(begun)))
		if all > slow {
			return inspect.Warned(summary, fmt.Sprintf("a read takes %s, most of it %s", brief(all), slowest),
				"the store may be far away: use a regional or private endpoint, or raise "+ttlName(p.Name))
		}
		return inspect.Passed(summary)
	})
}

func brief(d time.Duration) string {
	if d < time.Millisecond {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
