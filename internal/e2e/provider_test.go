//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

// TestProviderCalledDirectly reads without a transport, in every way to log in
// and in every form of the path.
func TestProviderCalledDirectly(t *testing.T) {
	bao := newOpenBao(t)
	password := canary.New()
	for _, s := range []secret{
		{bao, "secret", "mlflow/auth", 2, byToken},
		{bao, "kv1", "mlflow/auth", 1, byToken},
		{bao, "team/kv", "mlflow/auth", 2, byToken},
	} {
		bao.mount(s.mount, s.version)
		putPassword(s, "user", password)
		paths := []string{s.path()}
		if s.version == 2 {
			paths = append(paths, s.api())
		}
		for _, path := range paths {
			cfg := vault.Config{Address: bao.url, SecretPath: path, Token: bao.token(s.reader())}
			t.Run(fmt.Sprintf("%s, KV version %d", path, s.version), func(t *testing.T) {
				got, err := fetch(t, cfg)
				if err != nil || !got.Equal(secretsauth.NewUserPassword("user", password)) {
					t.Errorf("not the secret that was stored; %v", err)
				}
			})
		}
	}

	s := secret{bao, "secret", "mlflow/auth", 2, byAppRole}
	reader := s.config()
	root := vault.Config{Address: bao.url, SecretPath: s.path(), Token: bao.root}
	with := func(cfg vault.Config, change func(*vault.Config)) vault.Config {
		change(&cfg)
		return cfg
	}
	t.Run("AppRole", func(t *testing.T) {
		got, err := fetch(t, reader)
		if err != nil || !got.Equal(secretsauth.NewUserPassword("user", password)) {
			t.Errorf("not the secret that was stored; %v", err)
		}
	})

	// Versions: 1 destroyed, 2 deleted, 3 there.
	putPassword(s, "user", canary.New())
	putPassword(s, "user", password)
	bao.call(http.MethodPut, "secret/destroy/mlflow/auth", map[string][]int{"versions": {1}}, nil)
	bao.call(http.MethodPost, "secret/delete/mlflow/auth", map[string][]int{"versions": {2}}, nil)
	t.Run("a pinned version", func(t *testing.T) {
		if _, err := fetch(t, with(reader, func(c *vault.Config) { c.SecretVersion = 3 })); err != nil {
			t.Error(err)
		}
	})

	for _, test := range []struct {
		name string
		cfg  vault.Config
		kind error
		says string
	}{
		{"missing path", with(root, func(c *vault.Config) { c.SecretPath = "secret/wrong/path" }), secretsauth.ErrNotFound, "secret not found at path: secret/wrong/path"},
		{"missing mount", with(root, func(c *vault.Config) { c.SecretPath = "nowhere/mlflow/auth" }), secretsauth.ErrNotFound, "no secrets engine"},
		{"destroyed version", with(reader, func(c *vault.Config) { c.SecretVersion = 1 }), secretsauth.ErrNotFound, "destroyed"},
		{"deleted version", with(reader, func(c *vault.Config) { c.SecretVersion = 2 }), secretsauth.ErrNotFound, "undelete"},
		{"denied path", with(reader, func(c *vault.Config) { c.SecretPath = "secret/another/team" }), secretsauth.ErrDenied, `path "secret/data/another/team" { capabilities = ["read"] }`},
		{"bad token", with(root, func(c *vault.Config) { c.Token = canary.New() }), secretsauth.ErrDenied, "Vault authentication failed: 403 Forbidden"},
		{"bad secret id", with(reader, func(c *vault.Config) { c.SecretID = canary.New() }), secretsauth.ErrDenied, "Vault authentication failed: 400 Bad Request"},
	} {
		t.Run(test.name, func(t *testing.T) { wantError(t, test.cfg, test.kind, test.says, password) })
	}

	t.Run("sealed", func(t *testing.T) {
		bao.call(http.MethodPut, "sys/seal", nil, nil)
		wantError(t, root, secretsauth.ErrUnavailable, "Vault is sealed", password)
		if err := bao.unseal(); err != nil {
			t.Fatal(err)
		}
		if _, err := fetch(t, root); err != nil {
			t.Error(err)
		}
	})
}

func fetch(t *testing.T, cfg vault.Config) (secretsauth.Secret, error) {
	t.Helper()
	p, err := vault.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p.Fetch(t.Context())
}

func wantError(t *testing.T, cfg vault.Config, kind error, says, hidden string) {
	t.Helper()
	_, err := fetch(t, cfg)
	if !errors.Is(err, kind) {
		t.Fatalf("%v, want %v", err, kind)
	}
	if text := err.Error(); !strings.Contains(text, says) || !strings.Contains(text, "fix: ") {
		t.Errorf("%q: want %q, and a fix", text, says)
	}
	canary.AbsentFrom(t, "the error", err, hidden)
}
