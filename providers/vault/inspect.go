package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

var _ inspect.Provider = (*Provider)(nil)

// Inspect follows a Fetch step by step. Each look is a session of its own; a
// token from a login and the engine stay with the Provider, so that the steps
// share them with each other and with Fetch.
func (p *Provider) Inspect(inspect.Options) inspect.Store {
	return inspect.Store{
		Address:   p.target.address,
		Transport: p.transport(),
		Steps: []inspect.Step{
			{ID: "store.health", Look: p.lookAtHealth},
			{ID: "store.auth", Look: p.lookAtLogin},
			{ID: "store.engine", Look: p.lookAtEngine},
			{ID: "store.secret", Look: p.lookAtSecret},
		},
	}
}

// transport is what sends the requests, or nil if it is another kind.
func (p *Provider) transport() *http.Transport {
	g, ok := p.client.CloneConfig().HttpClient.Transport.(guard)
	if !ok {
		return nil
	}
	t, _ := g.base.Base().(*http.Transport)
	return t
}

func (p *Provider) lookAtEngine(ctx context.Context) inspect.Finding {
	s := p.newSession()
	var e *engine
	err := s.withToken(ctx, func(token *lease) (err error) {
		e, err = s.discover(ctx, token)
		return err
	})
	switch {
	case err != nil:
		return inspect.Failed("no engine to read from", p.named(err))
	case e == nil:
		return s.untold(ctx)
	}
	s.engine.Store(e) // so that the read need not ask again
	return inspect.Passed(e.describe())
}

// untold is for a Vault that does not say what is mounted: of a mount that is not
// there it says the same as of one that the token may not use. A read tells more,
// to a token that may read.
func (s *session) untold(ctx context.Context) inspect.Finding {
	token, err := s.login.token(ctx, s, nil)
	if err != nil {
		return inspect.Failed("no engine to read from", s.named(err))
	}
	_, found, err := s.guess(ctx, token)
	if err == nil {
		return inspect.Passed(s.last.engine.describe() + ": so says the read, for Vault does not")
	}
	f := inspect.Warned("Vault does not say what is mounted at the beginning of "+s.target.path+"; the read decides",
		"nothing is, or the token has no right there, or something in front of Vault bars sys/internal/ui/mounts",
		"see the mounts with `vault secrets list`, and correct MLFLOW_VAULT_SECRET_PATH if it is none of them")
	if found == noMount {
		f = inspect.Failed("no engine to read from", s.named(err))
	}
	return s.withMounts(ctx, token, f)
}

func (p *Provider) lookAtSecret(ctx context.Context) inspect.Finding {
	s := p.newSession()
	secret, err := s.fetch(ctx)
	switch {
	case err == nil:
		f := inspect.Passed(s.last.describe())
		f.Secret = secret
		return f
	case errors.Is(err, secretsauth.ErrInvalidSecret):
		f := inspect.Passed(s.last.describe())
		f.Invalid = p.named(err)
		return f
	}
	f := inspect.Failed("cannot read "+p.target.path, p.named(err))
	switch {
	case errors.Is(err, secretsauth.ErrNotFound):
		return s.withNeighbours(ctx, f)
	case errors.Is(err, secretsauth.ErrDenied):
		return s.withMisspelling(ctx, f)
	}
	return f
}

// describe is "secret/ is KV version 2".
func (e engine) describe() string {
	version := 1
	if e.v2 {
		version = 2
	}
	return fmt.Sprintf("%s/ is KV version %d", e.mount, version)
}

// describe is "read secret/mlflow/auth (version 3, 2 days old)".
func (r reading) describe() string {
	text := "read " + r.engine.cliPath()
	if !r.engine.v2 {
		return text + " (KV version 1)"
	}
	m := r.metadata
	text += fmt.Sprintf(" (version %d", m.Version)
	if at := m.created(); !at.IsZero() {
		text += ", " + inspect.Span(time.Since(at)) + " old"
	}
	if at := m.deletion(); !at.IsZero() {
		text += ", to be deleted in " + inspect.Span(time.Until(at))
	}
	return text + ")"
}
