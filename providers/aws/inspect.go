package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

var _ inspect.Provider = (*Provider)(nil)

// Inspect gives a doctor the steps of Fetch. It sends nothing.
func (p *Provider) Inspect(o inspect.Options) inspect.Store {
	return inspect.Store{
		Address:   p.address(),
		Transport: p.transport(),
		Steps: []inspect.Step{
			{ID: "store.auth", Look: p.lookAtCaller},
			{ID: "store.secret", Look: func(ctx context.Context) inspect.Finding { return p.lookAtSecret(ctx, o.Regions) }},
		},
	}
}

// address is where the SDK sends a read, or "": one that goes as far as to be sent.
// So variables, profile, region, FIPS and dual stack count as they do for Fetch.
func (p *Provider) address() string {
	s, err := p.current()
	if err != nil {
		return ""
	}
	var to string
	_, _ = s.secrets.GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{SecretId: &p.target.name}, func(o *secretsmanager.Options) {
		o.Retryer = aws.NopRetryer{}
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "none", SecretAccessKey: "none"}, nil
		})
		o.HTTPClient = smithyhttp.ClientDoFunc(func(req *http.Request) (*http.Response, error) {
			to = strings.TrimSuffix(req.URL.String(), "/")
			return nil, errors.New("not to be sent")
		})
	})
	return to
}

// transport is what the requests go through, or nil if it is of another kind.
func (p *Provider) transport() *http.Transport {
	limited, _ := p.via.Transport.(httpanswer.Limited)
	single, ok := limited.Base.(*store.Single)
	if !ok {
		return nil
	}
	t, _ := single.Base().(*http.Transport)
	return t
}

// lookAtSecret reads the secret, as Fetch does.
func (p *Provider) lookAtSecret(ctx context.Context, regions []string) inspect.Finding {
	out, err := with(ctx, p, p.get)
	if err != nil {
		return p.notRead(ctx, regions, err)
	}
	secret, err := p.parse(out)
	if errors.Is(err, secretsauth.ErrUnavailable) {
		return inspect.Failed("cannot read "+p.target.name, err)
	}
	f := inspect.Passed(fmt.Sprintf("read %s (%s)", p.target.name, strings.Join(versionOf(out), ", ")))
	f.Secret, f.Invalid = secret, err
	return f
}

// versionOf describes the version that was read.
func versionOf(out *secretsmanager.GetSecretValueOutput) []string {
	var facts []string
	if stages := known(stageName, out.VersionStages); len(stages) > 0 {
		facts = append(facts, "version stages "+some(stages))
	} else {
		facts = append(facts, "a version without a stage")
	}
	if id := aws.ToString(out.VersionId); versionID.MatchString(id) {
		facts = append(facts, "id "+id[:8]+"…")
	}
	if out.CreatedDate != nil {
		facts = append(facts, inspect.Span(time.Since(*out.CreatedDate))+" old")
	}
	return facts
}
