package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

var _ inspect.Provider = (*Provider)(nil)

// Inspect is for this module's own doctor: a read, step by step, by the code and
// with the login of Fetch.
func (p *Provider) Inspect(inspect.Options) inspect.Store {
	transport, _ := p.link.base.(*http.Transport)
	return inspect.Store{
		Address:   p.target.address,
		Transport: transport,
		Steps: []inspect.Step{
			{ID: "store.auth", Look: p.lookAuth},
			{ID: "store.secret", Look: p.lookSecret},
		},
	}
}

// lookAuth is a read for the sake of its login: Key Vault says only then for which
// tenant it wants a token, and whether it accepts the one that it is sent. What
// else a read may fail of is for the next step to tell.
func (p *Provider) lookAuth(ctx context.Context) inspect.Finding {
	r := p.read(ctx)
	switch {
	case r.grant != nil:
		return inspect.Passed(r.grant.describe(time.Now()))
	case r.err != nil:
		return inspect.Failed("not logged in to Azure", r.err)
	}
	return inspect.Warned("no login was asked for", p.target.address+" gave out the secret without one, which Key Vault never does", proxies)
}

// soon is how long before its expiry a secret is worth a warning.
const soon = 14 * 24 * time.Hour

func (p *Provider) lookSecret(ctx context.Context) inspect.Finding {
	r := p.read(ctx)
	if r.err != nil {
		f := inspect.Failed("cannot read "+p.target.name, r.err)
		if errors.Is(r.err, secretsauth.ErrNotFound) {
			p.search(ctx, r.session, &f)
		}
		return f
	}
	now := time.Now()
	if err := p.usable(r.answer.Attributes, now); err != nil {
		return inspect.Failed(p.target.name+" cannot be used", err)
	}
	f := inspect.Passed("read " + p.target.name + about(r.answer, now))
	f.Secret, f.Invalid = p.credential(r.answer)
	if a := r.answer.Attributes; f.Invalid == nil && a != nil && a.Expires != nil && a.Expires.Sub(now) < soon {
		f.Status, f.Fix = inspect.Warn, p.setSecret()+" --expires DATE"
		f.Cause = fmt.Sprintf("it expires at %s, in %s", stamp(*a.Expires), inspect.Span(a.Expires.Sub(now)))
	}
	return f
}

// about is the version and the age of a secret, as far as they are told.
func about(answer azsecrets.Secret, now time.Time) string {
	var facts []string
	if _, version := parts(answer.ID); version != "" {
		facts = append(facts, "version "+version[:8]+"…")
	}
	if at := created(answer.Attributes); !at.IsZero() {
		facts = append(facts, inspect.Span(now.Sub(at))+" old")
	}
	if len(facts) == 0 {
		return ""
	}
	return " (" + strings.Join(facts, ", ") + ")"
}

// created is when a version was stored, zero if that is not told. What is updated
// later are its attributes alone.
func created(a *azsecrets.SecretAttributes) time.Time {
	switch {
	case a == nil:
	case a.Created != nil:
		return *a.Created
	case a.Updated != nil:
		return *a.Updated
	}
	return time.Time{}
}
