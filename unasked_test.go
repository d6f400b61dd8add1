package secretsauth_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
)

// S169: what docs/security.md advises a program to do helps. A connection for each
// request hears nothing that comes after an answer.
func TestF1F3S169AConnectionForEachRequestHearsNothingUnasked(t *testing.T) {
	t.Parallel()
	var after []faults.Surplus
	for _, s := range faults.Surpluses() {
		if !s.SpeaksFirst() {
			after = append(after, s)
		}
	}
	faults.EverySurplus(t, []string{"TCP"}, after, func(stage *faults.Stage) {
		stage.Parallel()
		token := canary.New()
		peer := stage.Start(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.WriteString(w, req.Header.Get("Authorization"))
		}), token)
		base := http.DefaultTransport.(*http.Transport).Clone()
		base.DisableKeepAlives = true
		rt, err := secretsauth.NewTransport(secretsauth.Static(secretsauth.NewToken(token)), secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}, Base: base})
		if err != nil {
			stage.Fatal(err)
		}
		for range 3 {
			req, err := http.NewRequestWithContext(stage.Context(), http.MethodGet, peer.URL, nil)
			if err != nil {
				stage.Fatal(err)
			}
			resp, err := rt.RoundTrip(req)
			if err != nil {
				stage.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
}

// S169: the filter of docs/security.md takes from net/http's line what the peer has sent,
// and leaves the words.
func TestF1S169TheFilterKeepsTheWords(t *testing.T) {
	t.Parallel()
	const said = "not-a-secret-but-said-by-the-peer"
	peer, err := faults.NewPeer(http.NotFoundHandler(), faults.Surpluses()[0], said)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(peer.Close)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, peer.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	keeping := new(http.Transport)
	resp, err := keeping.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if !peer.Left(time.Minute) {
		t.Fatal("net/http has not read what came unasked")
	}
	var printed, filtered bytes.Buffer
	for line := range strings.Lines(canary.Printed()) {
		if strings.Contains(line, "Unsolicited response") {
			printed.WriteString(line)
			_, _ = wordsOnly{&filtered}.Write([]byte(line))
		}
	}
	if !strings.Contains(printed.String(), "404 page not found") {
		t.Fatal("net/http prints no such line any more: what remains may be less than docs/security.md says")
	}
	if text := filtered.String(); strings.Contains(text, "404") || !strings.Contains(text, "Unsolicited response received on idle HTTP channel") || !strings.HasSuffix(text, "…\n") {
		t.Errorf("the filter leaves %q", text)
	}
}

// The code of docs/security.md is that of the examples, and so compiles.
func TestTheCodeOfTheSecurityPageCompiles(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_unasked_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllSubmatch(page, -1)
	plain := regexp.MustCompile(`(?m)^\t+`).ReplaceAll(source, nil)
	for _, b := range blocks {
		if text := regexp.MustCompile(`(?m)^\t+`).ReplaceAll(b[1], nil); !bytes.Contains(plain, text) {
			t.Errorf("example_unasked_test.go does not have\n%s", b[1])
		}
	}
	if len(blocks) < 2 {
		t.Errorf("%d blocks of code", len(blocks))
	}
}
