// Command servers talks to several MLflow servers, each with a credential of its
// own, through one http.Client:
//
//	export VAULT_ADDR=https://vault.company.com VAULT_TOKEN=…
//	go run . https://mlflow.research.company.com=secret/research/mlflow \
//	         https://mlflow.production.company.com=secret/production/mlflow
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

func main() {
	if err := run(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: servers URL=PATH…, such as https://mlflow.company.com=secret/mlflow/auth")
	}
	var all router
	var urls []string
	for _, arg := range args {
		url, path, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is not URL=PATH", arg)
		}
		store, err := vault.New(vault.Config{Address: os.Getenv("VAULT_ADDR"), Token: os.Getenv("VAULT_TOKEN"), SecretPath: path})
		if err != nil {
			return err
		}
		if err := all.add(url, store); err != nil {
			return err
		}
		urls = append(urls, url)
	}
	client := &http.Client{Transport: &all, Timeout: 30 * time.Second}
	for _, url := range urls {
		status, err := list(ctx, client, url)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintln(out, url, status)
	}
	return nil
}

// list asks one server for its experiments.
func list(ctx context.Context, client *http.Client, url string) (status string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/2.0/mlflow/experiments/search?max_results=5", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	return resp.Status, resp.Body.Close()
}

// router passes every request on to the transport of its server. It only chooses:
// each transport has an allow-list of one server and decides for itself, so that
// after a mistake here a request may lack its credential, but never carries another
// server's.
// A redirect from one server to another carries neither's.
type router struct {
	base    http.RoundTripper // nil: http.DefaultTransport
	servers []server
}

type server struct {
	hosts     *secretsauth.HostMatcher
	transport *secretsauth.Transport
}

// add gives one server, such as "https://mlflow.company.com", its own store.
func (r *router) add(url string, store secretsauth.Provider) error {
	hosts, err := secretsauth.CompileHosts([]string{url}) // scheme, host and port
	if err != nil {
		return err
	}
	transport, err := secretsauth.NewTransport(store, secretsauth.Config{AllowedHosts: []string{url}, Base: r.base})
	if err != nil {
		return err
	}
	r.servers = append(r.servers, server{hosts, transport})
	return nil
}

// RoundTrip sends what is for no server of ours as it is.
func (r *router) RoundTrip(req *http.Request) (*http.Response, error) {
	for _, s := range r.servers {
		if s.hosts.Match(req.URL) {
			return s.transport.RoundTrip(req)
		}
	}
	if r.base != nil {
		return r.base.RoundTrip(req)
	}
	return http.DefaultTransport.RoundTrip(req)
}
