package aws

import (
	"context"
	"errors"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
)

// load brings together what the SDK needs, and sends nothing. The SDK's own errors
// quote files.
func (c Config) load(t target) (aws.Config, error) {
	files := unpadded("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE", "AWS_WEB_IDENTITY_TOKEN_FILE")
	s := new(sender)
	sdk, err := config.LoadDefaultConfig(context.Background(), c.loadOptions(t, s)...)
	s.use(sdk.HTTPClient)
	switch {
	case files != nil:
		err = files // of which the SDK's own problem may come
	case err != nil:
		err = refusedConfig(err)
	case t.region == "":
		sdk.Region, err = regionOf(sdk)
	}
	return sdk, env.Problems(checkVariables(), err)
}

func (c Config) loadOptions(t target, s *sender) []func(*config.LoadOptions) error {
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return newRetryer(env.BoundAttempts(c.MaxAttempts)) }),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(requestTimeout)),
		config.WithDefaultsMode(aws.DefaultsModeLegacy), // "auto" asks the network
		config.WithAPIOptions([]func(*middleware.Stack) error{s.join}),
		config.WithLogger(logging.Nop{}),
		config.WithClientLogMode(0), // it can log bodies (S133)
		config.WithSSOProviderOptions(func(o *ssocreds.Options) { o.Client = wholeSSO{o.Client} }),
		config.WithAssumeRoleCredentialOptions(func(o *stscreds.AssumeRoleOptions) {
			if o.Client != nil {
				o.Client = roleAt{o.Client, c.atEndpoint}
			}
		}),
		config.WithWebIdentityRoleCredentialOptions(func(o *stscreds.WebIdentityRoleOptions) {
			if o.Client != nil {
				o.Client = webIdentityAt{o.Client, c.atEndpoint}
			}
		}),
	}
	if t.region != "" {
		options = append(options, config.WithRegion(t.region))
	}
	if profile := c.profile(); profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	return options
}

// regionOf is the profile's region.
func regionOf(sdk aws.Config) (string, error) {
	region := strings.TrimSpace(sdk.Region)
	if region == "" {
		// A blank AWS_REGION counts as unset, other than for the SDK.
		for _, source := range sdk.ConfigSources {
			if shared, ok := source.(config.SharedConfig); ok {
				region = shared.Region
			}
		}
	}
	switch {
	case region == "":
		return "", badConfig("AWS_REGION (Config.Region) is not set, and neither the secret's name nor the profile has a region", "export AWS_REGION=eu-central-1")
	case !regionName.MatchString(region):
		return "", badConfig("AWS_PROFILE (Config.Profile) has a region that is none", "run `aws configure set region eu-central-1`, or export AWS_REGION")
	}
	return region, nil
}

// refusedVariable is how the SDK names a variable whose value it refuses.
var refusedVariable = regexp.MustCompile(`environment variable, (AWS_[A-Z0-9_]{1,60})=`)

func refusedConfig(err error) error {
	const look = "check ~/.aws/config, ~/.aws/credentials and the AWS_ variables with `aws configure list`"
	_, noProfile := errors.AsType[config.SharedConfigProfileNotExistError](err)
	_, mfa := errors.AsType[config.AssumeRoleTokenProviderNotSetError](err)
	profile := os.Getenv("AWS_PROFILE")
	switch variable := refusedVariable.FindStringSubmatch(err.Error()); {
	case noProfile && profile != strings.TrimSpace(profile):
		return padded("AWS_PROFILE")
	case noProfile:
		return badConfig("AWS_PROFILE (Config.Profile) names a profile that is not in the shared AWS files", "see those there are with `aws configure list-profiles`")
	case mfa:
		return badConfig("AWS_PROFILE (Config.Profile) names one whose role asks for an MFA code, and there is nobody to ask",
			"use a profile without mfa_serial, such as one of `aws configure sso`")
	case os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" && os.Getenv("AWS_ROLE_ARN") == "":
		return badConfig("AWS_ROLE_ARN is not set, and AWS_WEB_IDENTITY_TOKEN_FILE is", "export AWS_ROLE_ARN, the role that the token is for")
	case variable != nil:
		return badConfig(variable[1]+" has a value that the AWS SDK refuses", "correct or unset it; "+look)
	}
	return badConfig("AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE, AWS_CA_BUNDLE or another of the AWS SDK's settings cannot be used", look)
}

// profile is what the SDK must be told. A profile that it is told goes before the
// keys and the web identity of the environment, while AWS_PROFILE, which it reads
// itself, comes after them; it is told the trimmed one where neither is there.
func (c Config) profile() string {
	raw := os.Getenv("AWS_PROFILE")
	set := strings.TrimSpace(raw)
	profile := strings.TrimSpace(c.Profile)
	switch {
	case profile != "" && profile != set:
		return profile
	case raw == set, os.Getenv("AWS_ACCESS_KEY_ID") != "", os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "":
		return ""
	case set == "":
		return "default"
	}
	return set
}

// checkVariables refuses values that the SDK would take as they stand, spaces
// included, and endpoints that are none. It does not quote them.
func checkVariables() error {
	names := []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
	if os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" {
		names = append(names, "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME")
	}
	problems := []error{unpadded(names...)}
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL_STS"} {
		if value := env.Get(name); value != "" && !isEndpoint(value) {
			problems = append(problems, badConfig(name+" is not an http or https URL without userinfo", "unset it for AWS's own endpoint"))
		}
	}
	return env.Problems(problems...)
}

// unpadded refuses white space around values.
func unpadded(names ...string) error {
	var problems []error
	for _, name := range names {
		if value := os.Getenv(name); value != strings.TrimSpace(value) {
			problems = append(problems, padded(name))
		}
	}
	return env.Problems(problems...)
}

func padded(name string) error {
	return badConfig(name+" has white space around its value", "export "+name+" again, without it, or unset it")
}

func isEndpoint(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil
}
