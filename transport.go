package secretsauth

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/headers"
	"github.com/mlflow-secrets-auth/secretsauth/internal/hosts"
)

// Transport is an [http.RoundTripper] that puts the credential on requests to
// allowed hosts. Make one with [NewTransport]; it is safe for concurrent use and
// needs no closing. The zero value sends nothing: its RoundTrip returns an error.
type Transport struct {
	cache            *Cache
	hosts            *hosts.Memory
	base             http.RoundTripper
	header           string
	along            []headers.Line // Config.Headers
	form             form
	keepCallerHeader bool
	requireTLS       bool
	ignore403        bool
	rotationWait     time.Duration
	bufferBodies     int64
	log              *slog.Logger

	rejections, retries, withheld atomic.Uint64
}

var _ http.RoundTripper = (*Transport)(nil)

// NewTransport returns a transport that takes its credential from p. If p is a
// [*Cache] that cache is used, with its own TTL, MaxStale and FetchTimeout, and
// may be shared; otherwise the transport has a cache of its own. Nothing is read
// yet: see [Transport.Warm]. What deserves a warning in cfg.AllowedHosts is logged
// ([HostMatcher.Warnings]). An error wraps [ErrConfig]: p is nil, there is no host,
// or a field of cfg has no meaning.
func NewTransport(p Provider, cfg Config) (*Transport, error) {
	cache, shared := p.(*Cache)
	if p == nil || shared && cache == nil {
		return nil, &Error{Kind: ErrConfig, Summary: "the provider is nil", Fix: "pass one, such as that of vault.New"}
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	header, err := cfg.headerName()
	if err != nil {
		return nil, err
	}
	along, err := cfg.along()
	if err != nil {
		return nil, err
	}
	matcher, err := CompileHosts(cfg.AllowedHosts)
	if err != nil {
		return nil, err
	}
	if !shared {
		cache = NewCache(p, cfg)
	}
	if cache.unusable != nil {
		return nil, cache.unusable
	}
	t := &Transport{
		cache:            cache,
		hosts:            hosts.NewMemory(matcher.list),
		base:             cfg.base(),
		header:           header,
		along:            along,
		form:             formOf(cfg.Mode, header),
		keepCallerHeader: cfg.KeepCallerHeader,
		requireTLS:       cfg.RequireTLS,
		ignore403:        cfg.Ignore403,
		rotationWait:     cfg.RotationWait,
		bufferBodies:     min(cfg.BufferBodies, math.MaxInt64-1), // readAhead adds one
		log:              cfg.logger(),
	}
	for _, warning := range matcher.Warnings() {
		t.log.Warn(warning)
	}
	return t, nil
}

// RoundTrip sends req, with the credential if its host is allowed. See the
// package comment for what it decides and when it sends twice. It does not
// modify req and closes its body on every path; the response's Request is req.
// Its errors are those of the base, those of a body that is read ahead, or one of this
// package when no credential could be had: then the request was not sent.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.cache == nil || req.URL == nil {
		return refuse(req, &Error{Kind: ErrConfig, Summary: "the transport is not ready, or the request has no URL",
			Fix: "make transports with NewTransport and requests with http.NewRequest"})
	}
	host := t.hosts.Decide(req.URL)
	if !host.Allowed {
		return t.pass(req, host)
	}
	if why := host.Withhold(req, t.base); why != "" {
		t.withheld.Add(1)
		t.warn(req, host, "Credential withheld", why)
		return t.send(req, req)
	}
	if t.keepCallerHeader && t.callersOwn(req, t.header) {
		return t.send(req, req)
	}
	if host.PlainHTTP {
		if t.requireTLS {
			return refuse(req, &Error{Kind: ErrConfig,
				Summary: fmt.Sprintf("%q is asked over plain http, where the credential could be read on the way", host.Host),
				Fix:     "use the https URL, or unset MLFLOW_SECRETS_REQUIRE_TLS (Config.RequireTLS)"})
		}
		t.warn(req, host, "Credential sent over plain http", "use https, or set MLFLOW_SECRETS_REQUIRE_TLS to refuse")
	}

	if t.bufferBodies == 0 {
		return t.sendWithCredential(req, req)
	}
	ready, err := t.readAhead(req)
	if err != nil {
		return nil, err
	}
	resp, err := t.sendWithCredential(req, ready)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// sendWithCredential is the second half of RoundTrip: the value, the header, the base,
