// Package secretsauth gives an http.Client a credential that rotates, from a secret
// manager: HashiCorp Vault, AWS Secrets Manager or Azure Key Vault. It was made for
// clients of MLflow, and nothing in it is for them alone.
//
// A [Transport] is an [http.RoundTripper]. It reads the credential for a server, such as
// an MLflow tracking server, from a [Provider], keeps it in a [Cache], and puts it, as
// Bearer or Basic, on requests to allow-listed hosts and on no others. When
// the server answers 401 or 403 it reads the store again and, if the store
// holds another value by now, sends the request once more. Programs keep
// working through rotations of the secret and through outages of the store.
//
// The package imports the standard library only. The stores are in the packages
// below providers, each of which links its vendor's SDK.
//
// # Use
//
// From the environment, which is the same as that of the Python plugin
// mlflow-secrets-auth:
//
//	rt, err := providers.TransportFromEnv(ctx, nil)
//	if err != nil {
//		return err
//	}
//	client := &http.Client{Transport: rt}
//
// In code, around a client that exists:
//
//	store, err := vault.New(vault.Config{
//		Address:    "https://vault.company.com",
//		SecretPath: "secret/mlflow/auth",
//	})
//	if err != nil {
//		return err
//	}
//	rt, err := secretsauth.NewTransport(store, secretsauth.Config{
//		AllowedHosts: []string{"mlflow.company.com"},
//		Base:         client.Transport,
//	})
//	if err != nil {
//		return err
//	}
//	client.Transport = rt
//
// Transports that retry, trace or log requests are best put around it, so that they
// never see the credential. [Config.Base] is for the transport that dials, and for
// those that must see the credential, such as one that signs requests. Make a
// Transport once and share it: its methods may be called from any number of
// goroutines.
//
// For several servers with different credentials make one Transport for each, with
// its own list of hosts, and choose by the URL; examples/servers does. Several
// Transports for one credential may share a Cache: pass it in place of the provider.
// A provider is also of use on its own: its Fetch reads the secret once. One of your
// own is a [ProviderFunc] or a type with two methods, and providers/providertest
// checks it.
//
// # Which requests get the credential
//
// Those whose URL's host is covered by [Config.AllowedHosts]. The decision is
// made inside RoundTrip, for every request and for every hop of a redirect, on
// the host that will be dialled and never on the Host header. A host that is not plain
// ASCII labels or an IP address gets nothing. A redirected request gets the
// credential only while scheme, host and port equal those of the first request
// of its chain, and never again once the chain has left them. Everything else
// passes through unchanged; a host that is not allowed is logged once. See
// [CompileHosts] for the patterns.
//
// # What is sent
//
// A token is sent as "Authorization: Bearer TOKEN", a username and password as
// "Authorization: Basic …" (RFC 6750, RFC 7617). [Config.Mode] overrides that,
// [Config.HeaderName] moves it: another header than Authorization carries a
// token as it stands. A header that the caller has set is overwritten on
// allowed hosts, since placeholder tokens and userinfo of the URL arrive there
// first; see [Config.KeepCallerHeader]. The caller's request is never modified,
// and resp.Request is the caller's, so that logging it shows no credential.
//
// A secret may hold further headers, or nothing else ([Secret.WithHeader], "headers" in
// what [ParseSecret] reads); they go wherever the credential goes, and are overwritten
// and redacted like it. [Fields] is for stored objects whose fields have other names than
// those of ParseSecret. [Config.Headers] are sent with the credential too, but are not
// secret, and a header that the caller has set stays the caller's.
//
// # How long a value lives
//
// For [Config.TTL], and never past an expiry that the store reports, or the "exp" of a
// bearer token that is a JWT (RFC 7519), which is read and not verified. From about
// 80 % of that the value is still served while one read goes on in the
// background; a program's first such read comes anywhere from 10 to 80 %, so that
// programs that are started together do not keep reading the store at the same
// moments. Reads are shared: any number of requests wait for one, each for as long
// as its own context lasts, and the cancellation of one does not end it for the others.
// The package runs a goroutine only while a read is under way, so nothing needs
// closing.
//
// # When the store is down
//
// A value that has outlived its TTL goes on being served for [Config.MaxStale]
// while reads fail with [ErrUnavailable], and reads are tried again at growing
// pauses of 1 s to 60 s. Any other failure means that the store has spoken
// ([ErrDenied], [ErrNotFound], [ErrInvalidSecret]); then the value is served to
// the end of its TTL and not beyond. With nothing to serve, requests to allowed
// hosts are not sent: RoundTrip returns an [*Error] that says which store, which
// path, why, and what to do. [Transport.Warm] brings such a failure forward to
// the start of the program.
//
// # When the server says 401 or 403
//
// A 401 drops the value it was sent with: nobody gets it from the cache until the store
// has been read. A 403 is as often a missing permission, so it leaves the value in use.
// Both read the store again, once however many requests were rejected, and the rejected
// request is replayed if the value changed and its body can be sent again (it has none,
// or GetBody is set, as [http.NewRequest] does for bytes and strings). A body without
// GetBody, such as a file or what a reverse proxy passes on, is sent again if it is no
// longer than [Config.BufferBodies], which is off by default. A longer one is sent again
// if the request has "Expect: 100-continue" and is rejected before any of it was read.
// In every other case the server's own response is returned, whole. While the store
// keeps a value that the server rejects it is read at most once per pause: 1 s doubling
// to 5 min for 401, 30 s doubling to 5 min for 403. An endpoint that always answers 401,
// while others accept the value, costs these others nothing more than that.
//
// A rotation changes the store first, so a new value may be read before the
// server knows it. A request whose value the server answers with 401 and has
// never accepted is therefore replayed with the value before that, if the server
// accepted that one, for one TTL after it was replaced. For rotations that change the
// server first, [Config.RotationWait] lets rejected requests wait for the store.
//
// This departs on purpose from the advice in [http.RoundTripper] not to handle
// authentication: only a RoundTripper sees every hop of a redirect.
//
// # Errors
//
// Every error of the library's own is an [*Error], or wraps several, and wraps one
// of five sentinels that say what to do: mend something ([ErrConfig], [ErrNotFound],
// [ErrDenied], [ErrInvalidSecret]) or wait ([ErrUnavailable]). http.Client puts it
// into a *url.Error, through which [errors.Is] and [errors.As] look. If a request's own
// context ends while it waits for the store, the error names the store and wraps that
// context's error; after a deadline it wraps ErrUnavailable as well. What Base returns
// is passed on as it is.
//
// # What can be watched
//
// [Config.Logger] gets, at Info, every read of the store and the first success of a
// value; at Debug, every hit; at Warn, what goes on in spite of something: a
// rejection, a host that is not allowed, plain http, a store that is down while there
// is a value; at Error, every other read that failed. [Transport.Stats]
// counts, [Transport.CacheState] tells the age of the value, when it ends and the last
// failure; examples/observability shows both as metrics.
//
// # Secrets stay out of sight
//
// [Secret] prints, encodes and logs as [REDACTED]. Errors, log lines and
// counters name the store and the path, never the value. What this package
// cannot do is hide the header from [Config.Base] and what lies below it: a
// transport that dumps requests, an httptrace, or GODEBUG=http2debug=1.
//
// Nor can it keep net/http quiet: what a server sends on a connection that is kept for
// the next request, an echo of the request for instance, net/http prints through the
// standard logger ("Unsolicited response received on idle HTTP channel"). The requests
// to stores do not keep their connections. For those to your own servers let
// [log.SetOutput] filter what is quoted, or use a Base with DisableKeepAlives;
// docs/security.md has the code for both.
package secretsauth

