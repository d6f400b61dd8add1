package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

// server is a tracking server, asked with and without the credential. No redirect
// is followed.
type server struct {
	base      *url.URL
	anonymous *store.Single
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
