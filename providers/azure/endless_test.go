package azure_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

// spaces is an answer without an end.
type spaces struct{ read *atomic.Int64 }

func (s spaces) Read(p []byte) (int, error) {
	s.read.Add(int64(len(p)))
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// The SDK reads answers whole: that of a login ends at 1 MiB, as Key Vault's does.
func TestS106S120AnEndlessAnswerToTheLoginIsCut(t *testing.T) {
	const id = "11111111-1111-1111-1111-111111111111"
	setenv(t, map[string]string{
		"AZURE_TENANT_ID": id, "AZURE_CLIENT_ID": id, "AZURE_CLIENT_SECRET": "none", "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
	})
	var read atomic.Int64
	client := &http.Client{Transport: answers(func(req *http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(spaces{&read}), Request: req}
		if strings.HasSuffix(req.URL.Host, ".vault.azure.net") {
			resp.StatusCode, resp.Body = http.StatusUnauthorized, http.NoBody
			resp.Header.Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/`+id+`", resource="https://vault.azure.net"`)
		}
		return resp, nil
	})}
	p, err := azure.New(azure.Config{
		VaultURL: "https://my-vault.vault.azure.net", SecretName: "mlflow-auth",
		DisableInstanceDiscovery: true, MaxAttempts: 1, HTTPClient: client,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Fetch(t.Context())
	wantError(t, err, secretsauth.ErrUnavailable, "the login gave no usable answer")
	if n := read.Load(); n > 4<<20 {
		t.Errorf("%d bytes were read", n)
	}
}

// answers is a transport made from a function.
type answers func(*http.Request) (*http.Response, error)

func (a answers) RoundTrip(req *http.Request) (*http.Response, error) { return a(req) }
