package aws_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
)

// look makes one step of an inspection of its own.
func look(t *testing.T, p netted, id string, regions ...string) inspect.Finding {
	t.Helper()
	for _, step := range p.Inspect(inspect.Options{Regions: regions}).Steps {
		if step.ID == id {
			f := step.Look(t.Context())
			canary.KeepValue("a finding", f)
			return f
		}
	}
	t.Fatalf("there is no step %s", id)
	return inspect.Finding{}
}

// wantFinding looks for texts in the summary, the cause and the fix, and for secrets.
func wantFinding(t *testing.T, f inspect.Finding, status inspect.Status, summary, cause, fix string, secrets ...string) {
	t.Helper()
	if f.Status != status {
		t.Errorf("status %s, want %s", f.Status, status)
	}
	for _, part := range []struct{ name, got, want string }{{"summary", f.Summary, summary}, {"cause", f.Cause, cause}, {"fix", f.Fix, fix}} {
		if !strings.Contains(part.got, part.want) || part.want == "" && part.name != "summary" && part.got != "" {
			t.Errorf("%s %q, want %q", part.name, part.got, part.want)
		}
	}
	text := f.Summary + f.Cause + f.Fix
	if strings.ContainsAny(text, "\n\r\x1b") {
		t.Errorf("more than a line: %q", text)
	}
	for _, id := range []string{"AKIDEXAMPLE", "ASIAROLE", "OFDEFAULT"} {
		if strings.Contains(text, id) {
			t.Error("the id of a key is shown")
		}
	}
	canary.AbsentFrom(t, "the finding", f, append(secrets, keyOfTheTests, keyOfRoles, sessions)...)
}

