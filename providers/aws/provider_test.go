package aws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
)

func TestFailuresAreToldApart(t *testing.T) {
	t.Parallel()
	const name = "mlflow/auth"
	pinned := func(c *aws.Config) { c.SecretVersion = "AWSOLD" }
	role := func(c *aws.Config) { c.RoleARN = "arn:aws:iam::123456789012:role/reader" }
	const arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:" + name + "-AbCdEf"
	for _, test := range []struct {
		name   string
		change func(*aws.Config)
		fail   failure
		sts    bool // AssumeRole fails with it
		kind   error
		says   []string
		wait   time.Duration
	}{
		{name: "not found", fail: failure{status: 400, code: "ResourceNotFoundException", text: notFoundText}, kind: secretsauth.ErrNotFound,
			says: []string{"secret not found at path: " + name, "region eu-central-1", "list-secrets"}},
		{name: "missing stage", change: pinned, fail: failure{status: 400, code: "ResourceNotFoundException", text: stageText}, kind: secretsauth.ErrNotFound,
			says: []string{"secret not found at path: " + name + " (version AWSOLD)", "list-secret-version-ids"}},
		{name: "the secret is missing, not the stage", change: pinned, fail: failure{status: 400, code: "ResourceNotFoundException", text: notFoundText},
			kind: secretsauth.ErrNotFound, says: []string{"secret not found at path: " + name + "; fix: ", "list-secrets"}},
		{name: "no value yet", fail: failure{status: 400, code: "ResourceNotFoundException", text: "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT"},
			kind: secretsauth.ErrNotFound, says: []string{"secret not found at path: " + name + " (it is there, and has no value yet)", "put-secret-value"}},
		{name: "not found by ARN", change: func(c *aws.Config) { c.SecretName, c.Region = arn, "us-east-1" }, fail: failure{status: 400, code: "ResourceNotFoundException", text: notFoundText},
			kind: secretsauth.ErrNotFound, says: []string{"not in region eu-central-1", "whose ARN decides the region"}},
		{name: "denied by ARN", change: func(c *aws.Config) { c.SecretName = arn }, fail: failure{status: 400, code: "AccessDeniedException", text: deniedText},
			kind: secretsauth.ErrDenied, says: []string{"secretsmanager:GetSecretValue on " + arn}},
		{name: "scheduled for deletion", fail: failure{status: 400, code: "InvalidRequestException", text: deletedText}, kind: secretsauth.ErrNotFound,
			says: []string{"scheduled for deletion", "restore-secret"}},
		{name: "S130 denied", fail: failure{status: 400, code: "AccessDeniedException", text: deniedText}, kind: secretsauth.ErrDenied,
			says: []string{"secretsmanager:GetSecretValue on arn:aws:secretsmanager:eu-central-1:ACCOUNT:secret:mlflow/auth-??????"}},
		{name: "KMS denied", fail: failure{status: 400, code: "AccessDeniedException", text: kmsText}, kind: secretsauth.ErrDenied, says: []string{"kms:Decrypt"}},
		{name: "denied to somebody named kms", fail: failure{status: 400, code: "AccessDeniedException", text: strings.ReplaceAll(deniedText, "trainer", "kms-admin")}, kind: secretsauth.ErrDenied,
			says: []string{"grant secretsmanager:GetSecretValue"}},
		{name: "KMS key disabled", fail: failure{status: 400, code: "DecryptionFailure", text: "key is disabled"}, kind: secretsauth.ErrDenied, says: []string{"kms:Decrypt", "enabled"}},
		{name: "expired credentials", fail: failure{status: 400, code: "ExpiredTokenException", text: "The security token included in the request is expired"},
			kind: secretsauth.ErrDenied, says: []string{"have expired", "aws sso login"}},
		{name: "unknown credentials", fail: failure{status: 400, code: "UnrecognizedClientException", text: "The security token included in the request is invalid."},
			kind: secretsauth.ErrDenied, says: []string{"not accepted", "get-caller-identity"}},
		{name: "wrong signature", fail: failure{status: 400, code: "InvalidSignatureException", text: "The request signature we calculated does not match"},
			kind: secretsauth.ErrDenied, says: []string{"not accepted"}},
		{name: "wrong region", fail: failure{status: 400, code: "InvalidSignatureException", text: "Credential should be scoped to a valid region."},
			kind: secretsauth.ErrConfig, says: []string{"another region", "AWS_REGION"}},
		{name: "S130 throttled", fail: failure{status: 400, code: "ThrottlingException", text: "Rate exceeded", retryAfter: "7"}, kind: secretsauth.ErrUnavailable,
			says: []string{"limits the rate"}, wait: 7 * time.Second},
		{name: "S122 internal error", fail: failure{status: 500, code: "InternalServiceError", text: "boom"}, kind: secretsauth.ErrUnavailable, says: []string{"500"}},
		{name: "S122 internal error, as a 400", fail: failure{status: 400, code: "InternalServiceError", text: "boom"}, kind: secretsauth.ErrUnavailable, says: []string{"InternalServiceError"}},
		{name: "S121 429 from a load balancer", fail: failure{status: 429, retryAfter: "1"}, kind: secretsauth.ErrUnavailable, says: []string{"limits the rate"}, wait: time.Second},
		{name: "S121 wait a year", fail: failure{status: 503, retryAfter: "99999999999999999999"}, kind: secretsauth.ErrUnavailable, wait: 365 * 24 * time.Hour},
		{name: "S121 wait for nonsense", fail: failure{status: 503, retryAfter: "-soon"}, kind: secretsauth.ErrUnavailable},
		{name: "the clock", fail: failure{status: 403, code: "RequestTimeTooSkewed"}, kind: secretsauth.ErrDenied, says: []string{"clock"}},
		{name: "403 of a proxy", fail: failure{status: 403}, kind: secretsauth.ErrConfig, says: []string{"(403)", "proxies"}},
		{name: "S122 503 from a load balancer", fail: failure{status: 503}, kind: secretsauth.ErrUnavailable, says: []string{"503"}},
		{name: "bad parameter", fail: failure{status: 400, code: "InvalidParameterException", text: "x"}, kind: secretsauth.ErrConfig, says: []string{"InvalidParameterException"}},
		{name: "role not assumable", change: role, sts: true, fail: failure{status: 403, code: "AccessDenied", text: "User is not authorized to perform: sts:AssumeRole"},
			kind: secretsauth.ErrDenied, says: []string{"role/reader cannot be assumed", "sts:AssumeRole", "trust policy"}},
		{name: "credentials for the role expired", change: role, sts: true, fail: failure{status: 403, code: "ExpiredToken", text: "x"},
			kind: secretsauth.ErrDenied, says: []string{"have expired"}},
		{name: "keys for the role not accepted", change: role, sts: true, fail: failure{status: 403, code: "InvalidClientTokenId", text: "x"},
			kind: secretsauth.ErrDenied, says: []string{"credentials to assume a role with are not accepted"}},
		{name: "STS not enabled", change: role, sts: true, fail: failure{status: 403, code: "RegionDisabledException", text: "x"}, kind: secretsauth.ErrConfig, says: []string{"STS is not enabled in region eu-central-1"}},
		{name: "STS not well", change: role, sts: true, fail: failure{status: 500, code: "InternalFailure"}, kind: secretsauth.ErrUnavailable, says: []string{"STS, which gives the AWS credentials, is not well (500)"}},
		{name: "STS throttled", change: role, sts: true, fail: failure{status: 400, code: "Throttling", text: "x"}, kind: secretsauth.ErrUnavailable, says: []string{"limits the rate"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			hidden := canary.New()
			s, endpoint := newStandin(t)
			s.putText(hidden)
			test.fail.text += hidden // S162: whatever AWS says is not repeated
			s.set(func(s *standin) {
				if test.sts {
					s.sts = &test.fail
				} else {
					s.fail = &test.fail
				}
			})
			change := test.change
			if change == nil {
				change = func(*aws.Config) {}
			}
			_, err := provider(t, endpoint, func(c *aws.Config) { c.MaxAttempts = 1 }, change).Fetch(t.Context())
			if !errors.Is(err, test.kind) {
				t.Fatalf("error kind: %v", strings.ReplaceAll(fmt.Sprint(err), hidden, "…"))
			}
			canary.AbsentFrom(t, "the error", err, hidden)
			for _, want := range append(test.says, "aws-secrets-manager:eu-central-1:", "fix: ") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if e, ok := errors.AsType[*secretsauth.Error](err); !ok || e.RetryAfter() != test.wait {
				t.Errorf("%v asks to wait something else than %v", err, test.wait)
			}
		})
	}
}

