package doctor

import (
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// Whatever the tracking server, or what stands in front of it, sends besides its
// answers to the doctor. What stores send to it is tested with the stores.
func TestF1F3WhatATrackingServerSendsUnaskedIsNotPrinted(t *testing.T) {
	t.Parallel()
	faults.EverySurplus(t, []string{"TCP"}, faults.Surpluses(), func(stage *faults.Stage) {
		stage.Parallel()
		m := mlflow{version: "3.18.0", token: canary.New()}
		peer := stage.Start(m, m.token)
		results := dryRun(faults.Hesitate(stage.Context()), stage.T, peer.URL, m.token, "127.0.0.1")
		if r := results["mlflow.authenticated"]; !stage.Surplus.Spoils() && r.Status != inspect.Pass {
			stage.Errorf("%+v", r.Finding)
		}
	})
}
