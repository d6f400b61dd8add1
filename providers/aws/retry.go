package aws

import (
	"crypto/tls"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
)

// newRetryer tries a request attempts times in all. The SDK's own quota is off:
// after some failed reads it would silently end the retries, and the cache paces
// reads anyway.
func newRetryer(attempts int) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.Backoff = retry.BackoffDelayerFunc(backoff)
		o.RateLimiter = ratelimit.None
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(worthRetrying)}, o.Retryables...)
	})
}

func backoff(attempt int, err error) (time.Duration, error) {
	_, asked := answered(err)
	return httpanswer.Pause(attempt, asked), nil
}

// worthRetrying comes before the SDK's own rules, which decide where it does not.
func worthRetrying(err error) aws.Ternary {
	if _, ok := errors.AsType[*sourceError](err); ok {
		return aws.FalseTernary // tried often enough where it happened
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return aws.FalseTernary
	}
	if mayPass(err) || unusable(err) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// passing are AWS's codes for its own failures, whatever status they come with.
var passing = map[string]bool{
	"InternalServiceError": true, "InternalServiceErrorException": true, "InternalFailure": true,
	"InternalServerError": true, "InternalServerException": true, "InternalError": true,
	"ServiceUnavailable": true, "ServiceUnavailableException": true,
	"RequestTimeout": true, "RequestTimeoutException": true, "IDPCommunicationError": true,
}

// mayPass reports whether AWS says, by code or status, that asking again may help.
func mayPass(err error) bool {
	status, _ := answered(err)
	return throttled(err) || passing[codeOf(err)] || status >= 500 && status != http.StatusNotImplemented
}

func throttled(err error) bool {
	status, _ := answered(err)
	_, ok := retry.DefaultThrottleErrorCodes[codeOf(err)]
	return ok || status == http.StatusTooManyRequests
}

// unusable reports whether err is about a success that could not be read: one cut
// short, or the page of something in front of AWS.
func unusable(err error) bool {
	status, _ := answered(err)
	return err != nil && status == http.StatusOK
}

// answered is the status of AWS's answer, or 0, and how long it asks to wait.
func answered(err error) (status int, wait time.Duration) {
	if resp, ok := errors.AsType[*awshttp.ResponseError](err); ok && resp.ResponseError != nil && resp.Response != nil && resp.Response.Response != nil {
		return resp.HTTPStatusCode(), httpanswer.RetryAfter(resp.Response.Header, time.Now())
	}
	// A container's or pod's agent.
	if resp, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		return resp.HTTPStatusCode(), 0
	}
	return 0, 0
}
