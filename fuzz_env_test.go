package secretsauth_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
)

// rootVariables are those that ConfigFromEnv reads, in the order of the arguments
// of FuzzConfigFromEnv.
var rootVariables = []string{
	"MLFLOW_SECRETS_ALLOWED_HOSTS", "MLFLOW_AUTH_HEADER_NAME", "MLFLOW_SECRETS_LOG_LEVEL",
	"MLFLOW_SECRETS_MAX_STALE_SEC", "MLFLOW_SECRETS_REQUIRE_TLS", "MLFLOW_WORKSPACE",
	"MLFLOW_SECRETS_ROTATION_WAIT_SEC", "MLFLOW_SECRETS_IGNORE_403",
}

// FuzzConfigFromEnv gives the variables any values, a secret that was put into the
// wrong one among them. What is refused is refused by name; what is accepted can be
// used.
func FuzzConfigFromEnv(f *testing.F) {
	f.Add("mlflow.company.com", "", "", "", "", "", "", "")
	f.Add(" a.test , *.b.test:80,https://[::1]:5000,*", "X-Api-Key", "debug", "60", "yes", "team", "30", "true")
	f.Add("", "Host", "loud", "1h", "yes please", " a b ", "30s", "sometimes")
	f.Add(",,", "Authorization: Bearer x", "\x1b[31m", "-1", "0", "a\nb", "-1", "0")
	f.Add("a/b", "X Api", "WARNING", "9223372036854775807", "ON", "\x1b[31m", "3601", "ON")
	f.Add("user:hunter2@a.test", "\u00fc", " ", "9223372036854775808", " TRUE ", "\u00fc", "9223372036854775808", "\u00fc")
	f.Add("[", "x\r\ny", "info", "+60", "off", "x\r\nEvil: y", "+60", "off")
	f.Add("*.com", "x-api-key", "error", "0", "", "team-1", "0", "")
	wire := newWire(f)
	var log bytes.Buffer
	canary.DefaultLog(f, &log)
	for _, name := range rootVariables {
		f.Setenv(name, "") // so that it is restored
	}

	f.Fuzz(func(t *testing.T, hosts, header, level, stale, tls, workspace, wait, ignore string) {
		values := []string{hosts, header, level, stale, tls, workspace, wait, ignore}
		for i, name := range rootVariables {
			if i >= 1 { // what is not quoted at all
				values[i] = values[i] + fuzzMark
			}
			set(t, name, values[i])
		}
		checkConfig(t, wire, &log, false)
		for i, name := range rootVariables {
			set(t, name, []string{hosts, header, level, stale, tls, workspace, wait, ignore}[i])
		}
		checkConfig(t, wire, &log, true)
	})
}

// set skips what no environment can hold.
func set(t *testing.T, name, value string) {
	t.Helper()
	if strings.ContainsRune(value, 0) {
		t.Skip("a variable ends at a NUL")
	}
	if err := os.Setenv(name, value); err != nil {
		t.Skip("no environment can hold it")
	}
}

