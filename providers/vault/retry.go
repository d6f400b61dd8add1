package vault

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
)

// do sends r until there is an answer that will not change by asking again, or
// the session's attempts or the context are over.
func (s *session) do(ctx context.Context, r request) (answer, error) {
	for attempt := 1; ; attempt++ {
		a, err := s.try(ctx, r)
		if err == nil && !mayPass(a.status) {
			return a, nil
		}
		wait := httpanswer.Pause(attempt, httpanswer.RetryAfter(a.header, time.Now()))
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
