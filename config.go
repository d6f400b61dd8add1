package secretsauth

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/headers"
)

// Config says where the credential goes, how it is sent and how long it is kept.
// The zero value of every field but AllowedHosts is a safe default. It is copied by
// [NewTransport] and [NewCache]: a later change of it changes nothing.
type Config struct {
	// AllowedHosts are the patterns of the hosts that get the credential, in the
	// language of [CompileHosts]. Required: without a pattern [NewTransport]
	// refuses. []string{"*"} is every host.
	AllowedHosts []string

	// Mode is how the secret is sent. Default [AuthAuto]: the provider's hint
	// ([Secret.WithMode]) or, without one, by what the secret holds.
	Mode AuthMode

	// HeaderName is the header that carries the credential. Default
	// "Authorization". Another one carries a token as it stands, without
	// "Bearer". Names that are not for credentials (Host, Content-Length,
	// Proxy-Authorization, …) are refused.
	HeaderName string

	// Headers are sent with the credential and to nobody else, such as
	// X-MLFLOW-WORKSPACE. They are not secret: what is goes into the [Secret], see
	// [Secret.WithHeader]. A header that the caller has set, in any spelling, stays the
	// caller's. Names that are for net/http or for credentials (Host, Content-Length,
	// Authorization, HeaderName, …) are refused. Default: none.
	Headers http.Header

	// TTL is how long a value is kept before the store is read again. Default:
	// the provider's hint ([Secret.WithTTL]) or, without one, 5 min. Clamped to
	// 1 s … 24 h; negative: refused. An expiry that the store reports is never
	// outlived.
	TTL time.Duration

	// MaxStale is how long past its TTL a value is still served while the store
	// is unreachable. Default 1 h; at most a year; negative: never. A value that
	// the server rejected is not served stale.
	MaxStale time.Duration

	// FetchTimeout bounds one read of one store, its attempts included. Default
	// 10 s; at most a year; negative: refused. It is independent of the requests
	// that wait: they leave when their own context ends.
	FetchTimeout time.Duration

	// Base sends the requests. Default [http.DefaultTransport]. It must keep the
	// contract of [http.RoundTripper]. Of a request to an allowed host it gets a copy
	// with a header map of its own, in which it may set and delete headers. The values
	// in that map are shared with the caller's request, as in most RoundTrippers: to
	// change or extend one in place, clone the request first.
	Base http.RoundTripper

	// Logger gets what happens, never a secret. Default: nothing is logged.
	Logger *slog.Logger

	// KeepCallerHeader leaves headers that the caller has set. A request that has a
	// value for HeaderName, or for one of the secret's further headers, passes through
	// as if its host were not allowed, and its 401 is no rejection of ours. For
	// HeaderName that is decided without a read of the store. It does not apply to a
	// header that a redirect has made from userinfo in its Location. Default: the
	// caller's header is overwritten.
	KeepCallerHeader bool

	// RequireTLS refuses to send requests to allowed hosts over plain http,
	// loopback excepted: RoundTrip returns an error that wraps [ErrConfig].
	// Default: they are sent with the credential, with one warning per host.
	RequireTLS bool

	// Ignore403 takes a 403 as an answer, never as a reason to read the store.
	// MLflow's basic-auth means "not permitted" by it; Databricks and
	// oauth2-proxy use it for bad tokens too. Default: a 403 reads the store, at
	// most once per pause.
	Ignore403 bool

	// RotationWait is for rotations that change the server before the store. A
	// value that was accepted before and is now answered 401 may be in the middle
	// of one: a request that can be replayed then waits for the store to hold
	// another value, until this long after the first such 401 or until its own
	// context ends. Meanwhile the store is read once a second, and less often when
	// that goes on for more than 10 s. A 403 never waits. Default 0: no request
	// waits; negative: refused.
	RotationWait time.Duration

	// BufferBodies is the size in bytes up to which a body without GetBody is read
	// before its request is sent, so that the request can be sent again after a
	// rejection. Files and the bodies that a reverse proxy passes on have no GetBody.
	// A longer body is sent as it comes, and only once. Leave it zero if requests
	// are answered before their body has ended. A request with an Expect header is
	// not read ahead. Default 0: no body is read ahead; negative: refused.
	BufferBodies int64
}