// checkConfig reads the configuration. clean says that the mark is in no variable,
// so that a configuration may come of it.
func checkConfig(t *testing.T, wire *wire, log *bytes.Buffer, clean bool) {
	t.Helper()
	log.Reset()
	cfg, err := secretsauth.ConfigFromEnv()
	if shows(log.String(), fuzzMark) {
		t.Fatal("a warning repeats a value")
	}
	if err != nil {
		text := err.Error()
		named := slices.ContainsFunc(rootVariables, func(name string) bool { return strings.Contains(text, name) })
		switch {
		case !errors.Is(err, secretsauth.ErrConfig) || !named:
			t.Fatalf("%d bytes of error do not name the variable, or are not ErrConfig", len(text))
		case shows(text, fuzzMark):
			t.Fatal("the error repeats a value")
		case len(text) > 3000:
			t.Fatalf("the error has %d bytes", len(text))
		case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
			t.Fatal("the error is not one printable line")
		}
		return
	}
	if !clean {
		t.Fatal("MLFLOW_SECRETS_REQUIRE_TLS is guessed")
	}
	if cfg.MaxStale < -1 || cfg.MaxStale > 365*24*time.Hour || len(cfg.AllowedHosts) == 0 || cfg.Logger == nil {
		t.Fatal("the configuration is out of bounds")
	}
	cfg.Base = wire
	rt, err := secretsauth.NewTransport(secretsauth.Static(secretsauth.NewToken("token")), cfg)
	if err != nil {
		t.Fatal("NewTransport refuses what ConfigFromEnv accepts")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://mlflow.company.com/", nil)
	if err != nil {
		t.Fatal("the request of the test is none")
	}
	wire.last = nil
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal("a request over https fails")
	}
	_ = resp.Body.Close()
	req.Header = wire.last
	if wire.spy.dialled(req) == "" {
		t.Fatal("net/http refuses the header's name")
	}
}

// FuzzEnv gives one variable any value and reads it as everything.
func FuzzEnv(f *testing.F) {
	for _, value := range []string{
		"", " ", "1", "0", "-1", "300", "86400", "86401", "9223372036854775807", "9223372036854775808", "1e3", "0x10", "1_000", "+5", " 7\n", "true", "YES", " on ", "off", "no",
		"maybe", "DEBUG", "warn", "\ufeff1", "\u00a01", "\u0661", "\xff", "1\r\n2", "\x1b[31m",
	} {
		f.Add(value, uint(0))
	}
	const name = "MLFLOW_SECRETS_MAX_RETRIES"
	quiet := slog.New(slog.DiscardHandler)
	for _, variable := range []string{name, "MLFLOW_SECRETS_LOG_LEVEL"} {
		f.Setenv(variable, "") // so that it is restored
	}
	f.Fuzz(func(t *testing.T, value string, at uint) {
		for _, text := range []string{value, marked(value, at)} {
			set(t, name, text)
			set(t, "MLFLOW_SECRETS_LOG_LEVEL", text)
			got := env.Get("MLFLOW_SECRETS_NOT_SET", name)
			if strings.TrimSpace(got) != got || !strings.Contains(text, got) {
				t.Fatal("Get does not give the trimmed value")
			}
			ttl, ttlWarning := env.CheckTTL(name)
			if ttl < 0 || ttl > env.MaxTTL || ttl != 0 && ttl < time.Second || env.TTL(name, quiet) != ttl {
				t.Fatalf("TTL %v", ttl)
			}
			n, numberSet, numberWarning := env.CheckNumber(name)
			if again, ok := env.Number(name, quiet); again != n || ok != numberSet || numberSet && numberWarning != "" || !numberSet && n != 0 {
				t.Fatalf("number %d, set %v", n, numberSet)
			}
			attempts, attemptsWarning := env.CheckAttempts()
			if attempts < 0 || attempts > env.MaxAttempts || env.BoundAttempts(attempts) < 1 || env.Attempts(quiet) != attempts {
				t.Fatalf("%d attempts", attempts)
			}
			on, err := env.Bool(name)
			if err != nil && on {
				t.Fatal("a switch is on by mistake")
			}
			if _, known := env.LogLevel(); !known && got == "" {
				t.Fatal("an empty level is not known")
			}
			said := []string{ttlWarning, numberWarning, attemptsWarning}
			if err != nil {
				said = append(said, err.Error(), env.Problems(err, nil, err).Error())
			}
			for _, text := range said {
				if text != "" && (!strings.Contains(text, name) || shows(text, fuzzMark) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' })) {
					t.Fatal("a message does not name the variable, repeats its value, or is not one line")
				}
			}
			if got != "" && (numberSet == (numberWarning != "")) {
				t.Fatal("a value is neither read nor warned of")
			}
		}
	})
}
