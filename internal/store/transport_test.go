package store_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/faults"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

// shapes are transports as programs have them.
var shapes = map[string]func(t *testing.T, security *tls.Config) *http.Transport{
	"DialContext": func(_ *testing.T, security *tls.Config) *http.Transport {
		return &http.Transport{TLSClientConfig: security, DialContext: new(net.Dialer).DialContext}
	},
	"Dial": func(_ *testing.T, security *tls.Config) *http.Transport {
		return &http.Transport{TLSClientConfig: security, Dial: net.Dial} //nolint:staticcheck // programs still set it
	},
	"DialTLSContext": func(_ *testing.T, security *tls.Config) *http.Transport {
		return &http.Transport{DialTLSContext: (&tls.Dialer{Config: security}).DialContext}
	},
	"DialTLSContext, without a handshake": func(_ *testing.T, security *tls.Config) *http.Transport {
		security.ServerName = "127.0.0.1"
		return &http.Transport{DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return tls.Client(conn, security), err
		}}
	},
	"DialTLS": func(_ *testing.T, security *tls.Config) *http.Transport {
		return &http.Transport{DialTLS: func(network, address string) (net.Conn, error) { //nolint:staticcheck // as above
			return tls.Dial(network, address, security)
		}}
	},
	"keep-alives off": func(_ *testing.T, security *tls.Config) *http.Transport {
		return &http.Transport{TLSClientConfig: security, DisableKeepAlives: true}
	},
	"behind a proxy": func(t *testing.T, security *tls.Config) *http.Transport {
		return behind(t, httptest.NewServer, security)
	},
	"behind a TLS proxy": func(t *testing.T, security *tls.Config) *http.Transport {
		return behind(t, httptest.NewTLSServer, security)
	},
}

// behind is a transport that leads through a proxy.
func behind(t *testing.T, start func(http.Handler) *httptest.Server, security *tls.Config) *http.Transport {
	t.Helper()
	proxy := start(http.HandlerFunc(forward))
	t.Cleanup(proxy.Close)
	if proxy.TLS != nil {
		security.RootCAs.AddCert(proxy.Certificate())
	}
	to, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Transport{TLSClientConfig: security, Proxy: http.ProxyURL(to)}
}

// forward is a proxy that passes on bytes as they come, also what is not asked for.
func forward(w http.ResponseWriter, req *http.Request) {
	to, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = to.Close() }()
	from, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = from.Close() }()
	if req.Method == http.MethodConnect {
		_, err = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
	} else {
		err = req.WriteProxy(to)
	}
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	for in, out := range map[net.Conn]net.Conn{from: to, to: from} {
		wg.Go(func() {
			_, _ = io.Copy(out, in)
			_ = out.Close()
		})
	}
	wg.Wait()
}

// Some peers speak first; of the others something is left when the answer was read.
var afterwards, speaksFirst = func() (after, first []faults.Surplus) {
	for _, s := range faults.Surpluses() {
		if s.SpeaksFirst() {
			first = append(first, s)
		} else {
			after = append(after, s)
		}
	}
	return after, first
}()

// However a program's own transport makes its connections, it is copied with what it
// is set to, and hears nothing unasked.
func TestF2ATransportOfTheUsersIsCopied(t *testing.T) {
	t.Parallel()
	for shape, newTransport := range shapes {
		for link, start := range faults.Links {
			for _, surplus := range append(slices.Clone(afterwards[:1]), speaksFirst...) {
				t.Run(shape+", "+link+", "+surplus.Name, func(t *testing.T) {
					t.Parallel()
					secret, credential := canary.New(), canary.New()
					peer, err := start(saying(secret), surplus, secret)
					if err != nil {
						t.Fatal(err)
					}
					defer peer.Close()
					rt := store.NewSingle(newTransport(t, &tls.Config{RootCAs: peer.Roots(), MinVersion: tls.VersionTLS12}))
					for range 3 {
						asked(faults.Hesitate(t.Context()), t, rt, http.MethodGet, peer.URL, credential)
					}
					if !peer.Left(patience) {
						t.Error("a connection was kept")
					}
					canary.Absent(t, "what net/http prints", canary.Printed(), secret, credential)
				})
			}
		}
	}
}

