package vault

import (
	"context"
	"fmt"
	"net/http"
)

// denied explains a 403 that a new token did not help.
func (s *session) denied(ctx context.Context, token *lease, r *refusal) error {
	s.engine.Store(nil) // ask again next time: another engine may have other policies
	if !s.accepted(ctx, token, r.answer) {
		return denied("Vault authentication failed: "+r.answer.statusText(), s.login.cure())
	}
	summary := "permission denied at path " + s.target.path
	if r.engine != nil && !r.guessed {
		return denied(summary, "add to the token's policy: "+stanza(*r.engine))
	}
	likely := s.candidates()[0]
	fix := "add to the token's policy: " + stanza(likely)
	if likely.v2 && s.target.version == 0 {
		likely.v2 = false
		fix += ", or for KV version 1: " + stanza(likely)
	}
	// Vault says 403 of a mount that is not there, too.
	return denied(summary, fix+"; or no engine is mounted there: see `vault secrets list`")
}

func stanza(e engine) string {
	return fmt.Sprintf(`path %q { capabilities = ["read"] }`, e.apiPath())
}

// accepted reports whether Vault takes the token, and so a 403, r, is a matter of
// policies. Vault answers both alike; looking the token up tells them apart, once
// for each token.
func (s *session) accepted(ctx context.Context, token *lease, r answer) bool {
	if s.checked == token {
		return s.valid
	}
	s.checked, s.valid = token, policyMissing(r) || r.page()
	a, err := s.try(ctx, lookupSelf(token))
	switch {
	case err != nil: // r has to do
	case a.status == http.StatusOK:
		s.valid = true
	case a.status == http.StatusForbidden && !a.page():
		s.valid = policyMissing(a)
	}
	return s.valid
}

func lookupSelf(token *lease) request { return request{path: "auth/token/lookup-self", token: token} }

// policyMissing reads the wording of a 403. A token that is accepted and has no
// policy for the path gets "1 error occurred: * permission denied"; one that is
// not gets "permission denied", newer Vaults add "invalid token". The policy named
// default, which most tokens have, permits lookup-self, so that this is rarely
// what decides.
func policyMissing(a answer) bool {
	return a.says("1 error occurred") && !a.says("invalid token") || a.says("preflight")
}

// loginFailed is a login that Vault answered with a no.
func (s *session) loginFailed(m method, a answer) error {
	failed := "Vault authentication failed: "
	switch {
	case a.page(), a.says("HTTP request to an HTTPS server"):
		return s.unexpected(a, engine{})
	case a.says("namespace not found"):
		return s.noNamespace()
	case a.status == http.StatusNotFound:
		return badConfig(failed+"no auth method is mounted at auth/"+m.mount,
			"see the mounts with `vault auth list` and set MLFLOW_VAULT_AUTH_MOUNT")
	case a.status == http.StatusBadRequest, a.status == http.StatusUnauthorized:
		return denied(failed+a.statusText(), m.cure)
	case a.status == http.StatusForbidden:
		return denied(failed+a.statusText(), m.cure+"; or no auth method is mounted at auth/"+m.mount+
			", see `vault auth list` and MLFLOW_VAULT_AUTH_MOUNT")
	case a.status >= 400 && a.status < 500:
		return badConfig(failed+a.statusText(), "check MLFLOW_VAULT_AUTH_MOUNT with `vault auth list`")
	}
	return unavailable(failed+a.statusText(), "check that VAULT_ADDR is Vault's own address")
}
