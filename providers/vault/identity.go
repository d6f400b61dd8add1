package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// identity is what Vault says of a token.
type identity struct {
	Policies []string `json:"policies"`
	OfEntity []string `json:"identity_policies"`
	TTL      int64    `json:"ttl"`
	Expires  *string  `json:"expire_time"` // null: never
	Uses     int64    `json:"num_uses"`    // left; 0: no limit, negative: that was the last
	Meta     struct {
		Role string `json:"role_name"` // of AppRole
	} `json:"meta"`
}

// lookAtLogin logs in as Fetch does and asks who that is. The settings of an
// AppRole are not asked for: when the login fails there is no token to ask with,
// and when it does not they are what the token has. A token of the user's own,
// that is not configured, is left alone.
func (p *Provider) lookAtLogin(ctx context.Context) inspect.Finding {
	s := p.newSession()
	var a answer
	err := s.withToken(ctx, func(token *lease) (err error) {
		a, err = s.lookup(ctx, token)
		return err
	})
	in := "logged in by " + p.login.way()
	switch {
	case err != nil:
		return inspect.Failed("cannot log in by "+p.login.way(), p.named(err))
	case a.says("namespace not found"):
		return inspect.Failed("cannot log in by "+p.login.way(), p.named(p.noNamespace()))
	case a.status == http.StatusForbidden && !a.page():
		return inspect.Passed(in + p.inNamespace() + "; its policies cannot be shown: none of them permits auth/token/lookup-self")
	case a.status != http.StatusOK:
		return inspect.Warned("the token cannot be looked up", fmt.Sprintf("%s answers auth/token/lookup-self with %s", p.target.address, a.statusText()),
			"check what stands in front of Vault; the read decides")
	}
	var v struct{ Data identity }
	if json.Unmarshal(a.body, &v) != nil {
		return inspect.Passed(in + p.inNamespace())
	}
	return p.identified(in+p.inNamespace()+v.Data.describe(), v.Data)
}

// lookup asks Vault what the token is. It is refused if Vault does not take it.
func (s *session) lookup(ctx context.Context, token *lease) (answer, error) {
	a, err := s.do(ctx, lookupSelf(token))
	if err == nil && a.status == http.StatusForbidden && !a.page() && !policyMissing(a) {
		s.checked, s.valid = token, false
		err = &refusal{answer: a}
	}
	return a, err
}

// soon is a lifetime that a token with no login behind it should exceed.
const soon = time.Hour

func (p *Provider) identified(summary string, who identity) inspect.Finding {
	_, renews := p.login.(*shared)
	switch {
	case who.Uses != 0:
		fix := "use a token without a limit of uses"
		if who.Meta.Role != "" {
			fix = "set token_num_uses=0 for the role " + list([]string{who.Meta.Role})
		}
		return inspect.Warned(summary, fmt.Sprintf("the token's uses are limited, and each request takes one, this look too: %d left", max(who.Uses, 0)), fix)
	case !renews && who.TTL > 0 && seconds(who.TTL) < soon:
		return inspect.Warned(summary, "the token ends soon, and is not renewed",
			"log in by AppRole or Kubernetes, or make a token that lasts, or renew it: `vault token renew`")
	}
	return inspect.Passed(summary)
}

func (p *Provider) inNamespace() string {
	if p.target.namespace == "" {
		return ""
	}
	return fmt.Sprintf(" in namespace %q", p.target.namespace)
}

func (i identity) describe() string {
	text := ""
	if policies := list(append(i.Policies, i.OfEntity...)); policies != "" {
		text = "; policies " + policies
	}
	switch {
	case i.TTL > 0:
		text += "; the token ends in " + inspect.Span(seconds(i.TTL))
	case i.Expires == nil:
		text += "; the token does not expire"
	}
	return text
}