func TestInspectTheCaller(t *testing.T) {
	t.Parallel()
	role := func(c *aws.Config) { c.RoleARN = "arn:aws:iam::123456789012:role/reader" }
	const unknown = "whose they are is not known"
	for _, test := range []struct {
		name                string
		change              func(*aws.Config)
		setup               func(*standin)
		status              inspect.Status
		summary, cause, fix string
	}{
		{name: "a user", status: inspect.Pass, summary: "arn:aws:iam::123456789012:user/trainer (from the environment's keys)"},
		{name: "a role", change: role, setup: func(s *standin) { s.caller = "arn:aws:sts::123456789012:assumed-role/reader/mlflow-secrets-auth" },
			status: inspect.Pass, summary: "assumed-role/reader/mlflow-secrets-auth (from an assumed role, valid for 2"},
		{name: "once not accepted, then a new role", change: role, setup: func(s *standin) {
			s.identity = &failure{status: 403, code: "ExpiredToken", times: 1}
		}, status: inspect.Pass, summary: "user/trainer"},
		{name: "unknown key", setup: func(s *standin) { s.identity = &failure{status: 403, code: "InvalidClientTokenId"} },
			status: inspect.Fail, summary: "(from the environment's keys) are not accepted", cause: "not accepted (InvalidClientTokenId)", fix: "the machine's clock"},
		{name: "expired session", setup: func(s *standin) { s.identity = &failure{status: 403, code: "ExpiredToken"} },
			status: inspect.Fail, summary: "are not accepted", cause: "the credentials have expired (ExpiredToken)", fix: "aws sso login"},
		{name: "role not assumable", change: role, setup: func(s *standin) { s.sts = &failure{status: 403, code: "AccessDenied"} },
			status: inspect.Fail, summary: "no AWS credentials", cause: "role/reader cannot be assumed (AccessDenied)", fix: "grant sts:AssumeRole on it"},
		{name: "STS not well, for a role", change: role, setup: func(s *standin) { s.sts = &failure{status: 500, code: "InternalFailure"} },
			status: inspect.Fail, summary: "no AWS credentials", cause: "STS, which gives the AWS credentials, is not well", fix: "health.aws"},
		{name: "STS not well", setup: func(s *standin) { s.identity = &failure{status: 500, code: "InternalFailure"} },
			status: inspect.Warn, summary: unknown, cause: "STS answered 500 Internal Server Error (InternalFailure)", fix: "VPC endpoint"},
		{name: "denied by an endpoint's policy", setup: func(s *standin) { s.identity = &failure{status: 403, code: "AccessDenied"} },
			status: inspect.Warn, summary: unknown, cause: "STS answered 403 Forbidden (AccessDenied)", fix: "VPC endpoint"},
		{name: "not implemented", setup: func(s *standin) { s.identity = &failure{status: 501, code: "nope!"} },
			status: inspect.Warn, summary: unknown, cause: "STS answered 501 Not Implemented", fix: "AWS_ENDPOINT_URL_STS"},
		{name: "the endpoint of another service", setup: func(s *standin) {
			s.identity = &failure{status: 403, code: "SignatureDoesNotMatch", text: "Credential should be scoped to correct service: 'secretsmanager'. "}
		}, status: inspect.Warn, summary: unknown, cause: "STS answered 403 Forbidden (SignatureDoesNotMatch)", fix: "AWS_ENDPOINT_URL_STS"},
		{name: "an ARN that is none", setup: func(s *standin) { s.caller = "arn:aws:iam::123456789012:user/\x1b[31m" },
			status: inspect.Warn, summary: unknown, cause: "STS gave no usable answer", fix: "VPC endpoint"},
		{name: "a page", setup: func(s *standin) { s.caller = "<html>login</html>" },
			status: inspect.Warn, summary: unknown, cause: "STS gave no usable answer", fix: "VPC endpoint"},
		{name: "out of reach", change: func(c *aws.Config) {
			c.HTTPClient = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })}
		}, status: inspect.Warn, summary: unknown, cause: "cannot reach STS: unexpected EOF", fix: "VPC endpoint"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			hidden := canary.New()
			s, endpoint := newStandin(t)
			s.putText(hidden)
			s.set(func(s *standin) {
				if test.setup != nil {
					test.setup(s)
				}
				for _, f := range []*failure{s.identity, s.sts} {
					if f != nil {
						f.text += hidden
					}
				}
			})
			change := test.change
			if change == nil {
				change = func(*aws.Config) {}
			}
			p := provider(t, endpoint, func(c *aws.Config) { c.MaxAttempts = 1 }, change)
			wantFinding(t, look(t, p, "store.auth"), test.status, test.summary, test.cause, test.fix, hidden)
		})
	}
}

// Nothing depends on GetCallerIdentity, and it may wait for packets that are dropped.
func TestInspectWithSTSSilent(t *testing.T) {
	t.Parallel()
	s, endpoint := newStandin(t)
	s.set(func(s *standin) { s.hangs = 9 })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	f := provider(t, endpoint).Inspect(inspect.Options{}).Steps[0].Look(ctx)
	wantFinding(t, f, inspect.Warn, "whose they are is not known", "cannot reach STS: timeout", "VPC endpoint")
}

func TestInspectWhereCredentialsComeFrom(t *testing.T) {
	hidden := canary.New()
	token := write(t, filepath.Join(t.TempDir(), "token"), hidden)
	for _, test := range []struct {
		name                string
		env                 map[string]string
		config              string
		status              inspect.Status
		summary, cause, fix string
	}{
		{"nowhere", nil, "", inspect.Fail, "no AWS credentials", "no source of AWS credentials has given any", "export AWS_ACCESS_KEY_ID"},
		{"a profile", nil, "aws_access_key_id = OFDEFAULT\naws_secret_access_key = " + hidden, inspect.Pass, "user/trainer (from keys in the shared AWS files)", "", ""},
		{"a process", nil, `credential_process = echo '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"` + hidden + `"}'`, inspect.Pass, "(from the profile's credential_process)", "", ""},
		{"SSO without a session", nil, "sso_start_url = https://a.awsapps.com/start\nsso_region = eu-central-1\nsso_account_id = 123456789012\nsso_role_name = r",
			inspect.Fail, "no AWS credentials", "the SSO session has expired", "aws sso login"},
		{"web identity", map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/pod", "AWS_WEB_IDENTITY_TOKEN_FILE": token}, "",
			inspect.Pass, "(from a web identity, valid for 2", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, endpoint := newStandin(t)
			withoutKeys(t)
			home := t.TempDir()
			t.Setenv("HOME", home)
			t.Setenv("AWS_CONFIG_FILE", write(t, filepath.Join(home, "config"), "[default]\n"+test.config+"\n"))
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			wantFinding(t, look(t, provider(t, endpoint), "store.auth"), test.status, test.summary, test.cause, test.fix, hidden, home)
		})
	}
}

