package aws

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/service/sso"
	"github.com/aws/smithy-go"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
)

// source marks failures to come by credentials, so that they are neither retried
// by the request that needs them nor taken for failures of Secrets Manager.
type source struct{ aws.CredentialsProvider }

func (s source) Retrieve(ctx context.Context) (aws.Credentials, error) {
	credentials, err := s.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &sourceError{err}
	}
	return credentials, nil
}

type sourceError struct{ err error }

func (e *sourceError) Error() string { return "no AWS credentials: " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// wholeSSO turns an answer of SSO without credentials into an error. The SDK panics over
// one, in a goroutine of its own, which ends the program.
type wholeSSO struct {
	ssocreds.GetRoleCredentialsAPIClient
}

func (w wholeSSO) GetRoleCredentials(ctx context.Context, in *sso.GetRoleCredentialsInput, more ...func(*sso.Options)) (*sso.GetRoleCredentialsOutput, error) {
	out, err := w.GetRoleCredentialsAPIClient.GetRoleCredentials(ctx, in, more...)
	if err == nil && (out == nil || out.RoleCredentials == nil) {
		return nil, errEmptyAnswer
	}
	return out, err
}

var errEmptyAnswer = errors.New("the answer holds no credentials")

// failedCall is the innermost of the calls that failed: the AssumeRole on the way
// to a GetSecretValue.
func failedCall(err error) (service, operation string) {
	for {
		op, ok := errors.AsType[*smithy.OperationError](err)
		if !ok {
			return service, operation
		}
		service, operation, err = op.ServiceID, op.OperationName, op.Err
	}
}

const (
	authFailed = "AWS authentication failed: "
	noSource   = "no source of AWS credentials has given any"
	sourceFix  = "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, set AWS_PROFILE, run `aws sso login`, or give the machine or pod a role"
	renewFix   = "renew them: `aws sso login`, or export new AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
)

// noCredentials explains why none could be had.
func (p *Provider) noCredentials(err error) *secretsauth.Error {
	service, operation := failedCall(err)
	status, _ := answered(err)
	_, token := errors.AsType[*ssocreds.InvalidTokenError](err)
	_, file := errors.AsType[*fs.PathError](err)
	file = file || strings.Contains(err.Error(), "failed to retrieve jwt") // the SDK does not wrap it
	_, network := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, errEmptyAnswer):
		return p.failure(secretsauth.ErrUnavailable, sourceOf("SSO")+" answers without any", "check what stands in front of it, and AWS_ENDPOINT_URL_SSO", nil)
	case service == "ec2imds" && (network || mayPass(err)):
		// The end of the chain. It is asked on machines that have no such service
		// too; on those that have one, it may be back soon.
		return p.failure(secretsauth.ErrUnavailable, noSource+", and this machine's (IMDS) does not answer", sourceFix, netcause.Of(err))
	case service == "ec2imds": // switched off, or without a role
	case mayPass(err):
		what := "is not well"
		if throttled(err) {
			what = "limits the rate of requests"
		}
		return p.failure(secretsauth.ErrUnavailable, fmt.Sprintf("%s %s (%d)%s", sourceOf(service), what, status, shown(err)),
			"see https://health.aws.amazon.com", nil)
	case token, strings.HasPrefix(service, "SSO") && codeOf(err) != "ForbiddenException" && status >= 400:
		return p.failure(secretsauth.ErrDenied, authFailed+"the SSO session has expired"+shown(err), "run `aws sso login` with the profile", nil)
	case service == "STS" && status >= 400:
		return p.roleDenied(operation, err)
	case status >= 400:
		return p.failure(secretsauth.ErrDenied, fmt.Sprintf("%s%s refuses (%d %s)%s", authFailed, sourceOf(service), status, http.StatusText(status), shown(err)),
			"check the role of the profile, pod or container: `aws configure list`", nil)
	case file:
		return p.failure(secretsauth.ErrConfig, "a file with AWS credentials cannot be read",
			"check AWS_WEB_IDENTITY_TOKEN_FILE and the files of the profile, run `aws sso login` where it is of SSO", nil)
	case network:
		return p.failure(secretsauth.ErrUnavailable, "cannot reach "+strings.TrimSuffix(sourceOf(service), ","),
			"check the network, AWS_REGION and AWS_ENDPOINT_URL; in a private subnet STS needs a VPC endpoint too", netcause.Of(err))
	}
	return p.failure(secretsauth.ErrConfig, noSource, sourceFix, nil)
}

// sourceOf is a service of AWS's by its name, others by what they are.
func sourceOf(service string) string {
	switch service {
	case "STS", "SSO", "SSO OIDC":
		return service + ", which gives the AWS credentials,"
	}
	return "the source of the AWS credentials"
}

// roleDenied is a no of STS.
func (p *Provider) roleDenied(operation string, err error) *secretsauth.Error {
	role, permission, trusted := p.role, "sts:AssumeRole", "the caller (and AWS_EXTERNAL_ID)"
	if role == "" {
		role = "the role of AWS_ROLE_ARN or the profile"
	}
	web := operation == "AssumeRoleWithWebIdentity"
	if web {
		permission, trusted = "sts:AssumeRoleWithWebIdentity", "the token's issuer, audience and subject"
	}
	switch c := codeOf(err); {
	case strings.HasPrefix(c, "ExpiredToken") && web:
		return p.failure(secretsauth.ErrDenied, authFailed+"the web-identity token has expired ("+c+")", "see that the file of AWS_WEB_IDENTITY_TOKEN_FILE is kept fresh", nil)
	case strings.HasPrefix(c, "ExpiredToken"):
		return p.failure(secretsauth.ErrDenied, authFailed+"the credentials to assume a role with have expired ("+c+")", renewFix, nil)
	case rejected[c]:
		return p.failure(secretsauth.ErrDenied, authFailed+"the credentials to assume a role with are not accepted ("+c+")",
			"check them with `aws sts get-caller-identity`, and the machine's clock", nil)
	case c == "RegionDisabledException":
		return p.failure(secretsauth.ErrConfig, "STS is not enabled in region "+p.region+" ("+c+")", "enable it in the account's settings, or use another AWS_REGION", nil)
	}
	return p.failure(secretsauth.ErrDenied, authFailed+role+" cannot be assumed"+shown(err),
		"grant "+permission+" on it, and let its trust policy name "+trusted+"; who is asking: `aws sts get-caller-identity`", nil)
}
