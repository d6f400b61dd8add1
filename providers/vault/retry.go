package vault

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
)

const (
	firstPause = 100 * time.Millisecond
	// maxPause also caps Retry-After: a longer one is for the cache to obey, not
	// for a request that waits (S121).
	maxPause = 2 * time.Second
)

// do sends r until there is an answer that will not change by asking again, or
// the session's attempts or the context are over.
func (s *session) do(ctx context.Context, r request) (answer, error) {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		a, err := s.try(ctx, r)
		if err == nil && !mayPass(a.status) {
			return a, nil
		}
		wait := pause/2 + rand.N(pause) //nolint:gosec // half to one and a half of it, no secret
		if asked := httpanswer.RetryAfter(a.header, time.Now()); asked > 0 {
			wait = min(asked, maxPause)
		}
		if s.retries <= 0 || err != nil && !worthRetrying(err) || !sleep(ctx, wait) {
			return answer{}, s.failed(ctx, a, err)
		}
		s.retries--
	}
}

// mayPass are the statuses that Vault's own client retries: 412 is a replica that
// has not caught up; 501 is an uninitialised Vault, which waiting does not help.
func mayPass(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusPreconditionFailed ||
		status >= 500 && status != http.StatusNotImplemented
}

// worthRetrying reports whether no answer now may be an answer soon.
func worthRetrying(err error) bool {
	if _, ok := errors.AsType[*redirect](err); ok {
		return false
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	return !errors.Is(err, http.ErrSchemeMismatch)
}

// sleep reports whether d went by. It does not begin if the context ends sooner.
func sleep(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
