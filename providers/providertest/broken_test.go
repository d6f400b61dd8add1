package providertest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/providertest"
)

func TestMain(m *testing.M) { os.Exit(canary.Net(m).Run()) }

// broken are providers that break their contract in one way each, and the
// sub-test that must notice.
var broken = map[string]struct {
	fetch func(m *memory, ctx context.Context) (secretsauth.Secret, error)
	finds string
}{
	"an error without a sentinel": {func(m *memory, ctx context.Context) (secretsauth.Secret, error) {
		s, err := m.Fetch(ctx)
		if err != nil {
			return s, errors.New("no")
		}
		return s, nil
	}, "missing"},
	"the secret in an error": {func(m *memory, ctx context.Context) (secretsauth.Secret, error) {
		s, err := m.Fetch(ctx)
		if errors.Is(err, secretsauth.ErrDenied) {
			return s, fmt.Errorf("%w: %s", err, m.value)
		}
		return s, err
	}, "denied"},
	"a cache of its own": {func(m *memory, ctx context.Context) (secretsauth.Secret, error) {
		if m.kept.IsZero() {
			s, err := m.Fetch(ctx)
			m.kept = s
			return s, err
		}
		return m.kept, nil
	}, "a_rotation_between_two_reads"},
	"nothing instead of an error": {func(m *memory, ctx context.Context) (secretsauth.Secret, error) {
		s, err := m.Fetch(ctx)
		if errors.Is(err, secretsauth.ErrNotFound) {
			return secretsauth.Secret{}, nil
		}
		return s, err
	}, "missing"},
	"another value": {func(m *memory, ctx context.Context) (secretsauth.Secret, error) {
		s, err := m.Fetch(ctx)
		if token, ok := s.Token(); ok {
			return secretsauth.NewToken(strings.ToLower(token)), err
		}
		return s, err
	}, "token"},
	aRedirectFollowed:                   {nil, "a_redirect_to_another_host"},
	"F2 a connection that is kept":      {nil, "an_answer_sent_twice"},
	"F2 kept, and said on it later":     {nil, "a_second_answer_half_a_second_later"},
	"F2 kept, and the request is on it": {nil, "the_request_after_the_answer"},
	"F3 kept, with a body after 204":    {nil, "a_body_after_204"},
}

const aRedirectFollowed = "a redirect followed"

// follower is reached by HTTP, follows redirects and keeps its connections. Of what goes wrong it says no more
// than that something did, as this module's providers do.
func follower(t *testing.T, client *http.Client) providertest.Fixture {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	m := &memory{}
	f := m.fixture()
	f.NoHTTP = false
	f.Provider = secretsauth.ProviderFunc(func(ctx context.Context) (secretsauth.Secret, error) {
		down := &secretsauth.Error{Kind: secretsauth.ErrUnavailable, Summary: "the store is down"}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			return secretsauth.Secret{}, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return secretsauth.Secret{}, down
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return secretsauth.Secret{}, down
		}
		return m.Fetch(ctx)
	})
	return f
}

type brokenProvider struct {
	*memory
	fetch func(m *memory, ctx context.Context) (secretsauth.Secret, error)
}

func (p brokenProvider) Fetch(ctx context.Context) (secretsauth.Secret, error) {
	return p.fetch(p.memory, ctx)
}

const brokenVariable = "PROVIDERTEST_BROKEN"

// TestBroken is for the processes that TestTheSuiteNotices starts.
func TestBroken(t *testing.T) {
	b, ok := broken[os.Getenv(brokenVariable)]
	if !ok {
		t.Skip("run by TestTheSuiteNotices")
	}
	if b.fetch == nil {
		providertest.Run(t, follower)
		return
	}
	providertest.Run(t, func(*testing.T, *http.Client) providertest.Fixture {
		m := &memory{}
		f := m.fixture()
		f.Provider = brokenProvider{m, b.fetch}
		return f
	})
}

func TestTheSuiteNotices(t *testing.T) {
	t.Parallel()
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBroken$")
			cmd.Env = append(os.Environ(), brokenVariable+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestBroken/"+b.finds+" ") {
				t.Errorf("the suite passes it, or fails elsewhere than in %s:\n%s", b.finds, out)
			}
		})
	}
}
