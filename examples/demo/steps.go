package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

const (
	user       = "admin"
	vaultToken = "demo-only"
	secretName = "mlflow/auth"
	allowed    = "127.0.0.1"
)

// demo is the stand-ins, and the client that is being equipped.
type demo struct {
	store    *devstack.Vault
	server   *devstack.MLflow
	outsider *devstack.Outsider

	password, next string

	client    tracking
	transport *secretsauth.Transport // once the client is wrapped
	runID     string
}

func start(password, next string) (*demo, error) {
	d := &demo{password: password, next: next}
	var err error
	if d.store, err = devstack.StartVault(vaultToken); err != nil {
		return nil, err
	}
	if d.server, err = devstack.StartMLflow(user, password); err != nil {
		return nil, err
	}
	if d.outsider, err = devstack.StartOutsider(); err != nil {
		return nil, err
	}
	d.store.Write(secretName, credential(password))
	d.client = tracking{http: &http.Client{Timeout: 10 * time.Second}, url: d.server.URL()}
	return d, nil
}

func (d *demo) close() {
	d.outsider.Close()
	d.server.Close()
	d.store.Close()
}

func credential(password string) map[string]string {
	return map[string]string{"username": user, "password": password}
}

func (d *demo) plain(ctx context.Context, r *report) error {
	err := d.client.call(ctx, "experiments/create", map[string]string{"name": "demo"}, &struct{}{})
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		return errors.New("the tracking server did not refuse it")
	}
	r.check(refused.status == http.StatusUnauthorized, "the server refuses it: %d %s, %s",
		refused.status, http.StatusText(refused.status), refused.challenge)
	return nil
}

func (d *demo) wrapped(ctx context.Context, r *report) error {
	store, err := vault.New(vault.Config{
		Address:    d.store.URL(),
		SecretPath: "secret/" + secretName,
		Token:      vaultToken,
		HTTPClient: &http.Client{Transport: http.DefaultTransport}, // no proxy of the environment's
	})
	if err != nil {
		return err
	}
	d.transport, err = secretsauth.NewTransport(store, secretsauth.Config{
		AllowedHosts: []string{allowed},
		Base:         d.client.http.Transport,
	})
	if err != nil {
		return err
	}
	d.client.http.Transport = d.transport
	return d.startRun(ctx, r)
}

func (d *demo) startRun(ctx context.Context, r *report) error {
	var experiment struct {
		ID string `json:"experiment_id"`
	}
	if err := d.client.call(ctx, "experiments/create", map[string]string{"name": "demo"}, &experiment); err != nil {
		return err
	}
	r.check(experiment.ID != "", "experiment \"demo\" created")

	var created struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	err := d.client.call(ctx, "runs/create", map[string]any{
		"experiment_id": experiment.ID, "run_name": "night-shift", "start_time": time.Now().UnixMilli(),
	}, &created)
	if err != nil {
		return err
	}
	d.runID = created.Run.Info.ID
	r.check(d.runID != "", "run \"night-shift\" started")

	err = d.client.call(ctx, "runs/log-batch", map[string]any{
		"run_id": d.runID,
		"params": []map[string]string{{"key": "lr", "value": "0.01"}, {"key": "batch", "value": "64"}},
	}, &struct{}{})
	if err != nil {
		return err
	}
	r.check(d.store.Reads() == 1, "parameters logged; the store was read %s for 3 requests", times(d.store.Reads()))
	return nil
}

func (d *demo) outside(ctx context.Context, r *report) error {
	redirect := d.server.URL() + "/moved?to=" + url.QueryEscape(d.outsider.URL()+"/by-redirect")
	if err := d.client.get(ctx, redirect); err != nil {
		return err
	}
	if err := d.client.get(ctx, d.outsider.URL()+"/directly"); err != nil {
		return err
	}
	received := d.outsider.Received()
	r.check(len(received) == 2, "the client went to %s %s, by a redirect and directly", d.outsider.URL(), times(len(received)))
	for _, got := range received {
		r.check(!d.leaked(got.Header), "%s %s arrived with %s", got.Method, got.Path, authorization(got.Header))
	}
	return nil
}

// leaked looks for the credential under any name.
func (d *demo) leaked(header http.Header) bool {
	for _, values := range header {
		for _, value := range values {
			if strings.Contains(value, "Basic ") || strings.Contains(value, d.password) || strings.Contains(value, d.next) {
				return true
			}
		}
	}
	return header.Get("Authorization") != ""
}

func authorization(header http.Header) string {
	if header.Get("Authorization") == "" {
		return "no Authorization header"
	}
	return "an Authorization header"
}

func (d *demo) counters(_ context.Context, r *report) error {
	s := d.transport.Stats()
	r.value("from the cache", "%d of %d requests (%.1f %%)", s.Hits, s.Hits+s.Misses, 100*s.HitRate())
	r.value("reads of the store", "%d, %d failed", s.Fetches, s.FetchErrors)
	r.value("rejected by the server", "%d, sent again %d", s.Rejections, s.Retries)
	r.value("sent without the credential", "%d", s.Withheld)
	r.check(s.Fetches == 2 && d.store.Reads() == 2, "the store counts %d reads: at the start, and for the rotation", d.store.Reads())
	r.check(s.FetchErrors == 0 && s.StaleServed == 0 && s.Withheld == 2, "no failed read, nothing stale, 2 requests without the credential")
	return nil
}