// and what follows from a rejection. req is the request that was asked for, or a copy of
// it whose body has been read ahead.
func (t *Transport) sendWithCredential(asked, req *http.Request) (*http.Response, error) {
	v, err := t.cache.get(req.Context())
	if err != nil {
		return refuse(req, err)
	}
	if unfit := t.unfit(v); unfit != nil { // a shared cache read it for another mode
		return refuse(req, unfit)
	}
	if t.keepCallerHeader && t.callersFurther(req, v) {
		untouched := *asked
		untouched.Body = req.Body // which may have been read ahead
		return t.send(asked, &untouched)
	}
	out := t.authorized(req, v)
	if req.Body != nil {
		if body := announce(out); body != nil {
			return t.exchangeAnnounced(req, out, body, v)
		}
	}
	return t.exchange(req, out, nil, v)
}

// authorized is a copy of req that carries v. Its header map is its own, and so are
// the values that are not the caller's: a base that edits them cannot reach the cache.
func (t *Transport) authorized(req *http.Request, v *value) *http.Request {
	h := &v.headers[t.form]
	out := &struct { // in one allocation
		request http.Request
		value   [1]string
	}{*req, [1]string{h.value}}
	if h.further == nil && t.along == nil {
		out.request.Header = headers.With(req.Header, t.header, out.value[:])
		return &out.request
	}
	added := headers.Added{Own: headers.Line{Name: t.header}, Further: h.further, Along: t.along}
	if h.value != "" {
		added.Own.Values = out.value[:]
	}
	out.request.Header = added.To(req.Header)
	return &out.request
}

// unfit says why v cannot be sent by this transport.
func (t *Transport) unfit(v *value) error {
	h := &v.headers[t.form]
	if h.err == nil && h.further == nil {
		return nil
	}
	why := h.err
	if why == nil {
		why = clash(h.further, t.header)
	}
	if why != nil {
		return asError(why, t.cache.name, t.cache.key)
	}
	return nil
}

// send hands out, which is req or a copy of it, to the base. The response's
// Request is what the caller sent: the copy would show the credential (S157).
func (t *Transport) send(req, out *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(out)
	switch {
	case resp != nil:
		resp.Request = req
	case err == nil:
		return refuse(out, &Error{Kind: ErrConfig, Summary: "Config.Base returned neither a response nor an error",
			Fix: "use a base that keeps the contract of http.RoundTripper"})
	}
	return resp, err
}

// pass sends req as it is, to a host that is not to have the credential.
func (t *Transport) pass(req *http.Request, host *hosts.Host) (*http.Response, error) {
	t.withheld.Add(1)
	detail := host.Reason
	if host.Host != "" {
		detail = "add it to MLFLOW_SECRETS_ALLOWED_HOSTS if it is the tracking server"
	}
	t.warn(req, host, "Host not allowed", detail)
	return t.send(req, req)
}

// warn logs a warning about a host, unless the same one has been logged before.
func (t *Transport) warn(req *http.Request, host *hosts.Host, what, detail string) {
	if line, first := t.hosts.FirstWarning(host, what); first {
		t.log.WarnContext(req.Context(), line, "host", host.Label, "detail", detail)
	}
}

// refuse ends a request that is not sent, as the contract of RoundTripper wants.
func refuse(req *http.Request, err error) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return nil, err
}

// Stats returns the transport's counters and those of its cache. They are read one
// after the other, so that they may be off by what happens meanwhile.
func (t *Transport) Stats() Stats {
	if t.cache == nil {
		return Stats{}
	}
	s := t.cache.Stats()
	s.Rejections, s.Retries, s.Withheld = t.rejections.Load(), t.retries.Load(), t.withheld.Load()
	return s
}

// ClearCache drops the cached value: the next request waits for a new read of the
// store, and so do requests that wait for a read under way. Where transports share a
// cache it is dropped for all of them.
func (t *Transport) ClearCache() {
	if t.cache != nil {
		t.cache.Clear()
	}
}

// Warm reads the secret now, unless it is cached, and checks that it can be
// sent, so that a program can fail at its start and not at its first request. It
// waits as a request does, and fails as a request does.
func (t *Transport) Warm(ctx context.Context) error {
	if t.cache == nil {
		return &Error{Kind: ErrConfig, Summary: "the transport is not ready", Fix: "make it with NewTransport"}
	}
	v, err := t.cache.get(ctx)
	if err != nil {
		return err
	}
	return t.unfit(v)
}

// Format writes the key of the secret, for every verb: fmt would walk into the
// provider, which may not hide what it holds, and into what other goroutines use.
func (t *Transport) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "secretsauth.Transport(%s)", t.key())
}

func (t *Transport) key() string {
	if t == nil || t.cache == nil {
		return ""
	}
	return t.cache.key
}

// CloseIdleConnections closes those of the base, if it can. http.Client calls it.
func (t *Transport) CloseIdleConnections() {
	if closer, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}