const otherID = "EXAMPLE2-90ab-cdef-fedc-ba987EXAMPLE"

func TestInspectTheSecret(t *testing.T) {
	t.Parallel()
	version := func(v string) func(*aws.Config) { return func(c *aws.Config) { c.SecretVersion = v } }
	named := func(name string) func(*aws.Config) { return func(c *aws.Config) { c.SecretName = name } }
	missing := func(text string) *failure {
		return &failure{status: 400, code: "ResourceNotFoundException", text: text}
	}
	denied := &failure{status: 400, code: "AccessDeniedException", text: deniedText}
	versions := []map[string]any{
		{"VersionId": "EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE"},
		{"VersionId": "EXAMPLE3-90ab-cdef-fedc-ba987EXAMPLE", "VersionStages": []string{"AWSPREVIOUS"}},
		{"VersionId": otherID, "VersionStages": []string{"AWSCURRENT", "\x1b[31mred"}},
		{"VersionId": "not\nan id", "VersionStages": []string{"AWSPENDING"}},
	}
	const arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:mlflow/auth-AbCdEf"
	const there = "there is AWSCURRENT (id " + otherID + "), AWSPREVIOUS (id EXAMPLE3-90ab-cdef-fedc-ba987EXAMPLE), id EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE"
	everywhere := map[string]string{"us-east-1": "deleted", "ap-south-1": "denied", "eu-north-1": "broken"}
	for _, test := range []struct {
		name       string
		change     func(*aws.Config)
		fail       *failure
		looks      looks
		regions    []string
		cause, fix string
	}{
		{name: "nothing may be looked at", fail: missing(notFoundText), cause: "secret not found at path: mlflow/auth", fix: "it is not in region eu-central-1: look with"},
		{name: "a slip", change: named("mlflow/auht"), fail: missing(notFoundText), looks: looks{may: true, names: []string{"other", "mlflow/auth", "mlflow/a b", "mlflow/\x1b"}},
			cause: `path: mlflow/auht; in region eu-central-1 there is "mlflow/auth"`, fix: "export MLFLOW_AWS_SECRET_NAME=mlflow/auth"},
		{name: "a slip in the folder", change: named("mlfow/auth"), fail: missing(notFoundText), looks: looks{may: true, names: []string{"mlflow/auth"}},
			cause: `there is "mlflow/auth"`, fix: "export MLFLOW_AWS_SECRET_NAME=mlflow/auth"},
		{name: "nothing like it", fail: missing(notFoundText), looks: looks{may: true, names: []string{"x"}}, cause: "secret not found at path: mlflow/auth", fix: "look with"},
		{name: "an ARN of a secret that was made anew", change: named(arn[:len(arn)-6] + "ZzZzZz"), fail: missing(notFoundText), looks: looks{may: true, names: []string{"mlflow/auth"}},
			cause: `the caller's account has "mlflow/auth" in region eu-central-1, with another ARN`, fix: "export MLFLOW_AWS_SECRET_NAME=mlflow/auth"},
		{name: "another region", fail: missing(notFoundText), looks: looks{may: true, names: []string{"mlflow/auto"}, regions: map[string]string{"eu-west-1": "there"}},
			regions: []string{"eu-central-1", "us-east-1", " eu-west-1 ", "us-east-1", "us-west-2"},
			cause:   "found in eu-west-1; it is not in us-east-1, us-west-2", fix: "export AWS_REGION=eu-west-1"},
		{name: "another region, by ARN", change: named(arn), fail: missing(notFoundText), looks: looks{may: true, regions: map[string]string{"eu-west-1": "there"}},
			regions: []string{"eu-west-1"}, cause: "found in eu-west-1", fix: "export MLFLOW_AWS_SECRET_NAME=arn:aws:secretsmanager:eu-west-1:123456789012:secret:mlflow/auth-AbCdEf"},
		{name: "regions that do not say", fail: missing(notFoundText), looks: looks{may: true, regions: everywhere}, regions: []string{"us-east-1", "ap-south-1", "eu-north-1", "Bad!"},
			cause: `in us-east-1 it is scheduled for deletion; secretsmanager:DescribeSecret is not permitted in ap-south-1; eu-north-1 answers 400 (InvalidSignatureException); "Bad!" is not a region`,
			fix:   "look with"},
		{name: "missing stage", change: version("AWSPREVIUS"), fail: missing(stageText), looks: looks{may: true, versions: versions},
			cause: "(version AWSPREVIUS); " + there, fix: "export MLFLOW_AWS_SECRET_VERSION=AWSPREVIOUS"},
		{name: "missing stage, and it is the secret that AWS misses", change: version("AWSPREVIUS"), fail: missing(notFoundText), looks: looks{may: true, versions: versions},
			cause: there, fix: "export MLFLOW_AWS_SECRET_VERSION=AWSPREVIOUS"},
		{name: "missing stage of a missing secret", change: version("AWSPREVIUS"), fail: missing(notFoundText), looks: looks{may: true, regions: map[string]string{"eu-west-1": "there"}},
			regions: []string{"eu-west-1"}, cause: "found in eu-west-1", fix: "export AWS_REGION=eu-west-1"},
		{name: "missing id", change: version("EXAMPLE9-90ab-cdef-fedc-ba987EXAMPLE"), fail: missing("Secrets Manager can't find the specified secret value for VersionId: EXAMPLE9-90ab-cdef-fedc-ba987EXAMPLE"),
			looks: looks{may: true, versions: versions}, cause: there, fix: "set MLFLOW_AWS_SECRET_VERSION to one of these"},
		{name: "missing version, and no look", change: version("AWSOLD"), fail: missing(stageText), cause: "(version AWSOLD)", fix: "list-secret-version-ids"},
		{name: "no value yet", fail: missing("Secrets Manager can't find the specified secret value for staging label: AWSCURRENT"), looks: looks{may: true, versions: versions[:1]},
			cause: "has no value yet); there is id EXAMPLE1", fix: "put-secret-value"},
		{name: "scheduled for deletion", fail: &failure{status: 400, code: "InvalidRequestException", text: deletedText}, looks: looks{may: true},
			cause: "scheduled for deletion", fix: "aws secretsmanager restore-secret --region eu-central-1 --secret-id mlflow/auth"},
		{name: "denied", fail: denied, looks: looks{may: true, names: []string{"mlflow/auth", "mlflow/auto"}}, cause: "AWS authentication failed: AccessDeniedException",
			fix: "grant secretsmanager:GetSecretValue on arn:aws:secretsmanager:eu-central-1:ACCOUNT:secret:mlflow/auth-??????"},
		{name: "denied by ARN", change: named(arn), fail: denied, looks: looks{may: true, names: []string{"mlflow/auth"}}, cause: "AccessDeniedException", fix: "grant secretsmanager:GetSecretValue on " + arn},
		{name: "denied, of a slip", change: named("mlflow/auht"), fail: denied, looks: looks{may: true, names: []string{"mlflow/auth"}},
			cause: `AccessDeniedException; in region eu-central-1 there is "mlflow/auth"`, fix: "; or export MLFLOW_AWS_SECRET_NAME=mlflow/auth"},
		{name: "denied, and in another region", fail: denied, looks: looks{may: true, regions: map[string]string{"eu-west-1": "there"}}, regions: []string{"eu-west-1"},
			cause: "AccessDeniedException; found in eu-west-1", fix: "; or export AWS_REGION=eu-west-1"},
		{name: "KMS", fail: &failure{status: 400, code: "AccessDeniedException", text: kmsText}, looks: looks{may: true, names: []string{"mlflow/auto"}}, cause: "KMS key may not be used", fix: "grant kms:Decrypt"},
		{name: "throttled", fail: &failure{status: 400, code: "ThrottlingException"}, looks: looks{may: true}, cause: "limits the rate", fix: "MLFLOW_AWS_TTL_SEC"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			hidden := canary.New()
			s, endpoint := newStandin(t)
			s.putText(hidden)
			fail := *test.fail
			fail.text += hidden
			s.set(func(s *standin) { s.fail, s.looks = &fail, test.looks })
			change := test.change
			if change == nil {
				change = func(*aws.Config) {}
			}
			p := provider(t, endpoint, func(c *aws.Config) { c.MaxAttempts = 1 }, change)
			f := look(t, p, "store.secret", test.regions...)
			wantFinding(t, f, inspect.Fail, "cannot read ", test.cause, test.fix, hidden)
			if !test.looks.may && strings.Contains(f.Cause, "; ") {
				t.Errorf("seen without permission: %s", f.Cause)
			}
		})
	}
}

