package aws

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/mlflow-secrets-auth/secretsauth/internal/nearest"
)

// versions are those that the secret has, and the stage that may have been meant.
func (p *Provider) versions(ctx context.Context, s *session) []hint {
	out, err := s.secrets.ListSecretVersionIds(ctx, &secretsmanager.ListSecretVersionIdsInput{
		SecretId: &p.target.name, IncludeDeprecated: aws.Bool(true), MaxResults: aws.Int32(page),
	})
	if err != nil {
		return nil
	}
	var staged, others, stages []string
	for _, v := range out.Versions {
		id, on := aws.ToString(v.VersionId), known(stageName, v.VersionStages)
		switch {
		case !versionID.MatchString(id):
		case len(on) > 0:
			stages = append(stages, on...)
			staged = append(staged, fmt.Sprintf("%s (id %s)", some(on), id))
		default:
			others = append(others, "id "+id)
		}
	}
	slices.Sort(staged)
	all := append(staged, others...)
	if len(all) == 0 {
		return nil
	}
	return []hint{{"there is " + some(all), p.stageFix(stages)}}
}

// stageFix is "" where the version of the configuration is not to blame.
func (p *Provider) stageFix(stages []string) string {
	if p.target.version == "" {
		return ""
	}
	if stage := nearest.Of(p.target.version, stages); stage != "" && !p.target.byID {
		return "export MLFLOW_AWS_SECRET_VERSION=" + stage
	}
	return "set MLFLOW_AWS_SECRET_VERSION to one of these, or unset it for AWSCURRENT"
}
