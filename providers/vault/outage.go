package vault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
)

// interrupted is the end of the caller's context.
func (s *session) interrupted(ctx context.Context) error {
	return &secretsauth.Error{
		Kind:    secretsauth.ErrUnavailable,
		Summary: fmt.Sprintf("no answer from Vault at %s in time", s.target.address),
		Fix:     "check that it can be reached: `curl \"$VAULT_ADDR/v1/sys/health\"`",
		Cause:   ctx.Err(),
	}
}

// failed is the error of a request that was given up: err, or an answer that may
// be another one later.
func (s *session) failed(ctx context.Context, a answer, err error) error {
	if ctx.Err() != nil {
		return s.interrupted(ctx)
	}
	if err != nil {
		return s.unreachable(err)
	}
	e := secretsauth.Error{
		Kind:    secretsauth.ErrUnavailable,
		Summary: fmt.Sprintf("Vault at %s answered %s", s.target.address, a.statusText()),
		Fix:     "look at `vault status` and the server's log",
		Wait:    httpanswer.RetryAfter(a.header, time.Now()),
	}
	switch {
	case a.status == http.StatusTooManyRequests:
		e.Summary = fmt.Sprintf("Vault at %s limits the rate: %s", s.target.address, a.statusText())
		e.Fix = "raise MLFLOW_VAULT_TTL_SEC, or the quota: `vault list sys/quotas/rate-limit`"
	case a.status < 500:
	case a.says("Vault is sealed"):
		e.Summary, e.Fix = sealed, unseal
	default:
		if summary, fix := s.ailment(ctx); summary != "" {
			e.Summary, e.Fix = summary, fix
		}
	}
	return &e
}

// unreachable is the error of a request without an answer.
func (s *session) unreachable(err error) error {
	if r, ok := errors.AsType[*redirect](err); ok {
		return s.redirected(r)
	}
	e := secretsauth.Error{
		Kind:    secretsauth.ErrUnavailable,
		Summary: "cannot reach Vault at " + s.target.address,
		Fix:     "check VAULT_ADDR and the network: `curl \"$VAULT_ADDR/v1/sys/health\"`",
		Cause:   harmless(err),
	}
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, errNotVault):
		e.Summary = "Vault at " + s.target.address + " gave no usable answer"
	case errors.Is(err, http.ErrSchemeMismatch):
		e.Kind, e.Cause = secretsauth.ErrConfig, nil
		e.Summary, e.Fix = "VAULT_ADDR begins with https://, but the server speaks plain http", "export VAULT_ADDR with http://"
	case certificate:
		e.Summary = "the certificate of Vault at " + s.target.address + " is not trusted"
		e.Fix = "set VAULT_CACERT to the certificate of its authority"
	}
	return &e
}

// redirected refuses to follow (S123, S124).
func (s *session) redirected(r *redirect) error {
	answered := fmt.Sprintf("Vault at %s answered with a redirect (%d %s)", s.target.address, r.status, http.StatusText(r.status))
	fix := "set VAULT_ADDR to the active node or to the load balancer"
	switch {
	case r.to == nil:
		return unavailable(answered+" to nowhere, which is not followed", fix)
	case r.from.Hostname() == r.to.Hostname() && r.from.Scheme == "http" && r.to.Scheme == "https":
		return badConfig(answered+" to https, which is not followed", "export VAULT_ADDR with https://")
	case r.from.Scheme == "https" && r.to.Scheme == "http":
		return unavailable(fmt.Sprintf("%s to plain http on %.100q, which is refused", answered, r.to.Host), fix+", with https://")
	case r.from.Host != r.to.Host:
		return unavailable(fmt.Sprintf("%s to another host, %.100q, which is refused: the token was not sent there", answered, r.to.Host), fix)
	}
	return unavailable(answered+", which is not followed", "check that VAULT_ADDR is Vault's own address, without a login page in front of it")
}

// harmless is the part of err that can be shown.
func harmless(err error) error {
	if errors.Is(err, errNotVault) {
		return errNotVault
	}
	return netcause.Of(err)
}
