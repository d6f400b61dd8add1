// Package httpanswer is what all providers do with a store's HTTP answers.
package httpanswer

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
)

// MaxWait is the longest time that [RetryAfter] returns, so that callers' arithmetic
// does not overflow.
const MaxWait = env.Longest

// RetryAfter reads the header: seconds or an HTTP date (RFC 9110, section
// 10.2.3). Anything else, and the past, is zero.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 63); err == nil {
		return time.Duration(min(seconds, uint64(MaxWait/time.Second))) * time.Second //nolint:gosec // capped
	} else if errors.Is(err, strconv.ErrRange) {
		return MaxWait
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), MaxWait)
	}
	return 0
}