func TestS121WhatMayPassIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		times    int // how often it fails
		attempts int
		reads    int
		ok       bool
	}{
		{"passes in time", 2, 0, 3, true},
		{"does not pass", 0, 0, 3, false},
		{"one attempt", 1, 1, 1, false},
		{"four attempts", 3, 4, 4, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, endpoint := newStandin(t)
			s.putText("token")
			s.set(func(s *standin) { s.fail = &failure{status: 500, code: "InternalServiceError", times: test.times} })
			_, err := provider(t, endpoint, func(c *aws.Config) { c.MaxAttempts = test.attempts }).Fetch(t.Context())
			if (err == nil) != test.ok || s.reads != test.reads {
				t.Errorf("%d requests, error %v; want %d", s.reads, err, test.reads)
			}
		})
	}
}

func TestVersionsAndNames(t *testing.T) {
	t.Parallel()
	const id = "EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE"
	const uuid = "0a1b2c3d-90ab-cdef-fedc-ba9876543210"
	for _, test := range []struct {
		name, secret, version string
		want                  map[string]string
		key                   string
	}{
		{"current", "mlflow/auth", "", map[string]string{"SecretId": "mlflow/auth"}, "aws-secrets-manager:eu-central-1:mlflow/auth"},
		{"stage", "mlflow/auth", "AWSPREVIOUS", map[string]string{"SecretId": "mlflow/auth", "VersionStage": "AWSPREVIOUS"}, "aws-secrets-manager:eu-central-1:mlflow/auth?version=AWSPREVIOUS"},
		{"an id of the writer's", "mlflow/auth", id, map[string]string{"SecretId": "mlflow/auth", "VersionId": id}, ""},
		{"a long stage", "mlflow/auth", "release_2026-11-24_of_the_training_cluster", map[string]string{"SecretId": "mlflow/auth", "VersionStage": "release_2026-11-24_of_the_training_cluster"}, ""},
		{"id", "mlflow/auth", uuid, map[string]string{"SecretId": "mlflow/auth", "VersionId": uuid}, ""},
		{"ARN: its region wins", "arn:aws:secretsmanager:us-west-2:123456789012:secret:mlflow/auth-AbCdEf", "",
			map[string]string{"SecretId": "arn:aws:secretsmanager:us-west-2:123456789012:secret:mlflow/auth-AbCdEf"},
			"aws-secrets-manager:us-west-2:arn:aws:secretsmanager:us-west-2:123456789012:secret:mlflow/auth-AbCdEf"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, endpoint := newStandin(t)
			s.putText("token")
			p := provider(t, endpoint, func(c *aws.Config) { c.SecretName, c.SecretVersion = test.secret, test.version })
			if _, err := p.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			if test.key != "" && p.Key() != test.key {
				t.Errorf("key %q, want %q", p.Key(), test.key)
			}
			if got := s.asked[0]; fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("asked for %v, want %v", got, test.want)
			}
		})
	}
}