func TestInspectASecretThatIsRead(t *testing.T) {
	t.Parallel()
	hidden := canary.New()
	old := float64(time.Now().Add(-50 * time.Hour).Unix())
	for _, test := range []struct {
		name    string
		value   map[string]any
		status  inspect.Status
		summary string
		cause   string
		invalid string // why it is no credential
	}{
		{"a token", map[string]any{"SecretString": `{"token":"` + hidden + `"}`, "VersionId": otherID, "VersionStages": []string{"AWSCURRENT", "green\n"}, "CreatedDate": old},
			inspect.Pass, "read mlflow/auth (version stages AWSCURRENT, id EXAMPLE2…, 2 days old)", "", ""},
		{"written lately, without a stage", map[string]any{"SecretString": hidden, "VersionId": otherID, "CreatedDate": float64(time.Now().Add(-5*time.Minute - time.Second).Unix())},
			inspect.Pass, "read mlflow/auth (a version without a stage, id EXAMPLE2…, 5 minutes old)", "", ""},
		{"many stages", map[string]any{"SecretString": hidden, "VersionStages": []string{"a", "b", "c", "d", "e", "f"}, "CreatedDate": float64(time.Now().Add(-190 * time.Minute).Unix())},
			inspect.Pass, "read mlflow/auth (version stages a, b, c, d, e and more, 3 hours old)", "", ""},
		{"little is told", map[string]any{"Name": "mlflow/auth", "SecretString": hidden, "VersionId": "\x1b[31m", "VersionStages": []string{"AWSCURRENT"}},
			inspect.Pass, "read mlflow/auth (version stages AWSCURRENT)", "", ""},
		{"no credential", map[string]any{"SecretString": `{"tokens":"` + hidden + `"}`, "VersionStages": []string{"AWSCURRENT"}}, inspect.Pass, "read mlflow/auth", "", "token"},
		{"no value", map[string]any{"Name": "mlflow/auth"}, inspect.Pass, "read mlflow/auth", "", "the secret has no value"},
		{"no answer", map[string]any{"login": hidden}, inspect.Fail, "cannot read mlflow/auth", "gave no usable answer", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, endpoint := newStandin(t)
			s.set(func(s *standin) { s.value = test.value })
			p := provider(t, endpoint, func(c *aws.Config) { c.Mode, c.TTL = secretsauth.AuthBearer, time.Minute })
			f := look(t, p, "store.secret")
			fix := ""
			if test.status == inspect.Fail {
				fix = "AWS_ENDPOINT_URL"
			}
			wantFinding(t, f, test.status, test.summary, test.cause, fix, hidden)
			token, _ := f.Secret.Token()
			switch {
			case test.status == inspect.Pass && test.invalid == "" && (token != hidden || f.Invalid != nil):
				t.Errorf("not the secret's value: %v", f.Invalid)
			case test.invalid != "" && (!errors.Is(f.Invalid, secretsauth.ErrInvalidSecret) || !strings.Contains(f.Invalid.Error(), test.invalid)):
				t.Errorf("why it is no credential: %v", f.Invalid)
			}
		})
	}
}

