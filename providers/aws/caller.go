package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/logincreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
)

// caller is who reads the secret.
type caller struct {
	credentials aws.Credentials
	had         bool // credentials
	arn         string
}

// identify asks STS whose the credentials are. Nothing depends on the answer, so it
// waits for one request at most, however long the context lasts.
func identify(ctx context.Context, s *session) (caller, error) {
	credentials, err := s.credentials.Retrieve(ctx)
	if err != nil {
		return caller{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	who := caller{credentials: credentials, had: true}
	out, err := s.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err == nil {
		who.arn = aws.ToString(out.Arn)
	}
	return who, err
}

var callerARN = regexp.MustCompile(`^arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:[!-~]{1,700}$`)

// lookAtCaller tells who asks AWS. Only credentials that are not there, or not
// accepted, are a failure: STS may be out of reach, or closed, where Secrets Manager
// is not.
func (p *Provider) lookAtCaller(ctx context.Context) inspect.Finding {
	who, err := with(ctx, p, identify)
	if _, lost := errors.AsType[*sourceError](err); lost || !who.had {
		return inspect.Failed("no AWS credentials", p.explain(ctx, err))
	}
	if err == nil && callerARN.MatchString(who.arn) {
		return inspect.Passed(who.arn + who.origin())
	}
	// A signature for another service or region says nothing of its credentials.
	if api, ok := errors.AsType[smithy.APIError](err); ok && rejected[api.ErrorCode()] && !says(api, "should be scoped") {
		return inspect.Failed("the AWS credentials"+who.origin()+" are not accepted", p.notAccepted(api.ErrorCode()))
	}
	return inspect.Warned("there are AWS credentials"+who.origin()+"; whose they are is not known", silence(err),
		"none is needed where the secret can be read; in a private subnet STS needs a VPC endpoint of its own; check AWS_ENDPOINT_URL_STS where it is set")
}

// silence is why STS did not say who asks.
func silence(err error) string {
	status, _ := answered(err)
	switch {
	case err == nil, unusable(err):
		return "STS gave no usable answer"
	case status > 0:
		return strings.TrimSpace(fmt.Sprintf("STS answered %d %s", status, http.StatusText(status))) + shown(err)
	case noEndpoint(err):
		return "the SDK finds no endpoint for STS in this region with these settings"
	}
	return "cannot reach STS: " + netcause.Of(err).Error()
}

// origins are where credentials come from, by the SDK's names.
var origins = map[string]string{
	config.CredentialsSourceName:     "the environment's keys",
	stscreds.ProviderName:            "an assumed role",
	stscreds.WebIdentityProviderName: "a web identity",
	ssocreds.ProviderName:            "SSO",
	processcreds.ProviderName:        "the profile's credential_process",
	logincreds.ProviderName:          "`aws login`",
	endpointcreds.ProviderName:       "the container's or pod's agent",
	ec2rolecreds.ProviderName:        "the machine's role (IMDS)",
}

// origin is where the credentials come from and how long they last, as far as the
// SDK says, in brackets.
func (c caller) origin() string {
	var facts []string
	from, _, inFile := strings.Cut(c.credentials.Source, ": ") // then a file
	if inFile && from == "SharedConfigCredentials" {
		facts = append(facts, "from keys in the shared AWS files")
	} else if words := origins[from]; words != "" {
		facts = append(facts, "from "+words)
	}
	if c.credentials.CanExpire {
		facts = append(facts, "valid for "+inspect.Span(time.Until(c.credentials.Expires)))
	}
	if len(facts) == 0 {
		return ""
	}
	return " (" + strings.Join(facts, ", ") + ")"
}
