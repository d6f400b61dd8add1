package azure

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// grant is what may be told of a token.
type grant struct {
	source *source
	claims
	until time.Time
}

// claims say who reads, "" where that is not known.
type claims struct {
	Tenant string `json:"tid"`
	Client string `json:"appid"`
	Object string `json:"oid"`
}

// newGrant takes the tenant that was asked for where the token names none.
func newGrant(s *source, tenant string, token azcore.AccessToken) *grant {
	c := claimsOf(token.Token)
	if c.Tenant == "" {
		c.Tenant = shownID(tenant)
	}
	if s.tool != nil {
		c.Client = "" // the program's, which says nothing of who is logged in
	}
	return &grant{s, c, token.ExpiresOn}
}

// claimsOf reads the ids in a token of Microsoft Entra ID, which is a JWT. Another
// tells nothing; of what is no id nothing is kept.
func claimsOf(token string) claims {
	var c claims
	if parts := strings.Split(token, "."); len(parts) == 3 {
		if text, err := base64.RawURLEncoding.DecodeString(parts[1]); err != nil || json.Unmarshal(text, &c) != nil {
			return claims{}
		}
	}
	return claims{shownID(c.Tenant), shownID(c.Client), shownID(c.Object)}
}

// guid is the form of the ids of tenants, applications and identities.
var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// shownID is text, if it is an id and can be shown.
func shownID(text string) string {
	if !guid.MatchString(text) {
		return ""
	}
	return text
}

// describe says who is logged in, by which credential and for how long.
func (g *grant) describe(now time.Time) string {
	var who []string
	for _, one := range [][2]string{{"tenant", g.Tenant}, {"client id", g.Client}, {"object id", g.Object}} {
		if one[1] != "" {
			who = append(who, one[0]+" "+one[1])
		}
	}
	text := "logged in by " + g.source.name
	if len(who) > 0 {
		text += fmt.Sprintf(" (%s)", strings.Join(who, ", "))
	}
	return text + "; its token is good for " + inspect.Span(g.until.Sub(now))
}
