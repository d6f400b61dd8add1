package store_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

// A copy speaks the protocols of the original, with many requests at once too.
func TestTheProtocolStays(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { _, _ = io.WriteString(w, req.Proto) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	security := func() *tls.Config { return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12} }
	for name, test := range map[string]struct {
		transport func() *http.Transport
		want      string
	}{
		"HTTP/2 if asked for": {func() *http.Transport { return &http.Transport{TLSClientConfig: security(), ForceAttemptHTTP2: true} }, "HTTP/2.0"},
		"HTTP/2 of golang.org/x/net": {func() *http.Transport {
			tr := &http.Transport{TLSClientConfig: security()}
			if _, err := http2.ConfigureTransports(tr); err != nil { //nolint:staticcheck // as Vault's client does
				t.Error(err)
			}
			return tr
		}, "HTTP/2.0"},
		"HTTP/2 by a dialer of TLS": {func() *http.Transport {
			own := security()
			own.NextProtos = []string{"h2", "http/1.1"}
			return &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: (&tls.Dialer{Config: own}).DialContext}
		}, "HTTP/2.0"},
		"HTTP/1 where TLS is configured": {func() *http.Transport { return &http.Transport{TLSClientConfig: security()} }, "HTTP/1.1"},
		"HTTP/1 where HTTP/2 is off": {func() *http.Transport {
			return &http.Transport{TLSClientConfig: security(), ForceAttemptHTTP2: true, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
		}, "HTTP/1.1"},
		"HTTP/1 by a dialer of TLS": {func() *http.Transport {
			return &http.Transport{DialTLSContext: (&tls.Dialer{Config: security()}).DialContext}
		}, "HTTP/1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := &http.Client{Transport: store.NewSingle(test.transport()), Timeout: patience}
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					resp, err := client.Get(server.URL)
					if err != nil {
						t.Error(err)
						return
					}
					defer func() { _ = resp.Body.Close() }()
					text, err := io.ReadAll(resp.Body)
					if err != nil || string(text) != test.want || resp.TLS == nil || len(resp.TLS.PeerCertificates) == 0 {
						t.Errorf("%q, %v, want %q; TLS is known: %t", text, err, test.want, resp.TLS != nil)
					}
				})
			}
			wg.Wait()
		})
	}
}

// An original without any setting has HTTP/2, and so has its copy.
func TestABareTransportHasHTTP2(t *testing.T) {
	t.Parallel()
	base := new(http.Transport)
	resp, err := store.NewSingle(base).RoundTrip(httptest.NewRequest(http.MethodGet, "https://127.0.0.1:1", nil))
	if err == nil {
		_ = resp.Body.Close()
	}
	if base.TLSNextProto["h2"] == nil {
		t.Skip("this build has no HTTP/2")
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { _, _ = io.WriteString(w, req.Proto) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	base.TLSClientConfig.RootCAs = roots
	client := &http.Client{Transport: store.NewSingle(base), Timeout: patience}
	answer, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.ProtoMajor != 2 {
		t.Errorf("it speaks %s", answer.Proto)
	}
}

// A copy does not know the schemes that were registered with the original.
func TestARegisteredSchemeStays(t *testing.T) {
	t.Parallel()
	base, own := new(http.Transport), new(foreign)
	own.base = roundTripper(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
	})
	base.RegisterProtocol("store", own)
	asked(t.Context(), t, store.NewSingle(base), http.MethodGet, "store://vault", canary.New())
	if own.closes.Load() != 1 {
		t.Error("the request did not arrive there")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Whoever traces a request is told of its handshakes as net/http tells it, those with a
// proxy included.
func TestHandshakesAreTraced(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(saying("ok"))
	t.Cleanup(server.Close)
	for shape, newTransport := range shapes {
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		base := newTransport(t, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
		var told [2]struct{ begun, done atomic.Int64 }
		for i, rt := range []http.RoundTripper{base, store.NewSingle(base)} {
			asked(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				TLSHandshakeStart: func() { told[i].begun.Add(1) },
				TLSHandshakeDone:  func(tls.ConnectionState, error) { told[i].done.Add(1) },
			}), t, rt, http.MethodGet, server.URL, canary.New())
		}
		base.CloseIdleConnections()
		if told[0].begun.Load() != told[1].begun.Load() || told[0].done.Load() != told[1].done.Load() {
			t.Errorf("%s: net/http tells of %d handshakes, Single of %d", shape, told[0].done.Load(), told[1].done.Load())
		}
	}
}
