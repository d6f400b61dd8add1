// Package env reads environment variables by this module's rules: values are
// trimmed, an empty value counts as unset, and a mistake is reported by the
// variable's name.
package env

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

// Get returns the trimmed value of the first of names that is set, or "".
func Get(names ...string) string {
	for _, name := range names {
		if value := strings.TrimSpace(os.Getenv(name)); value != "" {
			return value
		}
	}
	return ""
}

// Bool reads a switch: 1, true, yes, on and 0, false, no, off, in any case.
// Unset is false; anything else is an error.
func Bool(name string) (bool, error) {
	switch value := strings.ToLower(Get(name)); value {
	case "1", "true", "yes", "on":
		return true, nil
	case "", "0", "false", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%s is neither true nor false; use 1, true, yes or on, or unset it", name)
}

// MaxTTL is the longest time that a cached secret may live.
const MaxTTL = 24 * time.Hour

// Longest is for ever, where a duration may be any: no sum or multiple of it that is
// made here overflows.
const Longest = 365 * 24 * time.Hour

// TTL is [CheckTTL], with the warning in the log.
func TTL(name string, log *slog.Logger) time.Duration {
	ttl, warning := CheckTTL(name)
	warn(log, warning)
	return ttl
}

// CheckTTL reads a positive number of seconds, clamped to MaxTTL. Unset is 0, which
// stands for the default; so is a bad value, with a warning.
func CheckTTL(name string) (ttl time.Duration, warning string) {
	seconds, set, warning := CheckNumber(name)
	switch {
	case !set:
		return 0, warning
	case seconds <= 0:
		return 0, fmt.Sprintf("%s must be a positive number of seconds; the default is used", name)
	case seconds > int64(MaxTTL/time.Second):
		return MaxTTL, fmt.Sprintf("%s is over %d seconds and is cut to that", name, int64(MaxTTL/time.Second))
	}
	return time.Duration(seconds) * time.Second, ""
}

// The attempts of one read, in all.
const (
	DefaultAttempts = 3
	MaxAttempts     = 100
)

// Attempts is [CheckAttempts], with the warning in the log.
func Attempts(log *slog.Logger) int {
	n, warning := CheckAttempts()
	warn(log, warning)
	return n
}

// CheckAttempts reads MLFLOW_SECRETS_MAX_RETRIES, how often a read is tried in all.
// Unset is 0, which stands for the default; so is a bad value, with a warning.
func CheckAttempts() (n int, warning string) {
	const name = "MLFLOW_SECRETS_MAX_RETRIES"
	number, set, warning := CheckNumber(name)
	if set && (number < 1 || number > MaxAttempts) {
		return 0, fmt.Sprintf("%s is not between 1 and %d; the default is used", name, MaxAttempts)
	}
	return int(number), warning
}

// BoundAttempts is n, or the default where n is not positive, and never more than
// MaxAttempts.
func BoundAttempts(n int) int {
	if n <= 0 {
		return DefaultAttempts
	}
	return min(n, MaxAttempts)
}

// Number is [CheckNumber], with the warning in the log.
func Number(name string, log *slog.Logger) (n int64, set bool) {
	n, set, warning := CheckNumber(name)
	warn(log, warning)
	return n, set
}

// CheckNumber reads a whole number. A bad value counts as unset, with a warning that
// does not repeat it: it may be a secret that was put in the wrong place.
func CheckNumber(name string) (n int64, set bool, warning string) {
	text := Get(name)
	if text == "" {
		return 0, false, ""
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, false, fmt.Sprintf("%s is not a whole number; the default is used", name)
	}
	return n, true, ""
}

func warn(log *slog.Logger, warning string) {
	if warning != "" {
		log.Warn(warning)
	}
}
