package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
)

// dryRun tries the credential at a tracking server.
func (r *run) dryRun() {
	v := r.visit("", r.own.emit)
	var base *url.URL
	v.required("mlflow.host", func(ctx context.Context) inspect.Finding {
		var why *inspect.Finding
		if base, why = ParseServer(r.URL); why != nil {
			return *why
		}
		return r.host(ctx, base)
	})
	if base == nil {
		for _, id := range []string{"mlflow.connect", "mlflow.version", "mlflow.anonymous", "mlflow.authenticated"} {
			v.check(id, nil)
		}
		return
	}
	notAllowed := v.blocked
	if r.hosts == nil {
		notAllowed = noList
	}
	v.blocked = "" // what needs no credential is looked at all the same
	v.required("mlflow.connect", func(ctx context.Context) inspect.Finding {
		return travel(ctx, base, transport(), names{"the MLflow server", "the URL", "", "set SSL_CERT_FILE to the certificate of its authority"}).arrival()
	})
	s := &server{base: base, anonymous: transport()}
	defer s.anonymous.CloseIdleConnections()
	needs := func(id string, look func(context.Context) inspect.Finding) {
		p := r.servant()
		switch {
		case v.blocked != "":
			v.check(id, nil)
		case notAllowed != "":
			v.note(id, inspect.Skipped(notAllowed))
		case p == nil:
			v.note(id, inspect.Skipped("not checked: there is no credential"))
		default:
			v.check(id, func(ctx context.Context) inspect.Finding {
				if err := s.use(r, p); err != nil {
					return inspect.Failed("the credential cannot be sent", err)
				}
				return look(ctx)
			})
		}
	}
	needs("mlflow.version", func(ctx context.Context) inspect.Finding {
		var f inspect.Finding
		r.report.ServerVersion, f = s.version(ctx)
		return f
	})
	v.check("mlflow.anonymous", s.withoutCredential)
	needs("mlflow.authenticated", s.withCredential)
}

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

// arrival is the three phases of a trip as one finding.
func (t *trip) arrival() inspect.Finding {
	t.mu.Lock()
	defer t.mu.Unlock()
	var summaries []string
	warned := inspect.Finding{Status: inspect.Pass}
	for _, phase := range t.phases() {
		f := phase.find()
		switch f.Status {
		case inspect.Fail:
			return f
		case inspect.Warn:
			warned = f
		case inspect.Pass, inspect.Skip:
		}
		summaries = append(summaries, f.Summary)
	}
	warned.Summary = strings.Join(summaries, "; ")
	return warned
}

// server is a tracking server, asked with and without the credential. No redirect
// is followed.
type server struct {
	base      *url.URL
	anonymous *http.Transport
	wrapped   *secretsauth.Transport
}

func (s *server) use(r *run, p *patient) error {
	if s.wrapped != nil {
		return nil
	}
	cfg := r.config
	cfg.Base, cfg.Logger = s.anonymous, r.Log
	cfg.Ignore403 = true // there is no other credential to try
	var err error
	s.wrapped, err = secretsauth.NewTransport(read{p.Provider, p.secret}, cfg)
	return err
}

// read is a provider whose secret is known already.
type read struct {
	secretsauth.Provider
	secret secretsauth.Secret
}

func (r read) Fetch(context.Context) (secretsauth.Secret, error) { return r.secret, nil }

// maxBody of an answer is read.
const maxBody = 64 << 10

// answer is what the server says.
type answer struct {
	status   int
	proxy    bool // of ours, which wants its client token
	page     bool
	location string // host of a redirect's target
	secured  bool   // which is the same host, and https where the URL is http
	body     []byte // the beginning; never shown as it is
}

func (s *server) ask(ctx context.Context, with http.RoundTripper, path string) (answer, error) {
	to := s.base.JoinPath(path)
	if base, query, ok := strings.Cut(path, "?"); ok {
		to = s.base.JoinPath(base)
		to.RawQuery = query
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Accept", "application/json, text/plain") // oauth2-proxy then says 401 in place of a page
	resp, err := with.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode}
	a.proxy = a.status == http.StatusUnauthorized && resp.Header.Get("Server") == "mlflow-secrets-auth"
	if to, err := resp.Location(); err == nil {
		a.location = to.Host
		a.secured = to.Scheme == "https" && s.base.Scheme == "http" && strings.EqualFold(to.Hostname(), s.base.Hostname())
	}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody)); err != nil && ctx.Err() != nil {
		return answer{}, err
	}
	// By what it says: MLflow claims text/html for plain text, too.
	begin := strings.ToLower(strings.TrimSpace(string(a.body[:min(len(a.body), 1000)])))
	a.page = strings.HasPrefix(begin, "<!doctype html") || strings.HasPrefix(begin, "<html")
	return a, nil
}

// unanswered is a request without an answer.
func unanswered(err error) inspect.Finding {
	if e, ok := errors.AsType[*secretsauth.Error](err); ok {
		return inspect.Failed("the credential was not sent", e)
	}
	cause := netcause.Of(err).Error()
	if timedOut(err) {
		cause = "timeout: the connection stands, and no answer comes"
	}
	return inspect.Broken("the server gives no answer", cause, "check that the server is well, and proxies in between")
}