func TestARoleIsAssumed(t *testing.T) {
	t.Parallel()
	s, endpoint := newStandin(t)
	s.putText("token")
	p := provider(t, endpoint, func(c *aws.Config) {
		c.RoleARN, c.RoleSessionName, c.ExternalID = "arn:aws:iam::123456789012:role/reader", "training", "42"
	})
	for range 3 {
		if _, err := p.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.roles) != 1 {
		t.Fatalf("AssumeRole was called %d times for 3 reads", len(s.roles))
	}
	for field, want := range map[string]string{"RoleArn": "arn:aws:iam::123456789012:role/reader", "RoleSessionName": "training", "ExternalId": "42"} {
		if got := s.roles[0].Get(field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if s.tokens[0] != session(1) {
		t.Error("the read was not signed with the role's credentials")
	}

	// Revoked before their time: fetched anew, once.
	s.set(func(s *standin) { s.fail = &failure{status: 400, code: "ExpiredTokenException", times: 1} })
	if _, err := p.Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	if len(s.roles) != 2 || s.tokens[len(s.tokens)-1] != session(2) {
		t.Errorf("AssumeRole was called %d times", len(s.roles))
	}
	s.set(func(s *standin) { s.fail = &failure{status: 400, code: "ExpiredTokenException"} })
	before := s.reads
	if _, err := p.Fetch(t.Context()); !errors.Is(err, secretsauth.ErrDenied) {
		t.Error(err)
	}
	if s.reads-before > 2 {
		t.Errorf("S126 %d requests with credentials that are not accepted", s.reads-before)
	}
}

func TestS83ASecretWithoutAValue(t *testing.T) {
	t.Parallel()
	s, endpoint := newStandin(t)
	s.set(func(s *standin) { s.value = map[string]any{"Name": "mlflow/auth"} })
	if _, err := provider(t, endpoint).Fetch(t.Context()); !errors.Is(err, secretsauth.ErrInvalidSecret) {
		t.Error(err)
	}
}

func TestHintsGoWithTheSecret(t *testing.T) {
	t.Parallel()
	s, endpoint := newStandin(t)
	s.putText(`{"token":"u:p"}`)
	p := provider(t, endpoint, func(c *aws.Config) { c.Mode = secretsauth.AuthBasic })
	wantBasic(t, p)
}

// wantBasic checks that the secret u:p is sent as a username and password.
func wantBasic(t *testing.T, p secretsauth.Provider) {
	t.Helper()
	sent, err := inspect.Header(t.Context(), p, secretsauth.Config{AllowedHosts: []string{"mlflow.test"}}, &url.URL{Scheme: "https", Host: "mlflow.test"})
	if err != nil {
		t.Fatal(err)
	}
	if user, password, ok := (&http.Request{Header: sent}).BasicAuth(); !ok || user != "u" || password != "p" {
		t.Error("not sent as Basic")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	// Port 1 on loopback refuses.
	_, err := provider(t, "http://127.0.0.1:1", func(c *aws.Config) { c.MaxAttempts = 1 }).Fetch(t.Context())
	if !errors.Is(err, secretsauth.ErrUnavailable) || !strings.Contains(err.Error(), "cannot reach Secrets Manager in region eu-central-1") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := provider(t, "http://127.0.0.1:1").Fetch(ctx); !errors.Is(err, secretsauth.ErrUnavailable) || errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestS155NothingPrintsAKey(t *testing.T) {
	t.Parallel()
	_, endpoint := newStandin(t)
	p := provider(t, endpoint)
	for name, v := range map[string]any{
		"Provider": p.Provider, "hidden Provider": struct{ p *aws.Provider }{p.Provider},
		"Config": aws.Config{SecretName: "mlflow/auth", ExternalID: keyOfTheTests},
	} {
		canary.AbsentFrom(t, name, v, keyOfTheTests)
	}
}
