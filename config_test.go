package secretsauth_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// capture makes the process's default log a buffer, at the default's level.
func capture(t *testing.T) *canary.Journal {
	t.Helper()
	j := new(canary.Journal)
	canary.DefaultLog(t, j)
	return j
}

// setenv sets every variable that ConfigFromEnv reads, those of values; the
// others are unset.
func setenv(t *testing.T, values map[string]string) {
	t.Helper()
	for _, name := range []string{
		"MLFLOW_SECRETS_ALLOWED_HOSTS", "MLFLOW_AUTH_HEADER_NAME", "MLFLOW_SECRETS_LOG_LEVEL",
		"MLFLOW_SECRETS_MAX_STALE_SEC", "MLFLOW_SECRETS_REQUIRE_TLS", "MLFLOW_SECRETS_ROTATION_WAIT_SEC",
		"MLFLOW_SECRETS_IGNORE_403", "MLFLOW_WORKSPACE",
	} {
		t.Setenv(name, "") // so that it is restored
		if value, ok := values[name]; ok {
			t.Setenv(name, value)
		} else if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfigFromEnv(t *testing.T) {
	same := func(secretsauth.Config) bool { return true }
	for _, test := range []struct {
		name     string
		variable string
		value    string
		want     func(secretsauth.Config) bool // nil: ErrConfig that names the variable
		warns    bool                          // a warning that names it
	}{
		{"hosts", "MLFLOW_SECRETS_ALLOWED_HOSTS", "mlflow.company.com", func(c secretsauth.Config) bool {
			return slices.Equal(c.AllowedHosts, []string{"mlflow.company.com"})
		}, false},
		{"hosts, several, with spaces and a comma too many", "MLFLOW_SECRETS_ALLOWED_HOSTS", " a.test , *.b.test,", func(c secretsauth.Config) bool {
			return slices.Equal(c.AllowedHosts, []string{"a.test", "*.b.test"})
		}, false},
		{"S55 hosts, empty", "MLFLOW_SECRETS_ALLOWED_HOSTS", "", nil, false},
		{"S55 hosts, blank", "MLFLOW_SECRETS_ALLOWED_HOSTS", " , ", nil, false},
		{"hosts, bad", "MLFLOW_SECRETS_ALLOWED_HOSTS", "a.test,b/c", nil, false},
		{"header", "MLFLOW_AUTH_HEADER_NAME", " x-api-key ", func(c secretsauth.Config) bool { return c.HeaderName == "x-api-key" }, false},
		{"header, empty", "MLFLOW_AUTH_HEADER_NAME", "", func(c secretsauth.Config) bool { return c.HeaderName == "" }, false},
		{"S86 header, not for credentials", "MLFLOW_AUTH_HEADER_NAME", "Host", nil, false},
		{"S86 header, bad", "MLFLOW_AUTH_HEADER_NAME", "X Api", nil, false},
		{"stale", "MLFLOW_SECRETS_MAX_STALE_SEC", " 60 ", func(c secretsauth.Config) bool { return c.MaxStale == time.Minute }, false},
		{"stale, never", "MLFLOW_SECRETS_MAX_STALE_SEC", "0", func(c secretsauth.Config) bool { return c.MaxStale < 0 }, false},
		{"stale, empty", "MLFLOW_SECRETS_MAX_STALE_SEC", "", func(c secretsauth.Config) bool { return c.MaxStale == 0 }, false},
		{"S149 stale, huge", "MLFLOW_SECRETS_MAX_STALE_SEC", "9223372036854775807", func(c secretsauth.Config) bool { return c.MaxStale > 24*time.Hour }, false},
		{"stale, bad", "MLFLOW_SECRETS_MAX_STALE_SEC", "1h", func(c secretsauth.Config) bool { return c.MaxStale == 0 }, true},
		{"TLS", "MLFLOW_SECRETS_REQUIRE_TLS", " TRUE ", func(c secretsauth.Config) bool { return c.RequireTLS }, false},
		{"TLS, on", "MLFLOW_SECRETS_REQUIRE_TLS", "on", func(c secretsauth.Config) bool { return c.RequireTLS }, false},
		{"TLS, off", "MLFLOW_SECRETS_REQUIRE_TLS", "0", func(c secretsauth.Config) bool { return !c.RequireTLS }, false},
		{"TLS, empty", "MLFLOW_SECRETS_REQUIRE_TLS", "", func(c secretsauth.Config) bool { return !c.RequireTLS }, false},
		{"TLS, bad: a safety switch is not guessed", "MLFLOW_SECRETS_REQUIRE_TLS", "yes please", nil, false},
		{"F20 rotation", "MLFLOW_SECRETS_ROTATION_WAIT_SEC", " 30 ", func(c secretsauth.Config) bool { return c.RotationWait == 30*time.Second }, false},
		{"F20 rotation, none", "MLFLOW_SECRETS_ROTATION_WAIT_SEC", "0", func(c secretsauth.Config) bool { return c.RotationWait == 0 }, false},
		{"F20 rotation, empty", "MLFLOW_SECRETS_ROTATION_WAIT_SEC", "", func(c secretsauth.Config) bool { return c.RotationWait == 0 }, false},
		{"F20 rotation, the longest", "MLFLOW_SECRETS_ROTATION_WAIT_SEC", "3600", func(c secretsauth.Config) bool { return c.RotationWait == time.Hour }, false},
		{"F20 rotation, too long", "MLFLOW_SECRETS_ROTATION_WAIT_SEC", "3601", nil, false},
		{"F20 rotation, huge", "MLFLOW_SECRETS_ROTATION_WAIT_SEC", "9223372036854775807", nil, false},
		{"F20 rotation, negative", "MLFLOW_SECRETS_ROTATION_WAIT_SEC", "-1", nil, false},
		{"F20 rotation, bad", "MLFLOW_SECRETS_ROTATION_WAIT_SEC", "30s", nil, false},
		{"F20 403", "MLFLOW_SECRETS_IGNORE_403", " Yes ", func(c secretsauth.Config) bool { return c.Ignore403 }, false},
		{"F20 403, off", "MLFLOW_SECRETS_IGNORE_403", "false", func(c secretsauth.Config) bool { return !c.Ignore403 }, false},
		{"F20 403, empty", "MLFLOW_SECRETS_IGNORE_403", "", func(c secretsauth.Config) bool { return !c.Ignore403 }, false},
		{"F20 403, bad", "MLFLOW_SECRETS_IGNORE_403", "sometimes", nil, false},
		{"workspace", "MLFLOW_WORKSPACE", "team", func(c secretsauth.Config) bool {
			return c.Headers.Get("X-MLFLOW-WORKSPACE") == "team" && len(c.Headers) == 1
		}, false},
		{"workspace, with spaces", "MLFLOW_WORKSPACE", " team\t", func(c secretsauth.Config) bool { return c.Headers.Get("X-MLFLOW-WORKSPACE") == "team" }, false},
		{"workspace, empty", "MLFLOW_WORKSPACE", "", func(c secretsauth.Config) bool { return c.Headers == nil }, false},
		{"workspace, blank", "MLFLOW_WORKSPACE", " ", func(c secretsauth.Config) bool { return c.Headers == nil }, false},
		{"workspace, several lines", "MLFLOW_WORKSPACE", "team\nEvil: 1", nil, false},
		{"workspace, outside ASCII", "MLFLOW_WORKSPACE", "équipe", nil, false},
		{"level, bad", "MLFLOW_SECRETS_LOG_LEVEL", "chatty", same, true},
		{"level, empty", "MLFLOW_SECRETS_LOG_LEVEL", " ", same, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := capture(t)
			values := map[string]string{"MLFLOW_SECRETS_ALLOWED_HOSTS": "mlflow.company.com"}
			values[test.variable] = test.value
			setenv(t, values)
			cfg, err := secretsauth.ConfigFromEnv()
			if test.want == nil {
				if !errors.Is(err, secretsauth.ErrConfig) || !strings.Contains(err.Error(), test.variable) {
					t.Fatalf("%v, want ErrConfig that names %s", err, test.variable)
				}
				return
			}
			if err != nil || !test.want(cfg) {
				t.Errorf("%+v, %v", cfg, err)
			}
			if got := strings.Contains(log.String(), test.variable); got != test.warns {
				t.Errorf("warned: %v, want %v", got, test.warns)
			}
		})
	}
}

func TestAnUnsetAllowListIsEveryHostWithOneWarning(t *testing.T) {
	log := capture(t)
	setenv(t, nil)
	cfg, err := secretsauth.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Headers != nil {
		t.Errorf("headers %v, though MLFLOW_WORKSPACE is not set", cfg.Headers)
	}
	if _, err := newTransport(secretsauth.Static(secretsauth.NewToken(canary.New())), cfg); err != nil {
		t.Fatal(err)
	}
	text := log.String()
	if strings.Count(text, "WARN") != 1 || !strings.Contains(text, "MLFLOW_SECRETS_ALLOWED_HOSTS=mlflow.company.com") {
		t.Errorf("want one warning that says how to narrow it, got %q", text)
	}
}

func TestLogLevelsFromTheEnvironment(t *testing.T) {
	for level, want := range map[string]int{"DEBUG": 4, "debug": 4, "INFO": 3, "": 3, "WARNING": 2, "ERROR": 1} {
		t.Run(level, func(t *testing.T) {
			log := capture(t) // itself at INFO: MLFLOW_SECRETS_LOG_LEVEL decides all the same
			setenv(t, map[string]string{"MLFLOW_SECRETS_ALLOWED_HOSTS": "*", "MLFLOW_SECRETS_LOG_LEVEL": level})
			cfg, err := secretsauth.ConfigFromEnv()
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
				cfg.Logger.With("k", "v").WithGroup("g").Log(context.Background(), l, "line")
			}
			if got := strings.Count(log.String(), "msg=line"); got != want {
				t.Errorf("%d lines, want %d", got, want)
			}
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*secretsauth.Config){
		"S55 no hosts":         func(c *secretsauth.Config) { c.AllowedHosts = nil },
		"bad pattern":          func(c *secretsauth.Config) { c.AllowedHosts = []string{"a b"} },
		"unknown mode":         func(c *secretsauth.Config) { c.Mode = "digest" },
		"negative timeout":     func(c *secretsauth.Config) { c.FetchTimeout = -1 },
		"negative rotation":    func(c *secretsauth.Config) { c.RotationWait = -1 },
		"header for the proxy": func(c *secretsauth.Config) { c.HeaderName = "Proxy-Authorization" },
	} {
		cfg := secretsauth.Config{AllowedHosts: []string{"*"}}
		change(&cfg)
		_, err := newTransport(secretsauth.Static(secretsauth.NewToken(canary.New())), cfg)
		if !errors.Is(err, secretsauth.ErrConfig) || !strings.Contains(err.Error(), "fix: ") {
			t.Errorf("%s: %v, want ErrConfig with a fix", name, err)
		}
	}
}

func TestLogLinesAreTheGuides(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	simulate(t, func(t *testing.T) {
		b.Reset()
		w := newWorld(t, func(c *secretsauth.Config) {
			c.Logger = slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		w.want("/", 200)
		w.want("/", 200)
		w.store.fail(&secretsauth.Error{Kind: secretsauth.ErrNotFound, Summary: "secret not found at path: secret/wrong/path"})
		w.rt.ClearCache()
		w.wantErr("/", secretsauth.ErrNotFound)
		w.store.fail(denied())
		w.rt.ClearCache()
		w.wantErr("/", secretsauth.ErrDenied)
	})
	for _, line := range []string{
		`level=INFO msg="Secret fetched successfully (provider=fake, cache_hit=false)"`,
		`level=INFO msg="Authentication successful (provider=fake, auth_mode=bearer)"`,
		`level=DEBUG msg="Cache hit for key: fake:https://store.test:secret/mlflow/auth"`,
		`level=ERROR msg="Secret not found at path: secret/wrong/path"`,
		`level=ERROR msg="Vault authentication failed: 403 Forbidden"`,
	} {
		if strings.Count(b.String(), line) != 1 {
			t.Errorf("%d times in the log: %s", strings.Count(b.String(), line), line)
		}
	}
}

// ParseAuthMode reads a mode in any case; what Config.check accepts must mean the
// same, so that a password is not sent as Bearer.
func TestAModeInAnotherCaseIsTakenOrRefused(t *testing.T) {
	t.Parallel()
	secret := secretsauth.NewToken("user:" + canary.New())
	for _, test := range []struct {
		name   string
		mode   secretsauth.AuthMode // of Config
		hint   secretsauth.AuthMode // of the provider
		scheme string
	}{
		{"Config BASIC", "BASIC", "", "Basic "},
		{"Config Basic with spaces", " Basic ", "", "Basic "},
		{"Config Bearer", "Bearer", "basic", "Bearer "},
		{"hint BASIC", "", "BASIC", "Basic "},
		{"hint Bearer", "", "Bearer", "Bearer "},
		{"hint that is none", "", "digest", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sent := ""
			rt, err := newTransport(secretsauth.Static(secret.WithMode(test.hint)), secretsauth.Config{
				AllowedHosts: []string{"*"}, Mode: test.mode,
				Base: roundTripper(func(req *http.Request) (*http.Response, error) {
					sent = req.Header.Get("Authorization")
					return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
				}),
			})
			if errors.Is(err, secretsauth.ErrConfig) {
				return
			}
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://mlflow.test/", nil)
			resp, err := netted{rt}.RoundTrip(req)
			if errors.Is(err, secretsauth.ErrConfig) || errors.Is(err, secretsauth.ErrInvalidSecret) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if test.scheme == "" || !strings.HasPrefix(sent, test.scheme) {
				scheme, _, _ := strings.Cut(sent, " ")
				t.Errorf("it was accepted and sent as %s, want %q or an error", scheme, test.scheme)
			}
		})
	}
}

// handlerThatAsks logs by a request of its own, through the transport it logs
// for.
type handlerThatAsks struct {
	slog.Handler
	ask func()
}

func (h handlerThatAsks) Handle(ctx context.Context, r slog.Record) error {
	h.ask()
	return h.Handler.Handle(ctx, r)
}

func TestALogHandlerMayUseTheTransport(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		var w *world
		asked := false
		w = newWorld(t, func(c *secretsauth.Config) {
			c.Logger = slog.New(handlerThatAsks{slog.NewTextHandler(io.Discard, nil), func() {
				if !asked {
					asked = true
					w.want("/", http.StatusOK)
				}
			}})
		})
		w.want("/", http.StatusOK)
		if !asked {
			t.Error("nothing was logged")
		}
	})
}