// What hangs in one region holds up no other, and not for long.
func TestInspectARegionThatIsSilent(t *testing.T) {
	t.Parallel()
	s, endpoint := newStandin(t)
	s.set(func(s *standin) {
		s.looks = looks{may: true, regions: map[string]string{"us-east-1": "silent", "eu-west-1": "there", "us-west-2": "silent"}}
	})
	begun := time.Now()
	f := look(t, provider(t, endpoint), "store.secret", "us-east-1", "eu-west-1", "us-west-2")
	wantFinding(t, f, inspect.Fail, "cannot read mlflow/auth", "no answer from us-east-1: timeout; found in eu-west-1; no answer from us-west-2: timeout", "export AWS_REGION=eu-west-1")
	if took := time.Since(begun); took > 6*time.Second {
		t.Errorf("it took %v", took)
	}
}

// The steps and Fetch have one session: one role, assumed once.
func TestInspectIsAsFetch(t *testing.T) {
	t.Parallel()
	s, endpoint := newStandin(t)
	s.putText("token")
	p := provider(t, endpoint, func(c *aws.Config) { c.RoleARN = "arn:aws:iam::123456789012:role/reader" })
	store := p.Inspect(inspect.Options{})
	if s.reads+len(s.roles)+len(s.looked) != 0 {
		t.Error("Inspect sends requests")
	}
	if store.Address != endpoint || len(store.Steps) != 2 {
		t.Errorf("%s with %d steps", store.Address, len(store.Steps))
	}
	for _, step := range store.Steps {
		if f := step.Look(t.Context()); f.Status != inspect.Pass {
			t.Errorf("%s: %s %s", step.ID, f.Summary, f.Cause)
		}
	}
	if _, err := p.Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	if len(s.roles) != 1 || s.reads != 2 || !slices.Equal(s.looked, []string{"GetCallerIdentity"}) || !slices.Equal(s.tokens, []string{session(1), session(1)}) {
		t.Errorf("%d roles, %d reads, %v", len(s.roles), s.reads, s.looked)
	}
}

