package cli

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/doctor"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/loopback"
	"github.com/mlflow-secrets-auth/secretsauth/providers"
)

// disclosure gives the credential to other programs. Nobody watches what becomes of
// it there, so it is stricter than the library about who gets it.
type disclosure struct {
	config    secretsauth.Config
	name      string // of the header
	hosts     *secretsauth.HostMatcher
	plainHTTP bool
	store     *secretsauth.Cache // the secret is read once
}

// newDisclosure reads the environment.
func newDisclosure(ctx context.Context, plainHTTP bool) (*disclosure, error) {
	if _, set := os.LookupEnv("MLFLOW_SECRETS_ALLOWED_HOSTS"); !set {
		return nil, refusal("MLFLOW_SECRETS_ALLOWED_HOSTS is not set, which would mean every host",
			"export MLFLOW_SECRETS_ALLOWED_HOSTS=mlflow.company.com, with the host of your tracking server")
	}
	d := &disclosure{plainHTTP: plainHTTP}
	var err error
	if d.config, err = secretsauth.ConfigFromEnv(); err != nil {
		return nil, err
	}
	if d.hosts, err = secretsauth.CompileHosts(d.config.AllowedHosts); err != nil {
		return nil, err
	}
	if d.name = "Authorization"; d.config.HeaderName != "" {
		d.name = http.CanonicalHeaderKey(d.config.HeaderName)
	}
	p, err := providers.FromEnv(ctx)
	if err != nil {
		return nil, err
	}
	d.store = secretsauth.NewCache(p, d.config)
	return d, nil
}

// recipient is the server at an address, if it may have the credential. In errors
// the address is called by its name: it may hold a password.
func (d *disclosure) recipient(name, address string) (*url.URL, error) {
	u, why := doctor.ParseServer(address)
	if why != nil {
		return nil, refusal(name+" cannot be used: "+why.Cause, why.Fix)
	}
	decision := d.hosts.Explain(u)
	where := fmt.Sprintf("%s (%s)", inspect.Printable(u.Host), name)
	switch {
	case !decision.Allowed && decision.Host == "":
		return nil, refusal(where+" does not get the credential: "+decision.Reason, "write the host as DNS has it, in ASCII")
	case !decision.Allowed:
		return nil, refusal(where+" does not get the credential: "+decision.Reason,
			"if it is the tracking server: export MLFLOW_SECRETS_ALLOWED_HOSTS='"+strings.Join(append(d.config.AllowedHosts, decision.Host), ",")+"'")
	case u.Scheme == "http" && !d.plainHTTP && !loopback.Host(decision.Host):
		return nil, refusal(where+" is asked over plain http, where the credential could be read on the way",
			"use the https URL or, if the network in between is trusted, --insecure-plain-http-upstream")
	}
	return u, nil
}

// headers are what a request to u carries, the one that d.name names first.
func (d *disclosure) headers(ctx context.Context, u *url.URL) ([]header, error) {
	sent, err := inspect.Header(ctx, d.store, d.config, u)
	if err != nil {
		return nil, err
	}
	var all []header
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		for _, value := range sent[name] {
			all = append(all, header{name, value})
		}
	}
	if len(all) == 0 {
		return nil, refusal("the library gives no credential to "+inspect.Printable(u.Host), "mlflow-secrets-auth hosts "+u.Scheme+"://"+inspect.Printable(u.Host))
	}
	slices.SortStableFunc(all, func(a, b header) int {
		switch d.name {
		case a.name:
			return -1
		case b.name:
			return 1
		}
		return 0
	})
	return all, nil
}

// header is one line of a request's head.
type header struct{ name, value string }
