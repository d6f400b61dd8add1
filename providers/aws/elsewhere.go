package aws

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/mlflow-secrets-auth/secretsauth/internal/nearest"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
)

const (
	mostRegions = 40
	mostNames   = 3

	nameFix = "export MLFLOW_AWS_SECRET_NAME="
)

// elsewhere looks for the secret in other regions and under other names.
func (p *Provider) elsewhere(ctx context.Context, s *session, regions []string, denied bool) []hint {
	var wg sync.WaitGroup
	var names []hint
	wg.Go(func() { names = p.underNames(ctx, s, denied) })
	there := p.inRegions(ctx, s, regions)
	wg.Wait()
	if slices.ContainsFunc(there, func(h hint) bool { return h.fix != "" }) {
		return there // by its own name, which was no mistake
	}
	return append(there, names...)
}

// inRegions looks for the secret in regions.
func (p *Provider) inRegions(ctx context.Context, s *session, regions []string) []hint {
	var others []string
	for _, region := range regions {
		if region = strings.TrimSpace(region); region != "" && region != p.region && !slices.Contains(others, region) && len(others) < mostRegions {
			others = append(others, region)
		}
	}
	found := make([]hint, len(others))
	var wg sync.WaitGroup
	for i, region := range others {
		wg.Go(func() { found[i] = p.inRegion(ctx, s, region) })
	}
	wg.Wait()
	var hints []hint
	var without []string
	for i, h := range found {
		if h.cause == "" {
			without = append(without, others[i])
		} else {
			hints = append(hints, h)
		}
	}
	if len(without) > 0 {
		hints = append(hints, hint{cause: "it is not in " + strings.Join(without, ", ")})
	}
	return hints
}

// inRegion is what there is of the secret in one region: no hint, no secret.
func (p *Provider) inRegion(ctx context.Context, s *session, region string) hint {
	if !regionName.MatchString(region) {
		return hint{cause: fmt.Sprintf("%.40q is not a region", region)}
	}
	name := p.target.in(region)
	out, err := s.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &name}, func(o *secretsmanager.Options) { o.Region = region })
	status, _ := answered(err)
	switch code := codeOf(err); {
	case err == nil && out.ARN == nil && out.Name == nil:
		return hint{cause: "no usable answer from " + region}
	case err == nil && out.DeletedDate != nil:
		return hint{cause: "in " + region + " it is scheduled for deletion"}
	case err == nil && p.target.isARN():
		return hint{"found in " + region, nameFix + name}
	case err == nil:
		return hint{"found in " + region, "export AWS_REGION=" + region}
	case code == missing:
		return hint{}
	case isDenied(code):
		return hint{cause: "secretsmanager:DescribeSecret is not permitted in " + region}
	case status > 0:
		return hint{cause: fmt.Sprintf("%s answers %d%s", region, status, shown(err))}
	}
	return hint{cause: "no answer from " + region + ": " + netcause.Of(err).Error()}
}

// underNames looks for names that may have been meant: first among those that begin
// alike.
func (p *Provider) underNames(ctx context.Context, s *session, denied bool) []hint {
	wanted := p.target.bare()
	begin := wanted[:min(3, len(wanted))]
	if folder, _, ok := strings.Cut(wanted, "/"); ok {
		begin = folder + "/"
	}
	names := list(ctx, s, begin)
	if slices.Contains(names, wanted) {
		if denied || !p.target.isARN() {
			return nil // the name is right
		}
		return []hint{{fmt.Sprintf("the caller's account has %q in region %s, with another ARN", wanted, p.region), nameFix + wanted}}
	}
	near := nearestOf(wanted, names)
	if len(near) == 0 {
		near = nearestOf(wanted, list(ctx, s, ""))
	}
	if len(near) == 0 {
		return nil
	}
	return []hint{{"in region " + p.region + " there is " + quoted(near), nameFix + near[0]}}
}

// list is one page of the names that begin with begin.
func list(ctx context.Context, s *session, begin string) []string {
	in := &secretsmanager.ListSecretsInput{MaxResults: aws.Int32(page)}
	if begin != "" {
		in.Filters = []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{begin}}}
	}
	out, err := s.secrets.ListSecrets(ctx, in)
	if err != nil {
		return nil
	}
	var names []string
	for _, secret := range out.SecretList {
		names = append(names, aws.ToString(secret.Name))
	}
	return known(secretName, names)
}

// nearestOf is the few of names that wanted is likely to mean.
func nearestOf(wanted string, names []string) []string {
	var near []string
	for len(near) < mostNames {
		name := nearest.Of(wanted, names)
		if name == "" {
			break
		}
		near = append(near, name)
		names = slices.DeleteFunc(names, func(n string) bool { return n == name })
	}
	return near
}

func quoted(names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = strconv.Quote(name)
	}
	return strings.Join(all, ", ")
}
