package doctor

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// ParseServer reads the address of a tracking server; where it is none, the finding
// says why. It repeats nothing but a plain host: an address may hold a password.
func ParseServer(text string) (*url.URL, *inspect.Finding) {
	refuse := func(cause, fix string) (*url.URL, *inspect.Finding) {
		return nil, new(inspect.Broken("the URL cannot be used", cause, fix))
	}
	const form = "use the form https://mlflow.company.com"
	u, err := url.Parse(text)
	switch {
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return refuse("it holds white space or a control character", form)
	case !strings.Contains(text, "://"):
		return refuse("it has no scheme", form+", with https:// or http:// in front")
	case err != nil:
		return refuse("it is not a URL", form)
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse("its scheme is neither http nor https", form)
	case u.User != nil:
		return refuse("it holds a username or password", "take them out: the credential comes from the store")
	case u.Hostname() == "":
		return refuse("it has no host", form)
	case u.RawQuery != "" || u.Fragment != "":
		return refuse("it has a query or a fragment", form)
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, nil
}

// noList is why nothing can be said of a host.
const noList = "not checked: hosts.allowlist failed"

// host says whether the server would get the credential.
func (r *run) host(ctx context.Context, u *url.URL) inspect.Finding {
	if r.hosts == nil {
		return inspect.Skipped(noList)
	}
	d := r.hosts.Explain(u)
	where := inspect.Printable(u.Host)
	switch {
	case !d.Allowed && d.Host == "":
		return inspect.Broken(where+" would not get the credential", d.Reason, "write the host as DNS has it, in ASCII")
	case !d.Allowed:
		return inspect.Broken(where+" would not get the credential", d.Reason,
			"export MLFLOW_SECRETS_ALLOWED_HOSTS='"+strings.Join(append(slices.Clone(r.config.AllowedHosts), d.Host), ",")+"'")
	}
	cfg := r.config
	cfg.Logger = nil
	if _, err := inspect.Header(ctx, secretsauth.Static(secretsauth.NewUserPassword("user", "password")), cfg, u); err != nil { // plain http, where TLS is required
		return inspect.Failed(where+" would not get the credential", err)
	}
	return inspect.Passed(fmt.Sprintf("%s gets the credential, by the pattern %q", where, d.Pattern))
}
