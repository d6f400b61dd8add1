package providers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
)

// chain asks several stores in turn, at every read from the first on, so that a
// store that is back is used again. A store's secret comes with its own mode and
// TTL.
type chain struct {
	stores []secretsauth.Provider
	log    *slog.Logger
}

// Name lists the stores.
func (c *chain) Name() string {
	names := make([]string, len(c.stores))
	for i, p := range c.stores {
		names[i] = p.Name()
	}
	return strings.Join(names, ",")
}

// Key lists the stores' keys.
func (c *chain) Key() string {
	keys := make([]string, len(c.stores))
	for i, p := range c.stores {
		keys[i] = p.Name()
		if k, ok := p.(secretsauth.Keyed); ok {
			keys[i] = k.Key()
		}
	}
	return strings.Join(keys, ",")
}

// Stores is how many stores one read may have to wait for.
func (c *chain) Stores() int { return len(c.stores) }

// Fetch returns the first secret that a store gives.
func (c *chain) Fetch(ctx context.Context) (secretsauth.Secret, error) {
	var failed []error
	for i, p := range c.stores {
		secret, err := fetch(ctx, p, len(c.stores)-i)
		if err == nil {
			if i > 0 {
				c.log.WarnContext(ctx, fmt.Sprintf("Secret served by %s: %s failed", p.Name(), c.stores[0].Name()),
					"provider", p.Name(), "error", env.Problems(failed...).Error())
			}
			return secret, nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return secretsauth.Secret{}, allFailed(failed)
}

// fetch gives p its share of the time that is left for it and those after it. If p
// panics, as a vendor's client may on an answer that it does not expect, the next store
// is asked.
func fetch(ctx context.Context, p secretsauth.Provider, left int) (_ secretsauth.Secret, err error) {
	defer func() {
		if recover() != nil { // with the secret, perhaps
			err = &secretsauth.Error{Provider: p.Name(), Kind: secretsauth.ErrUnavailable, Summary: "the provider panicked"}
		}
	}()
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(left))
		defer cancel()
	}
	return p.Fetch(ctx)
}

// allFailed wraps every store's own error. It counts as ErrUnavailable if any of
// them does: that store may come back and have the secret.
func allFailed(failed []error) error {
	e := &secretsauth.Error{Summary: "no store has given the secret", Cause: env.Problems(failed...)}
	for _, err := range failed {
		var own *secretsauth.Error
		if !errors.As(err, &own) {
			continue
		}
		if e.Kind == nil {
			e.Kind = own.Kind
		}
		e.Wait = max(e.Wait, own.Wait)
	}
	if e.Kind == nil || errors.Is(e.Cause, secretsauth.ErrUnavailable) {
		e.Kind = secretsauth.ErrUnavailable
	}
	return e
}
