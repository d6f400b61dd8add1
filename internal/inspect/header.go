package inspect

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// Header is what a request to u would carry, made by a transport as cfg and p make
// it: nothing is sent. An error is the transport's, with which it would refuse to
// send.
func Header(ctx context.Context, p secretsauth.Provider, cfg secretsauth.Config, u *url.URL) (http.Header, error) {
	var sent http.Header
	cfg.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
		sent = req.Header
		return nil, errNotSent
	})
	t, err := secretsauth.NewTransport(p, cfg)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if _, err = t.RoundTrip(req); !errors.Is(err, errNotSent) { //nolint:bodyclose // there is no response
		return nil, err
	}
	return sent, nil
}

var errNotSent = errors.New("not sent")

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
