package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

func TestMain(m *testing.M) { os.Exit(canary.Net(m).Run()) }

func TestDemo(t *testing.T) {
	t.Parallel()
	password, next := canary.New(), canary.New()
	var out bytes.Buffer
	if err := show(t.Context(), &out, password, next); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	text := out.String()
	if strings.Contains(text, "✗") || strings.Count(text, "✓") < 12 {
		t.Errorf("not everything happened:\n%s", text)
	}
	canary.Absent(t, "the output", text, password, next)
	if strings.Contains(text, vaultToken) {
		t.Error("the output shows the token")
	}
}

func TestDemoThatIsInterruptedFails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if err := run(ctx, &out); err == nil || !strings.Contains(out.String(), "✗") {
		t.Errorf("err = %v\n%s", err, &out)
	}
}
