package devstack

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// issued is what a token stands for.
type issued struct {
	audience string
	expires  time.Time
}

// tokenLifetime is that of a managed identity's tokens.
const tokenLifetime = 24 * time.Hour

// IdentityEndpoint is IDENTITY_ENDPOINT, in a program's environment.
func (v *KeyVault) IdentityEndpoint() string { return v.URL() + "/msi/token" }

// ExpireTokens ends all tokens, before the time that was promised.
func (v *KeyVault) ExpireTokens() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, t := range v.tokens {
		t.expires = time.Now()
	}
}

// Logins is how many tokens an identity was given, "" for the system-assigned one.
func (v *KeyVault) Logins(clientID string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.logins[clientID]
}

// issue is the managed identity endpoint.
func (v *KeyVault) issue(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	clientID, resource := query.Get("client_id"), query.Get("resource")
	refuse := func(status int, message string) {
		answer(w, status, map[string]any{"statusCode": status, "message": message})
	}
	switch {
	case r.Header.Get("X-Identity-Header") != v.header:
		refuse(http.StatusUnauthorized, "Unauthorized")
	case query.Get("api-version") != "2019-08-01" || resource == "":
		refuse(http.StatusBadRequest, "Bad Request")
	case !slices.Contains(v.identities, clientID):
		refuse(http.StatusBadRequest, "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.")
	default:
		token, t := rand.Text(), &issued{resource, time.Now().Add(tokenLifetime)}
		v.mu.Lock()
		v.tokens[token] = t
		v.logins[clientID]++
		v.mu.Unlock()
		answer(w, http.StatusOK, map[string]string{
			"access_token": token, "token_type": "Bearer", "client_id": clientID,
			"resource": resource, "expires_on": strconv.FormatInt(t.expires.Unix(), 10),
		})
	}
}

// distrust is what Key Vault says to a token that it does not accept, or "".
func (v *KeyVault) distrust(token string) string {
	switch t := v.tokens[token]; {
	case token == "":
		return "AKV10000: Request is missing a Bearer or PoP token."
	case t == nil:
		return "AKV10046: Unable to resolve the key used for signature validation."
	case t.audience != keyVaultResource:
		return "AKV10022: Invalid audience. Expected " + keyVaultResource + ", found: " + t.audience + "."
	case !time.Now().Before(t.expires):
		return "Error validating token: IDX10223"
	}
	return ""
}