// inFront is an answer of somebody between us and MLflow, or nil.
func (a answer) inFront() *inspect.Finding {
	const fix = "let the login page in front of MLflow pass requests that carry a credential, or use an address behind it"
	switch {
	case a.proxy:
		return new(inspect.Broken("this is a proxy of mlflow-secrets-auth, not the tracking server",
			"401 Unauthorized: it adds the credential itself, and wants its own client token", "give the URL of the tracking server, which is the proxy's --upstream"))
	case a.status >= 300 && a.status < 400 && a.secured:
		return new(inspect.Broken("the server redirects to https",
			statusText(a.status)+": a redirect to another scheme gets no credential", "use the https URL: https://"+inspect.Printable(a.location)))
	case a.status >= 300 && a.status < 400:
		return new(inspect.Broken("the server redirects instead of answering",
			fmt.Sprintf("%s to %s: a login page in front of it, or another address of the server", statusText(a.status), inspect.Printable(a.location)), fix+"; if it is the same server, use that address"))
	case a.page && a.status == http.StatusOK:
		return new(inspect.Broken("a web page answers instead of MLflow", "200 OK with HTML: a login page in front of it", fix))
	case a.status >= 500:
		return new(inspect.Broken("the server is not well", "it answers "+statusText(a.status), "look at the server's log"))
	}
	return nil
}

func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// oldest is the first version that the guide asks for.
var oldest = [3]int{2, 20, 4}

var versionText = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?([.\-a-zA-Z0-9+]{0,40})$`)

func (s *server) version(ctx context.Context) (string, inspect.Finding) {
	a, err := s.ask(ctx, s.wrapped, "version")
	if err != nil {
		return "", unanswered(err)
	}
	text := strings.TrimSpace(string(a.body))
	m := versionText.FindStringSubmatch(text)
	switch in := a.inFront(); {
	case a.status == http.StatusOK && m != nil:
	case in != nil:
		return "", *in
	case a.status == http.StatusUnauthorized:
		return "", rejected()
	case a.status == http.StatusForbidden:
		return "", inspect.Warned("the server does not tell its version", "403 Forbidden", "permit /version to the user, or ignore this")
	default:
		return "", inspect.Broken("this is not an MLflow server",
			"/version is answered with "+statusText(a.status)+", and no version", "check the URL, its path included: MLflow's API is expected below it")
	}
	var have [3]int
	for i := range have {
		have[i], _ = strconv.Atoi(m[i+1])
	}
	for i := range have {
		if have[i] < oldest[i] {
			return text, inspect.Warned("MLflow "+text, "older than 2.20.4", `pip install "mlflow>=2.20.4" at the server`)
		}
		if have[i] > oldest[i] {
			break
		}
	}
	return text, inspect.Passed("MLflow " + text)
}

// search is a real API call that changes nothing.
const search = "api/2.0/mlflow/experiments/search?max_results=1"

func (s *server) withoutCredential(ctx context.Context) inspect.Finding {
	a, err := s.ask(ctx, s.anonymous, search)
	if err != nil {
		return unanswered(err)
	}
	in := a.inFront()
	switch {
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return inspect.Passed("without the credential the server says " + statusText(a.status))
	case a.status >= 300 && a.status < 400, a.page:
		return inspect.Passed("without the credential there is a login page")
	case in != nil:
		return *in
	case a.status == http.StatusOK:
		return inspect.Warned("the server asks for no credential", "it answers 200 OK without one, so that its answers prove nothing", "start it with --app-name basic-auth, or put a proxy in front that asks")
	}
	return inspect.Warned("the server does not ask for a credential", "without one it answers "+statusText(a.status), "check the URL")
}

func rejected() inspect.Finding {
	return inspect.Broken("the server rejects the credential", "401 Unauthorized: the secret in the store is not what the server expects, or is sent in the wrong mode",
		"compare the secret in the store with the server's: was only one of them rotated? Is the mode right (MLFLOW_VAULT_AUTH_MODE and the like)?")
}

func (s *server) withCredential(ctx context.Context) inspect.Finding {
	a, err := s.ask(ctx, s.wrapped, search)
	if err != nil {
		return unanswered(err)
	}
	var v struct {
		Experiments json.RawMessage `json:"experiments"`
	}
	switch in := a.inFront(); {
	case in != nil:
		return *in
	case a.status == http.StatusUnauthorized:
		return rejected()
	case a.status == http.StatusForbidden:
		return inspect.Broken("the credential is known, but not permitted", "403 Forbidden to a search of experiments",
			"grant the user a permission at the MLflow server; some proxies say 403 of a wrong token too: then compare it")
	case a.status == http.StatusOK && (len(a.body) == maxBody || json.Unmarshal(a.body, &v) == nil): // one that was cut is long enough
		return inspect.Passed("a search of experiments answers 200 OK")
	}
	return inspect.Broken("this is not MLflow's API", "a search of experiments is answered with "+statusText(a.status),
		"check the URL, its path included: MLflow's API is expected below it")
}
