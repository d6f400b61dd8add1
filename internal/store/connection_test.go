package store_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

func TestMain(m *testing.M) { os.Exit(canary.Net(m).Run()) }

// saying answers every request with a text.
func saying(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

// patience is for what has to happen, on the slowest of machines.
const patience = 30 * time.Second

// asked sends a request with a credential, and reads the answer to its end. A peer that
// speaks first may have spoilt it.
func asked(ctx context.Context, t *testing.T, rt http.RoundTripper, method, address, credential string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+credential)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return
	}
	if resp.Request != req || req.Close || req.Context() != ctx {
		t.Error("the response does not refer to the caller's request, or that was changed")
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// What a peer sends besides its answer is read by nobody, and so printed by nobody.
func TestF1F2F3WhatAPeerSendsUnaskedIsNotPrinted(t *testing.T) {
	t.Parallel()
	type c struct {
		surplus faults.Surplus
		method  string
	}
	cases := []c{{faults.AfterHEAD, http.MethodHead}}
	for _, s := range faults.Surpluses() {
		cases = append(cases, c{s, http.MethodGet})
	}
	for link, start := range faults.Links {
		for _, c := range cases {
			t.Run(link+", "+c.surplus.Name, func(t *testing.T) {
				t.Parallel()
				secret, credential := canary.New(), canary.New()
				peer, err := start(saying(secret), c.surplus, secret)
				if err != nil {
					t.Fatal(err)
				}
				defer peer.Close()
				rt := store.NewSingle(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: peer.Roots()}})
				for range 10 {
					asked(faults.Hesitate(t.Context()), t, rt, c.method, peer.URL, credential)
				}
				if !peer.Left(patience) {
					t.Error("a connection was kept")
				}
				canary.Absent(t, "what net/http prints", canary.Printed(), secret, credential)
			})
		}
	}
}
