package aws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
)

// Errors are built of our own words, the configured names, the region and AWS's
// codes. AWS's messages are looked at and never quoted (S162).

func badConfig(summary, fix string) error {
	return &secretsauth.Error{Provider: name, Kind: secretsauth.ErrConfig, Summary: summary, Fix: fix}
}

func (p *Provider) failure(kind error, summary, fix string, cause error) *secretsauth.Error {
	return &secretsauth.Error{Provider: name, Key: p.Key(), Kind: kind, Summary: summary, Fix: fix, Cause: cause}
}

// AWS's codes for credentials that are not, or no longer, accepted.
var rejected = map[string]bool{
	"ExpiredToken": true, "ExpiredTokenException": true, "RequestExpired": true,
	"InvalidClientTokenId": true, "UnrecognizedClientException": true, "InvalidSignatureException": true,
	"SignatureDoesNotMatch": true, "IncompleteSignature": true, "MissingAuthenticationToken": true,
	"MissingAuthenticationTokenException": true, "InvalidAccessKeyId": true, "AuthFailure": true, "NotAuthorized": true,
}

var throttled = map[string]bool{
	"ThrottlingException": true, "Throttling": true, "ThrottledException": true, "TooManyRequestsException": true,
	"RequestLimitExceeded": true, "LimitExceededException": true, "RequestThrottled": true, "SlowDown": true,
}

// stale reports whether fetching the credentials anew may help.
func stale(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && rejected[api.ErrorCode()] && !failedIn(err, "STS")
}

// failedIn reports whether the call that failed was one of a service's, such as
// the AssumeRole on the way to a GetSecretValue.
func failedIn(err error, service string) bool {
	for err != nil {
		if op, ok := err.(*smithy.OperationError); ok && op.ServiceID == service { //nolint:errorlint // every link of the chain is looked at
			return true
		}
		err = errors.Unwrap(err)
	}
	return false
}

// explain turns what the SDK says into an error that says what to do.
func (p *Provider) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return p.failure(secretsauth.ErrUnavailable, "no answer from AWS in region "+p.region+" in time",
			"check the network and the region; a VPC endpoint for secretsmanager may be missing", ctx.Err())
	}
	status, wait := answered(err)
	api, ok := errors.AsType[smithy.APIError](err)
	var e *secretsauth.Error
	switch {
	case ok && failedIn(err, "STS"):
		e = p.roleDenied(api)
	case ok:
		e = p.refused(api)
	}
	switch {
	case e != nil:
	case status == http.StatusTooManyRequests, ok && throttled[api.ErrorCode()]:
		e = p.failure(secretsauth.ErrUnavailable, "AWS limits the rate of requests"+code(api), "raise MLFLOW_AWS_TTL_SEC, or ask AWS for a higher quota", nil)
	case status >= 300 && status < 400:
		e = p.failure(secretsauth.ErrUnavailable, fmt.Sprintf("AWS's address answered with a redirect (%d), which is not followed", status),
			"check AWS_ENDPOINT_URL and proxies", nil)
	case status >= 400 && status < 500:
		e = p.failure(secretsauth.ErrConfig, fmt.Sprintf("Secrets Manager refuses the request (%d)%s", status, code(api)),
			"check MLFLOW_AWS_SECRET_NAME, MLFLOW_AWS_SECRET_VERSION and AWS_ENDPOINT_URL", nil)
	case status >= 500 || ok:
		e = p.failure(secretsauth.ErrUnavailable, fmt.Sprintf("Secrets Manager in region %s is not well (%d)%s", p.region, status, code(api)),
			"see https://health.aws.amazon.com", nil)
	default:
		e = p.unreachable(err)
	}
	e.Wait = wait
	return e
}