const (
	defaultTTL          = 5 * time.Minute
	minTTL              = time.Second
	defaultMaxStale     = time.Hour
	defaultFetchTimeout = 10 * time.Second

	// maxRotationWait is from the environment. No client waits longer for a request.
	maxRotationWait = time.Hour
)

// keptFor returns how long a cache keeps s: ttl, which is [Config.TTL], or else the
// provider's hint.
func (s Secret) keptFor(ttl time.Duration) time.Duration {
	if ttl == 0 {
		ttl = s.ttl
	}
	if ttl == 0 {
		ttl = defaultTTL
	}
	return min(max(ttl, minTTL), env.MaxTTL)
}

func (c Config) maxStale() time.Duration {
	switch {
	case c.MaxStale < 0:
		return 0
	case c.MaxStale == 0:
		return defaultMaxStale
	}
	return min(c.MaxStale, env.Longest)
}

func (c Config) fetchTimeout() time.Duration {
	if c.FetchTimeout <= 0 { // a negative one makes the cache unusable
		return defaultFetchTimeout
	}
	return min(c.FetchTimeout, env.Longest)
}

func (c Config) base() http.RoundTripper {
	if c.Base == nil {
		return http.DefaultTransport
	}
	return c.Base
}

func (c Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

// headerName is the canonical name of the header that carries the credential.
func (c Config) headerName() (string, error) {
	if c.HeaderName == "" {
		return "Authorization", nil
	}
	return canonicalHeaderName(c.HeaderName)
}

// ConfigFromEnv reads the variables that do not belong to one provider:
//
//	MLFLOW_SECRETS_ALLOWED_HOSTS      comma list of patterns; unset: every host, with a warning
//	MLFLOW_AUTH_HEADER_NAME           default Authorization
//	MLFLOW_SECRETS_LOG_LEVEL          DEBUG, INFO (default), WARNING, ERROR
//	MLFLOW_SECRETS_MAX_STALE_SEC      default 3600; 0: never
//	MLFLOW_SECRETS_ROTATION_WAIT_SEC  default 0
//	MLFLOW_SECRETS_REQUIRE_TLS        default false
//	MLFLOW_SECRETS_IGNORE_403         default false
//	MLFLOW_WORKSPACE                  sent as X-MLFLOW-WORKSPACE, as MLflow's own client does
//
// TTL and Mode stay zero, so that the provider's own variables apply. Logger
// writes to what [slog.Default] is now, from that level on. An error wraps
// [ErrConfig] and names every variable that cannot be used.
func ConfigFromEnv() (Config, error) {
	cfg := Config{Logger: env.Logger()}
	if _, known := env.LogLevel(); !known {
		cfg.Logger.Warn("MLFLOW_SECRETS_LOG_LEVEL is not one of DEBUG, INFO, WARNING, ERROR; INFO is used")
	}

	var badHosts, badHeader, badWorkspace, badWait, badTLS, bad403 error
	hosts, set := os.LookupEnv("MLFLOW_SECRETS_ALLOWED_HOSTS")
	if !set {
		cfg.AllowedHosts = []string{"*"} // NewTransport warns about it
	} else {
		for pattern := range strings.SplitSeq(hosts, ",") {
			if pattern = strings.TrimSpace(pattern); pattern != "" {
				cfg.AllowedHosts = append(cfg.AllowedHosts, pattern)
			}
		}
	}
	if _, badHosts = CompileHosts(cfg.AllowedHosts); len(cfg.AllowedHosts) == 0 {
		badHosts = &Error{
			Kind:    ErrConfig,
			Summary: "MLFLOW_SECRETS_ALLOWED_HOSTS is set but empty, so no host may get the credential",
			Fix:     "export MLFLOW_SECRETS_ALLOWED_HOSTS=mlflow.company.com",
		}
	}

	cfg.HeaderName = env.Get("MLFLOW_AUTH_HEADER_NAME")
	_, badHeader = cfg.headerName()

	if workspace := env.Get("MLFLOW_WORKSPACE"); workspace != "" {
		cfg.Headers = http.Header{headers.Workspace: {workspace}}
		if why := headers.Value(workspace, maxSecretSize); why != "" {
			badWorkspace = &Error{Kind: ErrConfig, Summary: "MLFLOW_WORKSPACE " + why + ", so no header can carry it",
				Fix: "export MLFLOW_WORKSPACE=team, or unset it"}
		}
	}

	if seconds, set := env.Number("MLFLOW_SECRETS_MAX_STALE_SEC", cfg.Logger); set {
		cfg.MaxStale = -1
		if seconds > 0 {
			cfg.MaxStale = time.Duration(min(seconds, int64(env.Longest/time.Second))) * time.Second
		}
	}

	cfg.RotationWait, badWait = rotationWaitFromEnv()
	cfg.RequireTLS, badTLS = boolFromEnv("MLFLOW_SECRETS_REQUIRE_TLS") // a safety switch is never guessed
	cfg.Ignore403, bad403 = boolFromEnv("MLFLOW_SECRETS_IGNORE_403")
	if err := env.Problems(badHosts, badHeader, badWorkspace, badWait, badTLS, bad403); err != nil {
		return Config{}, err
	}
	return cfg, nil
}

func boolFromEnv(name string) (bool, error) {
	on, err := env.Bool(name)
	if err != nil {
		return false, &Error{Kind: ErrConfig, Summary: err.Error(), Fix: "export " + name + "=true"}
	}
	return on, nil
}

// rotationWaitFromEnv reads MLFLOW_SECRETS_ROTATION_WAIT_SEC. A bad value is an error:
// who sets it relies on requests that do not fail, and would learn of it in a rotation.
func rotationWaitFromEnv() (time.Duration, error) {
	const name = "MLFLOW_SECRETS_ROTATION_WAIT_SEC"
	seconds, set, why := env.CheckNumber(name)
	switch {
	case why != "":
		why = name + " is not a whole number of seconds"
	case set && seconds < 0:
		why = name + " is negative"
	case set && seconds > int64(maxRotationWait/time.Second):
		why = fmt.Sprintf("%s is over %.0f seconds", name, maxRotationWait.Seconds())
	default:
		return time.Duration(seconds) * time.Second, nil
	}
	return 0, &Error{Kind: ErrConfig, Summary: why, Fix: "export " + name + "=30"}
}

// check refuses what has no meaning for a transport.
func (c Config) check() error {
	if len(c.AllowedHosts) == 0 {
		return &Error{Kind: ErrConfig, Summary: "no host is allowed to get the credential",
			Fix: `set Config.AllowedHosts (MLFLOW_SECRETS_ALLOWED_HOSTS), for example to []string{"mlflow.company.com"}`}
	}
	return c.checkCache()
}

// checkCache refuses what has no meaning for a cache. A negative duration is a mistake,
// but for MaxStale, where it says that nothing stale is served.
func (c Config) checkCache() error {
	if _, err := ParseAuthMode(string(c.Mode)); err != nil {
		return err
	}
	for _, d := range []struct {
		name  string
		value time.Duration
		zero  string // what zero stands for
	}{
		{"TTL", c.TTL, "the provider's hint or 5 min"},
		{"FetchTimeout", c.FetchTimeout, "10 s"},
		{"RotationWait", c.RotationWait, "not waiting"},
	} {
		if d.value < 0 {
			return &Error{Kind: ErrConfig, Summary: fmt.Sprintf("Config.%s is negative: %v", d.name, d.value),
				Fix: "leave it zero for " + d.zero + ", or make it positive"}
		}
	}
	if c.BufferBodies < 0 {
		return &Error{Kind: ErrConfig, Summary: fmt.Sprintf("Config.BufferBodies is negative: %d", c.BufferBodies),
			Fix: "leave it zero for not reading bodies ahead, or make it positive"}
	}
	_, err := c.headerName()
	return err
}
