package aws

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// What is not where it was looked for may be elsewhere. To look there takes
// permissions that a read does not need; where they are lacking, nothing is said.

const (
	lookTimeout = 4 * time.Second // of all that is looked at, side by side
	mostShown   = 5
	page        = 100 // the most that AWS gives at once
)

// hint is what was found elsewhere.
type hint struct{ cause, fix string }

// notRead explains a read that failed, with what is there instead.
func (p *Provider) notRead(ctx context.Context, regions []string, err error) inspect.Finding {
	f := inspect.Failed("cannot read "+p.target.name, p.explain(ctx, err))
	api, ok := errors.AsType[smithy.APIError](err)
	if _, none := errors.AsType[*sourceError](err); none || !ok {
		return f
	}
	s, err := p.current()
	if err != nil {
		return f
	}
	var fixes []string
	if isDenied(api.ErrorCode()) {
		fixes = append(fixes, f.Fix)
	}
	for _, h := range p.hints(ctx, s, regions, api) {
		f.Cause += "; " + h.cause
		if h.fix != "" {
			fixes = append(fixes, h.fix)
		}
	}
	if len(fixes) > 0 {
		f.Fix = strings.Join(fixes, "; or ")
	}
	return f
}

// hints are of use where AWS says that something is missing, or denies it: a policy
// that names secrets or regions denies all others, whether they exist or not.
func (p *Provider) hints(ctx context.Context, s *session, regions []string, api smithy.APIError) []hint {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	switch {
	case isDenied(api.ErrorCode()) && !isKMS(api):
		return p.elsewhere(ctx, s, regions, true)
	case api.ErrorCode() != missing:
		return nil
	case saysVersion(api):
		return p.versions(ctx, s)
	case p.target.version != "":
		if there := p.versions(ctx, s); there != nil {
			return there
		}
	}
	return p.elsewhere(ctx, s, regions, false)
}

// some lists the first of texts.
func some(texts []string) string {
	list := strings.Join(texts[:min(mostShown, len(texts))], ", ")
	if len(texts) > mostShown {
		list += " and more"
	}
	return list
}

// known are those of texts that are what they should be: what a server says is
// not shown as it stands.
func known(form *regexp.Regexp, texts []string) []string {
	return slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return !form.MatchString(text) })
}