import (
	"context"
	"strings"
)

// Provider reads one secret from one secret manager. Implementations are safe
// for concurrent use and honour the context.
//
// An error should wrap one of [ErrNotFound], [ErrDenied], [ErrUnavailable],
// [ErrInvalidSecret] or [ErrConfig], best as an [*Error]; one that wraps none
// counts as ErrUnavailable. It must not contain the secret.
//
// A provider may also be [Keyed], and [Several] if it asks more than one store.
type Provider interface {
	// Name is the provider's slug: "vault", "aws-secrets-manager",
	// "azure-key-vault", or one of your own.
	Name() string
	// Fetch reads the secret from the store, every time it is called.
	Fetch(ctx context.Context) (Secret, error)
}

// Keyed is a [Provider] that says which secret it reads.
type Keyed interface {
	// Key identifies the secret in logs and errors, such as
	// "vault:https://vault.company.com:secret/mlflow/auth". It is no secret.
	Key() string
}

// Several is a [Provider] that asks several stores in turn.
type Several interface {
	// Stores is how many: a read gets [Config.FetchTimeout] for each.
	Stores() int
}

// ProviderFunc is a [Provider] named "func" made from a function. The function
// must be safe for concurrent use.
type ProviderFunc func(context.Context) (Secret, error)

// Name returns "func".
func (ProviderFunc) Name() string { return "func" }

// Fetch calls f. If f is nil the error wraps [ErrConfig].
func (f ProviderFunc) Fetch(ctx context.Context) (Secret, error) {
	if f == nil {
		return Secret{}, &Error{Provider: "func", Kind: ErrConfig, Summary: "ProviderFunc is nil"}
	}
	return f(ctx)
}

// Static returns a [Provider] named "static" that always holds s, for tests and
// for credentials that come from elsewhere. It is safe for concurrent use. A
// rejected value is not replaced: reading it again brings the same.
func Static(s Secret) Provider { return static{s} }

type static struct{ secret Secret }

func (static) Name() string                            { return "static" }
func (p static) Fetch(context.Context) (Secret, error) { return p.secret, nil }

// keyOf is what names p's secret in logs and errors.
func keyOf(p Provider) string {
	if k, ok := p.(Keyed); ok {
		return k.Key()
	}
	return p.Name()
}

// AuthMode is how a secret is sent. Case and white space around it do not count; one
// that is not known is refused by [NewTransport].
type AuthMode string

const (
	// AuthAuto sends a token as Bearer, a username and password as Basic, and a
	// secret that holds both as Bearer. It is the zero value.
	AuthAuto AuthMode = ""
	// AuthBearer sends the token. A secret stored as bare text is taken whole,
	// colons included.
	AuthBearer AuthMode = "bearer"
	// AuthBasic sends username and password; a token of the form user:password
	// is split at its first colon.
	AuthBasic AuthMode = "basic"
)

// canonical is m in its usual spelling, or m if it is no mode.
func (m AuthMode) canonical() AuthMode {
	if mode, err := ParseAuthMode(string(m)); err == nil {
		return mode
	}
	return m
}

// ParseAuthMode reads "bearer" or "basic", in any case, or "" for [AuthAuto].
// The error wraps [ErrConfig].
func ParseAuthMode(text string) (AuthMode, error) {
	switch mode := AuthMode(strings.ToLower(strings.TrimSpace(text))); mode {
	case AuthAuto, AuthBearer, AuthBasic:
		return mode, nil
	}
	return AuthAuto, &Error{
		Kind:    ErrConfig,
		Summary: "the auth mode is not known",
		Fix:     "use bearer or basic, or leave it unset to go by what the secret holds",
	}
}