// A server that speaks first wins no race, however often it tries.
func TestF2TheFirstWordIsHeldBackEveryTime(t *testing.T) {
	t.Parallel()
	const tries, at = 400, 8
	for link, start := range faults.Links {
		t.Run(link, func(t *testing.T) {
			t.Parallel()
			secret := canary.New()
			for _, surplus := range speaksFirst {
				peer, err := start(saying("ok"), surplus, secret)
				if err != nil {
					t.Fatal(err)
				}
				rt := store.NewSingle(&http.Transport{TLSClientConfig: &tls.Config{
					RootCAs: peer.Roots(), MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(0),
				}})
				var wg sync.WaitGroup
				for range at {
					wg.Go(func() {
						for n := range tries / at {
							ctx := t.Context()
							if n%10 == 0 {
								ctx = faults.Hesitate(ctx)
							}
							asked(ctx, t, rt, http.MethodGet, peer.URL, secret)
						}
					})
				}
				wg.Wait()
				peer.Close()
			}
			canary.Absent(t, "what net/http prints", canary.Printed(), secret)
		})
	}
}

// foreign is a RoundTripper of another kind, around a transport that others use too.
type foreign struct {
	base   http.RoundTripper
	closes atomic.Int64
}

func (f *foreign) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Close {
		f.closes.Add(1)
	}
	return f.base.RoundTrip(req)
}

func TestF2F3ARoundTripperOfAnotherKindKeepsNoConnectionOfOurs(t *testing.T) {
	t.Parallel()
	for _, surplus := range append(slices.Clone(afterwards), faults.AfterHEAD) {
		t.Run(surplus.Name, func(t *testing.T) {
			t.Parallel()
			secret, credential := canary.New(), canary.New()
			peer, err := faults.NewPeer(saying(secret), surplus, secret)
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			base := &foreign{base: new(http.Transport)}
			method := http.MethodGet
			if surplus.Name == faults.AfterHEAD.Name {
				method = http.MethodHead
			}
			for range 3 {
				asked(t.Context(), t, store.NewSingle(base), method, peer.URL, credential)
			}
			if !peer.Left(patience) {
				t.Error("a connection was kept")
			}
			if base.closes.Load() != 3 {
				t.Errorf("%d of 3 requests end their connection", base.closes.Load())
			}
			canary.Absent(t, "what net/http prints", canary.Printed(), secret, credential)
		})
	}
}

// Reads that are held back do not hold up a request that is over.
func TestAHeldConnectionEnds(t *testing.T) {
	t.Parallel()
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for _, scheme := range []string{"http", "https"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begun := time.Now()
		asked(ctx, t, store.NewSingle(nil), http.MethodGet, scheme+"://"+silent.Addr().String(), canary.New())
		if time.Since(begun) > patience {
			t.Errorf("%s: it took %v", scheme, time.Since(begun))
		}
	}
}

// What is handed in can be had back, and is wrapped once.
func TestNewSingle(t *testing.T) {
	t.Parallel()
	base := new(http.Transport)
	s := store.NewSingle(base)
	if s.Base() != base || store.NewSingle(s) != s {
		t.Error("it is not what was handed in")
	}
	if base.DialContext != nil || base.DisableKeepAlives {
		t.Error("what was handed in has changed")
	}
	if _, ok := store.NewSingle(nil).Base().(*http.Transport); !ok {
		t.Error("there is no transport of its own")
	}
	if !strings.HasPrefix(http.DefaultTransport.(*http.Transport).TLSHandshakeTimeout.String(), "10s") || store.Standard() == http.DefaultTransport {
		t.Error("the standard transport is not a copy of net/http's")
	}
}
