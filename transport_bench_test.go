package secretsauth_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

type nullBase struct{ resp *http.Response }

func (b nullBase) RoundTrip(*http.Request) (*http.Response, error) { return b.resp, nil }

// warmTransport returns a transport whose cache is filled, and a request with
// four headers.
func warmTransport(tb testing.TB, hosts ...string) (*secretsauth.Transport, *http.Request) {
	tb.Helper()
	return warmTransportOf(tb, secretsauth.NewToken(canary.New()), secretsauth.Config{AllowedHosts: hosts})
}

func warmTransportOf(tb testing.TB, secret secretsauth.Secret, cfg secretsauth.Config) (*secretsauth.Transport, *http.Request) {
	tb.Helper()
	cfg.Base = nullBase{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}
	rt, err := secretsauth.NewTransport(secretsauth.Static(secret), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := rt.Warm(context.Background()); err != nil {
		tb.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, "https://mlflow.company.com/api/2.0/mlflow/runs/get", nil)
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range []string{"Accept", "Content-Type", "User-Agent", "X-Request-Id"} {
		req.Header.Set(name, "value")
	}
	return rt, req
}

func BenchmarkHit(b *testing.B) {
	rt, req := warmTransport(b, "mlflow.company.com")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rt.RoundTrip(req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHitOfSeveralHeaders(b *testing.B) {
	secret := secretsauth.NewToken(canary.New()).WithHeader("CF-Access-Client-Id", "id").WithHeader("CF-Access-Client-Secret", canary.New())
	rt, req := warmTransportOf(b, secret, secretsauth.Config{AllowedHosts: []string{"mlflow.company.com"}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rt.RoundTrip(req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHitParallel(b *testing.B) {
	rt, req := warmTransport(b, "mlflow.company.com")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		own := req.Clone(req.Context())
		for pb.Next() {
			if _, err := rt.RoundTrip(own); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkHostNotAllowed(b *testing.B) {
	rt, req := warmTransport(b, "other.company.com")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rt.RoundTrip(req); err != nil {
			b.Fatal(err)
		}
	}
}