// Variables and files may change under a program that looks for credentials anew.
func TestInspectWhenTheSettingsAreBadByNow(t *testing.T) {
	withoutKeys(t)
	_, endpoint := newStandin(t)
	p := provider(t, endpoint)
	if _, err := p.Fetch(t.Context()); !errors.Is(err, secretsauth.ErrConfig) {
		t.Error(err)
	}
	t.Setenv("AWS_PROFILE", "nobody")
	t.Setenv("AWS_ENDPOINT_URL_STS", "nowhere")
	if store := p.Inspect(inspect.Options{}); store.Address != "" {
		t.Error(store.Address)
	}
	wantFinding(t, look(t, p, "store.auth"), inspect.Fail, "no AWS credentials", "AWS_ENDPOINT_URL_STS is not", "unset it")
	wantFinding(t, look(t, p, "store.secret"), inspect.Fail, "cannot read mlflow/auth", "AWS_ENDPOINT_URL_STS is not", "unset it")
	if _, err := p.Fetch(t.Context()); !errors.Is(err, secretsauth.ErrConfig) {
		t.Error(err)
	}
}

// A role that cannot be assumed is no secret that is denied.
func TestInspectTheSecretWithoutARole(t *testing.T) {
	t.Parallel()
	s, endpoint := newStandin(t)
	s.set(func(s *standin) {
		s.sts = &failure{status: 403, code: "AccessDenied"}
		s.looks = looks{may: true, names: []string{"mlflow/auto"}}
	})
	p := provider(t, endpoint, func(c *aws.Config) { c.RoleARN = "arn:aws:iam::123456789012:role/reader" })
	wantFinding(t, look(t, p, "store.secret", "eu-west-1"), inspect.Fail, "cannot read mlflow/auth", "role/reader cannot be assumed", "grant sts:AssumeRole on it")
	if len(s.looked) != 0 || len(s.roles) != 1 {
		t.Errorf("looked at %v, %d roles", s.looked, len(s.roles))
	}
}