// refused is what Secrets Manager says no to, by its codes; nil if the reason may
// pass.
func (p *Provider) refused(api smithy.APIError) *secretsauth.Error {
	says := func(text string) bool {
		return strings.Contains(strings.ToLower(api.ErrorMessage()), strings.ToLower(text))
	}
	switch c := api.ErrorCode(); {
	case c == "ResourceNotFoundException" && p.target.version != "" && (says("staging label") || says("VersionId") || says("version")):
		return p.failure(secretsauth.ErrNotFound, fmt.Sprintf("secret not found at path: %s (version %s)", p.target.name, p.target.version),
			fmt.Sprintf("see which there are: aws secretsmanager list-secret-version-ids --region %s --secret-id %s, or unset MLFLOW_AWS_SECRET_VERSION", p.region, p.target.name), nil)
	case c == "ResourceNotFoundException":
		return p.failure(secretsauth.ErrNotFound, "secret not found at path: "+p.target.name,
			fmt.Sprintf("it is not in region %s: look with `aws secretsmanager list-secrets --region %s`, correct MLFLOW_AWS_SECRET_NAME or AWS_REGION", p.region, p.region), nil)
	case c == "InvalidRequestException" && (says("marked for deletion") || says("scheduled for deletion") || says("deleted")):
		return p.failure(secretsauth.ErrNotFound, fmt.Sprintf("secret %s is scheduled for deletion", p.target.name),
			fmt.Sprintf("aws secretsmanager restore-secret --region %s --secret-id %s", p.region, p.target.name), nil)
	case c == "DecryptionFailure", c == "AccessDeniedException" && says("KMS"):
		return p.failure(secretsauth.ErrDenied, "the secret's KMS key may not be used: "+c,
			"grant kms:Decrypt on the key that encrypts "+p.target.name+", in the caller's policy and in the key's, and see that the key is enabled", nil)
	case c == "AccessDeniedException", c == "AccessDenied":
		return p.failure(secretsauth.ErrDenied, "AWS authentication failed: "+c,
			"grant secretsmanager:GetSecretValue on "+p.resource()+"; who is asking: `aws sts get-caller-identity`", nil)
	case strings.HasPrefix(c, "ExpiredToken"), c == "RequestExpired":
		return p.failure(secretsauth.ErrDenied, "AWS authentication failed: the credentials have expired ("+c+")",
			"renew them: `aws sso login`, or export new AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN", nil)
	case rejected[c] && says("valid region"):
		return p.failure(secretsauth.ErrConfig, "the request was signed for another region than the endpoint's", "let AWS_REGION and AWS_ENDPOINT_URL agree", nil)
	case rejected[c]:
		return p.failure(secretsauth.ErrDenied, "AWS authentication failed: the credentials are not accepted ("+c+")",
			"check them with `aws sts get-caller-identity`, and the machine's clock", nil)
	}
	return nil
}

// roleDenied is a failure of AssumeRole; nil if the reason may pass.
func (p *Provider) roleDenied(api smithy.APIError) *secretsauth.Error {
	switch c := api.ErrorCode(); {
	case throttled[c]:
		return nil
	case strings.HasPrefix(c, "ExpiredToken"):
		return p.failure(secretsauth.ErrDenied, "AWS authentication failed: the credentials to assume a role with have expired ("+c+")",
			"renew them: `aws sso login`, or export new ones", nil)
	case c == "AccessDenied", c == "AccessDeniedException", rejected[c], c == "InvalidIdentityToken", c == "ValidationError":
		role := p.role
		if role == "" {
			role = "the role of AWS_ROLE_ARN or the profile"
		}
		return p.failure(secretsauth.ErrDenied, "AWS authentication failed: "+role+" cannot be assumed ("+c+")",
			"grant sts:AssumeRole on it to the caller, and let its trust policy name the caller (and AWS_EXTERNAL_ID): `aws sts get-caller-identity`", nil)
	}
	return nil
}

// resource is what a policy must name.
func (p *Provider) resource() string {
	if strings.HasPrefix(p.target.name, "arn:") {
		return p.target.name
	}
	return fmt.Sprintf("arn:aws:secretsmanager:%s:ACCOUNT:secret:%s-*", p.region, p.target.name)
}

// unreachable is a request without an answer, or one that could not be signed.
func (p *Provider) unreachable(err error) *secretsauth.Error {
	_, dns := errors.AsType[*net.DNSError](err)
	switch {
	case strings.Contains(err.Error(), "get credentials") || strings.Contains(err.Error(), "get identity"):
		return p.failure(secretsauth.ErrUnavailable, "no source of AWS credentials has given any",
			"export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, set AWS_PROFILE, run `aws sso login`, or give the machine or pod a role", netcause.Of(err))
	case dns:
		return p.failure(secretsauth.ErrUnavailable, "the address of Secrets Manager in region "+p.region+" does not resolve",
			"check AWS_REGION and DNS: `nslookup secretsmanager."+p.region+".amazonaws.com`", netcause.Of(err))
	}
	return p.failure(secretsauth.ErrUnavailable, "cannot reach Secrets Manager in region "+p.region,
		"check the network, AWS_ENDPOINT_URL and AWS_REGION; in a private subnet a VPC endpoint for secretsmanager is needed", netcause.Of(err))
}

// answered is the status of AWS's answer and how long it asks to wait.
func answered(err error) (status int, wait time.Duration) {
	resp, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || resp.ResponseError == nil || resp.Response == nil {
		return 0, 0
	}
	seconds, _ := strconv.ParseUint(resp.Response.Header.Get("Retry-After"), 10, 31)
	return resp.HTTPStatusCode(), time.Duration(seconds) * time.Second
}

func code(api smithy.APIError) string {
	if api == nil || api.ErrorCode() == "" {
		return ""
	}
	return fmt.Sprintf(": %.60q", api.ErrorCode())
}
