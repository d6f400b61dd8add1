package providers

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// A vendor's client that panics must not keep the stores after it from being asked.
func TestF14AStoreThatPanicsIsPassedOver(t *testing.T) {
	t.Parallel()
	hidden, token := canary.New(), canary.New()
	panics := secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) { panic(hidden) })
	var log canary.Journal
	c := &chain{stores: []secretsauth.Provider{panics, secretsauth.Static(secretsauth.NewToken(token))}, log: slog.New(slog.NewTextHandler(&log, nil))}
	secret, err := c.Fetch(t.Context())
	if err != nil || !secret.Equal(secretsauth.NewToken(token)) {
		t.Error("the next store's secret is not served")
	}
	c.stores = c.stores[:1]
	_, err = c.Fetch(t.Context())
	if !errors.Is(err, secretsauth.ErrUnavailable) {
		t.Errorf("alone: %v", err)
	}
	if err != nil && strings.Contains(err.Error(), hidden) || strings.Contains(log.String(), hidden) {
		t.Error("what was panicked with is told")
	}
}
