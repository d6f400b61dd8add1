package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// health is what sys/health says.
type health struct {
	status             int
	Initialized        *bool  `json:"initialized"` // nil: it is not Vault that answered
	Sealed             bool   `json:"sealed"`
	Standby            bool   `json:"standby"`
	PerformanceStandby bool   `json:"performance_standby"`
	RecoveryMode       string `json:"replication_dr_mode"`
	Version            string `json:"version"`
}

// What sys/health has statuses of its own for.
const (
	statusRecovery    = 472 // a secondary for disaster recovery
	statusPerformance = 473 // a performance standby
	statusCutOff      = 474 // a standby that does not reach the active node
)

// health asks sys/health, once and without a token.
func (s *session) health(ctx context.Context) (health, answer, error) {
	a, err := s.try(ctx, request{path: "sys/health", root: true})
	if err != nil {
		return health{}, a, err
	}
	h := health{status: a.status}
	if json.Unmarshal(a.body, &h) != nil {
		h.Initialized = nil
	}
	return h, a, nil
}

const (
	sealed = "Vault is sealed"
	unseal = "run `vault operator unseal`"
)

// unready is why Vault, if it is one, answers nothing at all, or "".
func (h health) unready() (summary, fix string) {
	switch {
	case !*h.Initialized:
		return "Vault is not initialised", "run `vault operator init`"
	case h.Sealed:
		return sealed, unseal
	}
	return "", ""
}

const toActive = "set VAULT_ADDR to the active node or to the load balancer"

// ailmentTimeout is short: the read has failed already, and this only says why.
const ailmentTimeout = 2 * time.Second

// ailment is why Vault does not work, as far as sys/health tells.
func (s *session) ailment(ctx context.Context) (summary, fix string) {
	ctx, cancel := context.WithTimeout(ctx, ailmentTimeout)
	defer cancel()
	h, _, err := s.health(ctx)
	if err != nil || h.Initialized == nil {
		return "", ""
	}
	if summary, fix = h.unready(); summary == "" && h.Standby {
		return "Vault at " + s.target.address + " is a standby node and does not reach the active one", toActive
	}
	return summary, fix
}

// lookAtHealth never fails where a read may work: sys/health may be barred by
// what stands in front of Vault.
func (p *Provider) lookAtHealth(ctx context.Context) inspect.Finding {
	s := p.newSession()
	h, a, err := s.health(ctx)
	switch {
	case errors.Is(err, errNotVault):
		return strange(errNotVault.Error())
	case err != nil:
		return inspect.Failed("no answer from Vault", p.named(s.failed(ctx, answer{}, err)))
	case a.says("HTTP request to an HTTPS server"):
		return inspect.Failed("no answer from Vault", p.named(s.unexpected(a, engine{})))
	case h.Initialized == nil && a.page():
		return strange(a.statusText() + " with a web page")
	case h.Initialized == nil:
		return strange(a.statusText())
	}
	if summary, fix := h.unready(); summary != "" {
		return inspect.Broken(summary, p.target.address+" answers nothing else in that state", fix)
	}
	return h.role(p.target.address)
}

func strange(what string) inspect.Finding {
	return inspect.Warned("sys/health does not answer as Vault's does", what,
		"check that VAULT_ADDR is Vault's own address, and not that of a page or proxy in front of it")
}

// role is what kind of node it is that answers.
func (h health) role(address string) inspect.Finding {
	summary := "initialised, unsealed" + h.version()
	switch {
	case h.status == statusRecovery || h.RecoveryMode == "secondary":
		return inspect.Warned(summary+", a disaster recovery secondary",
			address+" answers no reads until it is promoted", "set VAULT_ADDR to the primary cluster or to the load balancer")
	case h.status == statusCutOff:
		return inspect.Warned(summary+", a standby node", address+" does not reach the active node", toActive)
	case h.status == statusPerformance || h.PerformanceStandby:
		return inspect.Warned(summary+", a performance standby",
			address+" reads by itself, may be a moment behind after a rotation, and forwards logins to the active node", toActive)
	case h.Standby || h.status == http.StatusTooManyRequests:
		return inspect.Warned(summary+", a standby node",
			address+" forwards requests to the active node, or answers with redirects, which are not followed", toActive)
	}
	return inspect.Passed(summary)
}

var looksLikeVersion = regexp.MustCompile(`^v?\d{1,4}(\.\d{1,6}){1,3}([-+][0-9A-Za-z.+-]{1,24})?$`)

// version is Vault's, if it looks like one: it is a text from elsewhere.
func (h health) version() string {
	if !looksLikeVersion.MatchString(h.Version) {
		return ""
	}
	return fmt.Sprintf(", version %q", h.Version)
}
