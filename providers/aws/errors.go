package aws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
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
	"ExpiredToken": true, "ExpiredTokenException": true, "RequestExpired": true, "RequestTimeTooSkewed": true,
	"InvalidClientTokenId": true, "UnrecognizedClientException": true, "InvalidSignatureException": true,
	"SignatureDoesNotMatch": true, "IncompleteSignature": true, "IncompleteSignatureException": true,
	"MissingAuthenticationToken": true, "MissingAuthenticationTokenException": true,
	"InvalidAccessKeyId": true, "AuthFailure": true, "NotAuthorized": true,
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// words are what AWS's codes are made of. Whatever else a server puts in their
// place is not shown.
var words = regexp.MustCompile(`^([A-Z]{1,4}[a-z]+){1,10}$`)

// shown is " (CODE)", if there is one.
func shown(err error) string {
	if c := codeOf(err); words.MatchString(c) && len(c) <= 60 {
		return " (" + c + ")"
	}
	return ""
}

// explain turns what the SDK says into an error that says what to do.
func (p *Provider) explain(ctx context.Context, err error) *secretsauth.Error {
	if own, ok := env.Each(err)[0].(*secretsauth.Error); ok { //nolint:errorlint // what connect says, not a caller's client
		return p.failure(own.Kind, own.Summary, own.Fix, own.Cause)
	}
	_, credentials := errors.AsType[*sourceError](err)
	var e *secretsauth.Error
	switch {
	case ctx.Err() != nil && credentials:
		e = p.failure(secretsauth.ErrUnavailable, "no AWS credentials in time",
			"see where they come from with `aws configure list`; on a machine without a role, export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or set AWS_PROFILE", ctx.Err())
	case ctx.Err() != nil:
		e = p.failure(secretsauth.ErrUnavailable, "no answer from AWS in region "+p.region+" in time",
			"check the network and the region; a VPC endpoint for secretsmanager may be missing", ctx.Err())
	case credentials:
		e = p.noCredentials(err)
	default:
		e = p.failed(err)
	}
	_, e.Wait = answered(err)
	return e
}

// failed is a request to Secrets Manager that failed.
func (p *Provider) failed(err error) *secretsauth.Error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if e := p.refused(api); e != nil {
			return e
		}
	}
	status, _ := answered(err)
	switch {
	case throttled(err):
		return p.failure(secretsauth.ErrUnavailable, "AWS limits the rate of requests"+shown(err), "raise MLFLOW_AWS_TTL_SEC, or ask AWS for a higher quota", nil)
	case mayPass(err), status >= 500:
		return p.failure(secretsauth.ErrUnavailable, fmt.Sprintf("Secrets Manager in region %s is not well (%d)%s", p.region, status, shown(err)),
			"see https://health.aws.amazon.com", nil)
	case status >= 300 && status < 400:
		return p.failure(secretsauth.ErrUnavailable, fmt.Sprintf("AWS's address answered with a redirect (%d), which is not followed", status),
			"check AWS_ENDPOINT_URL and proxies", nil)
	case status >= 400:
		return p.failure(secretsauth.ErrConfig, fmt.Sprintf("Secrets Manager refuses the request (%d)%s", status, shown(err)),
			"check MLFLOW_AWS_SECRET_NAME, MLFLOW_AWS_SECRET_VERSION, AWS_ENDPOINT_URL and proxies", nil)
	case unusable(err):
		return p.noAnswer()
	}
	return p.unreachable(err)
}

// noAnswer is a success without what Secrets Manager says in one.
func (p *Provider) noAnswer() *secretsauth.Error {
	return p.failure(secretsauth.ErrUnavailable, "Secrets Manager in region "+p.region+" gave no usable answer", "check AWS_ENDPOINT_URL and proxies", nil)
}

// refused is what Secrets Manager says no to, by its codes; nil if it is not known,
// or if the reason may pass.
func (p *Provider) refused(api smithy.APIError) *secretsauth.Error {
	switch c := api.ErrorCode(); {
	case c == missing:
		return p.notFound(saysVersion(api))
	case c == "InvalidRequestException" && says(api, "deletion", "deleted"):
		return p.failure(secretsauth.ErrNotFound, fmt.Sprintf("secret %s is scheduled for deletion", p.target.name),
			p.cli("restore-secret"), nil)
	case isKMS(api):
		return p.failure(secretsauth.ErrDenied, "the secret's KMS key may not be used ("+c+")",
			"grant kms:Decrypt on the key that encrypts "+p.target.name+", in the caller's policy and in the key's, and see that the key is enabled", nil)
	case isDenied(c):
		return p.failure(secretsauth.ErrDenied, authFailed+c,
			"grant secretsmanager:GetSecretValue on "+p.target.resource(p.region)+", in the caller's policy, the secret's or the VPC endpoint's; who is asking: `aws sts get-caller-identity`", nil)
	case rejected[c] && says(api, "valid region"):
		return p.failure(secretsauth.ErrConfig, "the request was signed for another region than the endpoint's", "let AWS_REGION and AWS_ENDPOINT_URL agree", nil)
	case rejected[c]:
		return p.notAccepted(c)
	}
	return nil
}

