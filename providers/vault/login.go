package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
)

// login is a way to a Vault token.
type login interface {
	// token returns a token other than rejected, or rejected itself if there is
	// no other.
	token(ctx context.Context, s *session, rejected *lease) (*lease, error)
	// way names it.
	way() string
	// cure is what to do about a token that Vault does not accept.
	cure() string
}

// lease is a token and how long it is good for. A closure holds the token
// because fmt prints what unexported fields hold.
type lease struct {
	reveal func() string
	until  time.Time // zero: not known
}

func newLease(token string, lifetime time.Duration) *lease {
	l := &lease{reveal: func() string { return token }}
	if lifetime > 0 {
		// Nine tenths, so that the token outlives the requests it is used for;
		// by the wall clock, since a suspended machine's tokens age too.
		l.until = time.Now().Add(lifetime * 9 / 10).Round(0)
	}
	return l
}

func (l *lease) good() bool { return l.until.IsZero() || time.Now().Before(l.until) }

// shared logs in by an auth method and keeps the token. Callers that want one at
// the same time wait for one login, each for as long as its context lasts.
type shared struct {
	method method

	mu      sync.Mutex
	current *lease
	flight  *flight
}

// flight is a login under way.
type flight struct {
	done      chan struct{}
	lease     *lease
	err       error
	abandoned bool // by its caller's context, which is no answer for the others
}

func (l *shared) way() string { return l.method.name + " at auth/" + l.method.mount }

func (l *shared) cure() string {
	return "Vault refuses a token fresh from the login: check the role's token_ttl, token_num_uses and token_bound_cidrs"
}

func (l *shared) token(ctx context.Context, s *session, rejected *lease) (*lease, error) {
	for {
		l.mu.Lock()
		if l.current != nil && l.current != rejected && l.current.good() {
			defer l.mu.Unlock()
			return l.current, nil
		}
		f := l.flight
		if f == nil {
			f = &flight{done: make(chan struct{}), abandoned: true}
			l.flight = f
			l.mu.Unlock()
			return l.fly(ctx, s, f)
		}
		l.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, s.interrupted(ctx)
		}
		if !f.abandoned {
			return f.lease, f.err
		}
	}
}

func (l *shared) fly(ctx context.Context, s *session, f *flight) (*lease, error) {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.flight, l.current = nil, f.lease
		close(f.done)
	}()
	f.lease, f.err = s.logIn(ctx, l.method)
	f.abandoned = f.err != nil && ctx.Err() != nil
	return f.lease, f.err
}

// method is an auth method of Vault.
type method struct {
	name  string
	mount string
	// body is made anew for every login: what it is made of may have changed
	// (S127).
	body func() ([]byte, error)
	// cure is what to do if Vault says no.
	cure string
}

func (s *session) logIn(ctx context.Context, m method) (*lease, error) {
	body, err := m.body()
	if err != nil {
		return nil, err
	}
	a, err := s.do(ctx, request{path: "auth/" + m.mount + "/login", body: body})
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, s.loginFailed(m, a)
	}
	var v struct {
		Auth *struct {
			Token       string `json:"client_token"`
			Lease       int64  `json:"lease_duration"`
			Requirement any    `json:"mfa_requirement"`
		} `json:"auth"`
	}
	if json.Unmarshal(a.body, &v) != nil || v.Auth == nil || v.Auth.Token == "" || !isHeaderText(v.Auth.Token) {
		if v.Auth != nil && v.Auth.Requirement != nil {
			return nil, denied("Vault authentication failed: the login asks for a second factor",
				"use a role without MFA")
		}
		return nil, unavailable("Vault's answer to the login holds no token", "check that VAULT_ADDR is Vault's own address")
	}
	return newLease(v.Auth.Token, seconds(v.Auth.Lease)), nil
}

// seconds is n seconds, within what a Duration holds.
func seconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(httpanswer.MaxWait/time.Second))) * time.Second
}
