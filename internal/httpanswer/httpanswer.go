// Package httpanswer holds what the providers do alike with a store's HTTP answers.
package httpanswer

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// MaxWait is the longest time that RetryAfter tells, and keeps the arithmetic
// from overflowing.
const MaxWait = 365 * 24 * time.Hour

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

// maxSize is far above any answer about one secret.
const maxSize = 1 << 20

// Limit ends a body at 1 MiB, for SDKs read answers whole.
func Limit(body io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(body, maxSize), body}
}
