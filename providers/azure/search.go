package azure

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/nearest"
)

// search adds to f what there is in place of the secret that was not found: other
// versions, the deleted secret, other names. It is silent about what this identity
// may not list.
func (p *Provider) search(ctx context.Context, s *session, f *inspect.Finding) {
	switch {
	case p.target.version != "" && p.otherVersions(ctx, s, f):
	case p.deleted(ctx, s, f):
	default:
		p.otherNames(ctx, s, f)
	}
}

// shown is how many names or versions are told.
const shown = 5

func (p *Provider) otherVersions(ctx context.Context, s *session, f *inspect.Finding) bool {
	list, whole := firstPages(ctx, s.vault.NewListSecretPropertiesVersionsPager(p.target.name, nil),
		func(page azsecrets.ListSecretPropertiesVersionsResponse) []*azsecrets.SecretProperties {
			return page.Value
		})
	slices.SortStableFunc(list, func(a, b *azsecrets.SecretProperties) int {
		return created(b.Attributes).Compare(created(a.Attributes))
	})
	var versions []string
	for _, one := range list {
		if _, version := parts(one.ID); version != "" {
			versions = append(versions, version+state(one.Attributes, time.Now()))
		}
	}
	if len(versions) == 0 {
		return false
	}
	f.Cause += "; there are the versions " + enumerate(versions, whole)
	f.Fix = "export MLFLOW_AZURE_SECRET_VERSION with one of them, or unset it for the latest"
	return true
}

// state tells a version that can be read from one that cannot.
func state(a *azsecrets.SecretAttributes, now time.Time) string {
	word := "enabled"
	if a != nil && a.Enabled != nil && !*a.Enabled {
		word = "disabled"
	}
	if at := created(a); !at.IsZero() {
		word += ", " + inspect.Span(now.Sub(at)) + " old"
	}
	return " (" + word + ")"
}

func (p *Provider) deleted(ctx context.Context, s *session, f *inspect.Finding) bool {
	answer, err := s.vault.GetDeletedSecret(ctx, p.target.name, nil)
	if err != nil || answer.DeletedDate == nil {
		return false
	}
	f.Cause += "; it was deleted at " + stamp(*answer.DeletedDate)
	f.Fix = fmt.Sprintf("az keyvault secret recover --vault-name %s --name %s, or correct MLFLOW_AZURE_SECRET_NAME", p.target.cli(), p.target.name)
	return true
}

func (p *Provider) otherNames(ctx context.Context, s *session, f *inspect.Finding) {
	list, whole := firstPages(ctx, s.vault.NewListSecretPropertiesPager(nil),
		func(page azsecrets.ListSecretPropertiesResponse) []*azsecrets.SecretProperties { return page.Value })
	var names, quoted []string
	for _, one := range list {
		if name, _ := parts(one.ID); name != "" {
			names, quoted = append(names, name), append(quoted, fmt.Sprintf("%q", name))
		}
	}
	near := nearest.Of(p.target.name, names)
	switch {
	case near != "":
		f.Cause += fmt.Sprintf("; there is %q", near)
		f.Fix = "export MLFLOW_AZURE_SECRET_NAME=" + near + ", if that is meant"
	case len(names) > 0:
		f.Cause += "; there are " + enumerate(quoted, whole)
	case whole:
		f.Cause += "; there are no secrets in this vault"
	}
}

// enumerate is the first of texts. They are not all if the list is not whole.
func enumerate(texts []string, whole bool) string {
	text := strings.Join(texts[:min(len(texts), shown)], ", ")
	if len(texts) > shown || !whole {
		text += " and others"
	}
	return text
}

// firstPages is what a list holds on its first pages of 25 each, as far as they may
// be read, and whether that is the whole of it.
func firstPages[T any](ctx context.Context, pager *runtime.Pager[T], of func(T) []*azsecrets.SecretProperties) (list []*azsecrets.SecretProperties, whole bool) {
	for page := 0; page < 2 && pager.More(); page++ {
		answer, err := pager.NextPage(ctx)
		if err != nil {
			return list, false
		}
		for _, one := range of(answer) {
			if one != nil {
				list = append(list, one)
			}
		}
	}
	return list, !pager.More()
}

// identifier is that of a secret, perhaps with a version. The SDK's own reading of
// it panics over other texts.
var identifier = regexp.MustCompile(`/secrets/([0-9A-Za-z-]{1,127})(?:/([0-9a-f]{32}))?$`)

// parts are the name and the version in id, "" where they do not look like it.
func parts(id *azsecrets.ID) (name, version string) {
	if id == nil {
		return "", ""
	}
	if found := identifier.FindStringSubmatch(string(*id)); found != nil {
		return found[1], found[2]
	}
	return "", ""
}
