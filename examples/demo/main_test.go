package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"strings"
	"testing"
)

func TestDemo(t *testing.T) {
	t.Parallel()
	const password, next = "first-password-7", "second-password-8"
	var out bytes.Buffer
	if err := show(t.Context(), &out, password, next); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	text := out.String()
	if strings.Contains(text, "✗") || strings.Count(text, "✓") < 12 {
		t.Errorf("not everything happened:\n%s", text)
	}
	for _, secret := range []string{password, next, vaultToken} {
		if strings.Contains(text, secret) {
			t.Errorf("the output shows %q", secret)
		}
		if strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(user+":"+secret))) {
			t.Errorf("the output shows %q in base64", secret)
		}
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