// notAccepted is for AWS's codes in rejected.
func (p *Provider) notAccepted(code string) *secretsauth.Error {
	if strings.HasPrefix(code, "ExpiredToken") || code == "RequestExpired" {
		return p.failure(secretsauth.ErrDenied, authFailed+"the credentials have expired ("+code+")", renewFix, nil)
	}
	return p.failure(secretsauth.ErrDenied, authFailed+"the credentials are not accepted ("+code+")",
		"check them with `aws sts get-caller-identity`, the machine's clock, and that the account has region "+p.region+" enabled", nil)
}

// missing is AWS's code for a secret, or a version of one, that is not there.
const missing = "ResourceNotFoundException"

func isDenied(code string) bool { return code == "AccessDeniedException" || code == "AccessDenied" }

func isKMS(api smithy.APIError) bool {
	c := api.ErrorCode()
	return c == "DecryptionFailure" || isDenied(c) && says(api, "access to kms", "kms:decrypt")
}

// saysVersion reports whether it is a version that is missing.
func saysVersion(api smithy.APIError) bool {
	return says(api, "secret value for", "versionid", "staging label")
}

// says reports whether AWS's message has one of texts, which are lower case, in it.
func says(api smithy.APIError, texts ...string) bool {
	message := strings.ToLower(api.ErrorMessage())
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(message, text) })
}

// notFound tells a secret that is not there from a version that is not.
func (p *Provider) notFound(version bool) *secretsauth.Error {
	summary := "secret not found at path: " + p.target.name
	switch {
	case version && p.target.version != "":
		return p.failure(secretsauth.ErrNotFound, fmt.Sprintf("%s (version %s)", summary, p.target.version),
			"see which there are: "+p.cli("list-secret-version-ids")+", or unset MLFLOW_AWS_SECRET_VERSION", nil)
	case version:
		return p.failure(secretsauth.ErrNotFound, summary+" (it is there, and has no value yet)", p.putFix("store one"), nil)
	}
	look := fmt.Sprintf("it is not in region %s: look with `aws secretsmanager list-secrets --region %s`, ", p.region, p.region)
	if p.target.isARN() {
		look += "correct MLFLOW_AWS_SECRET_NAME, whose ARN decides the region"
	} else {
		look += "correct MLFLOW_AWS_SECRET_NAME or AWS_REGION"
	}
	if p.target.version != "" {
		look += "; if it is there, it has no version " + p.target.version
	}
	return p.failure(secretsauth.ErrNotFound, summary, look, nil)
}

// unreachable is a request without an answer.
func (p *Provider) unreachable(err error) *secretsauth.Error {
	_, dns := errors.AsType[*net.DNSError](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return p.failure(secretsauth.ErrConfig, "AWS_ENDPOINT_URL begins with https://, but the server speaks plain http", "export it with http://", nil)
	case certificate:
		return p.failure(secretsauth.ErrUnavailable, "the certificate of Secrets Manager's address is not trusted",
			"set AWS_CA_BUNDLE to the certificate of its authority, or the proxy's", netcause.Of(err))
	case dns:
		return p.failure(secretsauth.ErrUnavailable, "the address of Secrets Manager in region "+p.region+" does not resolve",
			"check AWS_REGION and DNS: `nslookup secretsmanager."+p.region+".amazonaws.com`", netcause.Of(err))
	case noEndpoint(err):
		return p.failure(secretsauth.ErrConfig, "the SDK finds no endpoint for Secrets Manager in region "+p.region+" with these settings",
			"check AWS_REGION; AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT do not go with AWS_ENDPOINT_URL", nil)
	}
	return p.failure(secretsauth.ErrUnavailable, "cannot reach Secrets Manager in region "+p.region,
		"check the network, AWS_ENDPOINT_URL and AWS_REGION; in a private subnet a VPC endpoint for secretsmanager is needed", netcause.Of(err))
}

// noEndpoint reports whether the SDK knows of none. It has no type for it.
func noEndpoint(err error) bool { return strings.Contains(err.Error(), "endpoint rule error") }

// cli is a command of AWS's for the secret.
func (p *Provider) cli(command string) string {
	return fmt.Sprintf("aws secretsmanager %s --region %s --secret-id %s", command, p.region, p.target.name)
}

func (p *Provider) putFix(what string) string {
	return what + ": " + p.cli("put-secret-value") + ` --secret-string '{"token":"…"}'`
}