func TestInspectTheAddress(t *testing.T) {
	for _, test := range []struct {
		name   string
		env    map[string]string
		change func(*aws.Config)
		want   string
	}{
		{"AWS's own", nil, nil, "https://secretsmanager.eu-central-1.amazonaws.com"},
		{"in China", nil, func(c *aws.Config) { c.Region = "cn-north-1" }, "https://secretsmanager.cn-north-1.amazonaws.com.cn"},
		{"the ARN's region", nil, func(c *aws.Config) { c.SecretName = "arn:aws:secretsmanager:us-west-2:123456789012:secret:a-AbCdEf" }, "https://secretsmanager.us-west-2.amazonaws.com"},
		{"FIPS", map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, func(c *aws.Config) { c.Region = "us-east-1" }, "https://secretsmanager-fips.us-east-1.amazonaws.com"},
		{"FIPS, as a region", nil, func(c *aws.Config) { c.Region = "fips-us-east-1" }, "https://secretsmanager-fips.us-east-1.amazonaws.com"},
		{"dual stack, for which AWS has no other host", map[string]string{"AWS_USE_DUALSTACK_ENDPOINT": "true"}, nil, "https://secretsmanager.eu-central-1.amazonaws.com"},
		{"for all services", map[string]string{"AWS_ENDPOINT_URL": " http://127.0.0.1:4566/ "}, nil, "http://127.0.0.1:4566"},
		{"for this one", map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "https://vpce.test/path"}, nil, "https://vpce.test/path"},
		{"in code", map[string]string{"AWS_ENDPOINT_URL_SECRETS_MANAGER": "https://vpce.test"}, func(c *aws.Config) { c.Endpoint = "http://127.0.0.1:1" }, "http://127.0.0.1:1"},
		{"none", map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, func(c *aws.Config) { c.Endpoint = "http://127.0.0.1:1" }, ""},
		{"without credentials", map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, nil, "https://secretsmanager.eu-central-1.amazonaws.com"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			change := test.change
			if change == nil {
				change = func(*aws.Config) {}
			}
			if got := provider(t, "", change).Inspect(inspect.Options{}).Address; got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestInspectTheTransport(t *testing.T) {
	own := &http.Transport{}
	for name, test := range map[string]struct {
		client *http.Client
		want   func(*http.Transport) bool
	}{
		"the caller's":                {&http.Client{Transport: own}, func(got *http.Transport) bool { return got == own }},
		"the caller's, of other kind": {&http.Client{Transport: roundTripper(nil)}, func(got *http.Transport) bool { return got == nil }},
	} {
		p := provider(t, "http://127.0.0.1:1", func(c *aws.Config) { c.HTTPClient = test.client })
		if got := p.Inspect(inspect.Options{}).Transport; !test.want(got) {
			t.Errorf("%s: %v", name, got)
		}
	}

	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	t.Setenv("AWS_CA_BUNDLE", write(t, filepath.Join(t.TempDir(), "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))))
	store := provider(t, server.URL).Inspect(inspect.Options{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, store.Address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := store.Transport.Clone().RoundTrip(req)
	if err != nil {
		t.Fatalf("AWS_CA_BUNDLE does not apply: %v", err)
	}
	_ = resp.Body.Close()
	if store.Transport.Proxy == nil {
		t.Error("no proxy of the environment")
	}
}
