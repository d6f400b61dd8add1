package aws

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
)

// target is the secret a Config points at, checked.
type target struct {
	name    string // name or ARN, as it is asked for
	region  string // "" for the profile's
	version string // stage or id, as configured
	byID    bool
}

// versionID is what a version's id looks like: a UUID where Secrets Manager makes
// it, 32 to 64 characters where the writer does. Anything else is a stage.
var versionID = regexp.MustCompile(`^[0-9A-Za-z-]{32,64}$`)

var (
	secretName  = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]{1,512}$`)
	regionName  = regexp.MustCompile(`^[a-z]{2,}(-[a-z0-9]+)+$`)
	stageName   = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,256}$`)
	arnSuffix   = regexp.MustCompile(`-[A-Za-z0-9]{6}$`) // of AWS's making
	accountID   = regexp.MustCompile(`^[0-9]{12}$`)
	partitionID = regexp.MustCompile(`^aws[a-z-]*$`)
	roleARN     = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]+$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalID  = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`)
)

// resolve reads c, and says everything that is wrong with it.
func (c Config) resolve() (target, error) {
	t := target{name: strings.TrimSpace(c.SecretName), region: strings.TrimSpace(c.Region), version: strings.TrimSpace(c.SecretVersion)}
	t.byID = versionID.MatchString(t.version)
	badName := t.checkName() // an ARN has a region
	var badRegion, badVersion, badEndpoint error
	if t.region != "" && !regionName.MatchString(t.region) {
		badRegion = badConfig("AWS_REGION (Config.Region) is not a region", "export AWS_REGION=eu-central-1")
	}
	if t.version != "" && !t.byID && !stageName.MatchString(t.version) {
		badVersion = badConfig("MLFLOW_AWS_SECRET_VERSION (Config.SecretVersion) is neither a stage nor a version id",
			"use AWSCURRENT, AWSPREVIOUS, another stage or a version id, or unset it")
	}
	if endpoint := strings.TrimSpace(c.Endpoint); endpoint != "" && !isEndpoint(endpoint) {
		badEndpoint = badConfig("AWS_ENDPOINT_URL (Config.Endpoint) is not an http or https URL without userinfo", "leave it empty for AWS's own")
	}
	return t, env.Problems(badName, badRegion, badVersion, c.checkRole(), badEndpoint)
}

func (t *target) checkName() error {
	const example = "export MLFLOW_AWS_SECRET_NAME=mlflow/auth, the secret's name or ARN"
	switch {
	case t.name == "":
		return badConfig("MLFLOW_AWS_SECRET_NAME (Config.SecretName) is not set", example)
	case t.isARN():
		part := strings.SplitN(t.name, ":", 7) // arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME
		if len(part) != 7 || !partitionID.MatchString(part[1]) || part[2] != "secretsmanager" || !regionName.MatchString(part[3]) ||
			!accountID.MatchString(part[4]) || part[5] != "secret" || !secretName.MatchString(part[6]) {
			return badConfig("MLFLOW_AWS_SECRET_NAME (Config.SecretName) is an ARN, but not of a secret",
				"it looks like arn:aws:secretsmanager:eu-central-1:123456789012:secret:mlflow/auth-AbCdEf")
		}
		t.region = part[3]
	case !secretName.MatchString(t.name):
		return badConfig("MLFLOW_AWS_SECRET_NAME (Config.SecretName) has characters that no secret's name has", example)
	}
	return nil
}

// checkRole checks what goes with the role too, where there is one.
func (c Config) checkRole() error {
	role, session, id := strings.TrimSpace(c.RoleARN), strings.TrimSpace(c.RoleSessionName), strings.TrimSpace(c.ExternalID)
	if role == "" {
		return nil
	}
	var badRole, badSession, badID error
	if !roleARN.MatchString(role) {
		badRole = badConfig("AWS_ROLE_ARN (Config.RoleARN) is not a role's ARN", "it looks like arn:aws:iam::123456789012:role/mlflow-reader")
	}
	if session != "" && !sessionName.MatchString(session) {
		badSession = badConfig("AWS_ROLE_SESSION_NAME (Config.RoleSessionName) is not a session's name", "use 2 to 64 letters, digits and +=,.@_-, or unset it")
	}
	if id != "" && (len(id) > 1224 || !externalID.MatchString(id)) {
		badID = badConfig("AWS_EXTERNAL_ID (Config.ExternalID) is not an external id", "copy it from the trust policy of the role, or unset it")
	}
	return env.Problems(badRole, badSession, badID)
}

// key is the secret's name in logs and caches.
func (t target) key(region string) string {
	key := fmt.Sprintf("aws-secrets-manager:%s:%s", region, t.name)
	if t.version != "" {
		key += "?version=" + t.version
	}
	return key
}

func (t target) isARN() bool { return strings.HasPrefix(t.name, "arn:") }

// in is what the secret is asked for by in another region.
func (t target) in(region string) string {
	if !t.isARN() {
		return t.name
	}
	part := strings.SplitN(t.name, ":", 5)
	part[3] = region
	return strings.Join(part, ":")
}

// bare is the name without the rest of an ARN.
func (t target) bare() string {
	if !t.isARN() {
		return t.name
	}
	return arnSuffix.ReplaceAllString(t.name[strings.LastIndexByte(t.name, ':')+1:], "")
}

// resource is what a policy must name.
func (t target) resource(region string) string {
	if t.isARN() {
		return t.name
	}
	partition := "aws"
	switch {
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	return fmt.Sprintf("arn:%s:secretsmanager:%s:ACCOUNT:secret:%s-??????", partition, region, t.name)
}
