package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// service is a provider: it reads the secret from a service of the house, which
// answers GET with the value to whoever has its token.
type service struct {
	url, token string
	client     *http.Client
}

func newService(url, token string, client *http.Client) *service {
	stay := *client
	// The token is for this service alone, wherever an answer would like to lead.
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &service{url: url, token: token, client: &stay}
}

// Name is in logs, and so is Key, which says which secret.
func (*service) Name() string  { return "service" }
func (s *service) Key() string { return "service:" + s.url }

// Fetch reads the secret, every time: the cache is somebody else's business.
func (s *service) Fetch(ctx context.Context) (secretsauth.Secret, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return secretsauth.Secret{}, s.failed(secretsauth.ErrConfig, err, "export SERVICE_URL=https://secrets.company.com/mlflow")
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	// A connection that net/http keeps goes on being read, and what comes unasked is
	// printed through the standard logger: an answer sent twice, with the secret in it.
	req.Close = true
	resp, err := s.client.Do(req)
	if err != nil {
		return secretsauth.Secret{}, s.failed(secretsauth.ErrUnavailable, err, "see whether the service runs")
	}
	defer func() { _ = resp.Body.Close() }()
	// The answer's text is not repeated: it may be anything, the secret too.
	said := fmt.Errorf("it answered %d", resp.StatusCode)
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return secretsauth.Secret{}, s.failed(secretsauth.ErrNotFound, said, "store the secret first")
	case http.StatusUnauthorized, http.StatusForbidden:
		return secretsauth.Secret{}, s.failed(secretsauth.ErrDenied, said, "export SERVICE_TOKEN with one that may read the secret")
	default:
		return secretsauth.Secret{}, s.failed(secretsauth.ErrUnavailable, said, "see what the service's log says")
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return secretsauth.Secret{}, s.failed(secretsauth.ErrUnavailable, err, "see whether the service runs")
	case len(raw) > maxAnswer:
		return secretsauth.Secret{}, s.failed(secretsauth.ErrInvalidSecret, errors.New("it is too long"), "store a shorter one")
	}
	return secretsauth.ParseSecret(raw)
}

const maxAnswer = 64 << 10

// failed is an error by the contract: the kind, which the cache goes by, the cause,
// and what to do.
func (s *service) failed(kind, cause error, fix string) error {
	return &secretsauth.Error{Provider: s.Name(), Key: s.Key(), Kind: kind, Cause: cause, Fix: fix}
}
