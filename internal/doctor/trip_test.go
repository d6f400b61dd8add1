package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
)

// Every way of not reaching a store, staged on loopback.
func TestTheWayToAStore(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	good := ca.serve(t, certificate{})
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	hanging := silent(t)
	stages := []struct {
		name      string
		to        string
		transport *http.Transport
		id        string // of the check that is not well; "": all pass
		status    inspect.Status
		says      []string // in the summary, cause and fix
	}{
		{name: "all is well", to: good, transport: ca.trusted()},
		{name: "plain http on loopback", to: plain.URL, transport: &http.Transport{}},
		{name: "by name", to: "https://store.test:" + portIn(good), transport: ca.resolving(answering(t, dnsmessage.RCodeSuccess)), id: "store.tls", status: inspect.Fail, says: []string{"wrong name"}},

		{"NXDOMAIN", "https://store.test", resolving(answering(t, dnsmessage.RCodeNameError)), "store.dns", inspect.Fail, []string{"does not resolve", "no such host", "nslookup store.test", "STORE_ADDR"}},
		{"a resolver that refuses", "https://store.test", resolving(answering(t, dnsmessage.RCodeRefused)), "store.dns", inspect.Fail, []string{"the resolver says"}},
		{"a resolver that is silent", "https://store.test", resolving(mute(t)), "store.dns", inspect.Fail, []string{"no answer in time", "resolv.conf"}},

		{"refused port", "https://127.0.0.1:1", &http.Transport{}, "store.tcp", inspect.Fail, []string{"connection refused", "STORE_ADDR"}},
		{"no route", "https://127.0.0.1:2", failing(syscall.EHOSTUNREACH), "store.tcp", inspect.Fail, []string{"unreachable", "routes"}},
		{"a firewall that drops", "https://127.0.0.1:2", dropping(), "store.tcp", inspect.Fail, []string{"timeout", "firewall"}},
		{"a proxy that is not there", "https://store.test", through("http://127.0.0.1:1"), "store.tcp", inspect.Fail, []string{"proxy", "refused", "NO_PROXY=store.test"}},
		{"a proxy that refuses", "https://store.test", through(refusingProxy(t)), "store.tcp", inspect.Fail, []string{"the proxy refuses store.test: 403 Forbidden", "NO_PROXY"}},

		{"unknown authority", good, &http.Transport{}, "store.tls", inspect.Fail, []string{"not trusted", "Test CA", "trust it"}},
		{"expired", ca.serve(t, certificate{from: -48 * time.Hour, to: -24 * time.Hour}), ca.trusted(), "store.tls", inspect.Fail, []string{"expired", "renew"}},
		{"not valid yet", ca.serve(t, certificate{from: 24 * time.Hour, to: 48 * time.Hour}), ca.trusted(), "store.tls", inspect.Fail, []string{"not valid yet", "clock"}},
		{"wrong name", ca.serve(t, certificate{names: []string{"other.test"}}), ca.trusted(), "store.tls", inspect.Fail, []string{"wrong name", "other.test"}},
		{"ends soon", ca.serve(t, certificate{to: 5*24*time.Hour + time.Hour}), ca.trusted(), "store.tls", inspect.Warn, []string{"ends in 5 days"}},
		{"not verified", good, &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, "store.tls", inspect.Warn, []string{"VAULT_SKIP_VERIFY"}}, //nolint:gosec // what is warned of
		{"https to plain http", strings.Replace(plain.URL, "http:", "https:", 1), &http.Transport{}, "store.tls", inspect.Fail, []string{"speaks plain http", "http://"}},
		{"http to https", strings.Replace(good, "https:", "http:", 1), &http.Transport{}, "store.tls", inspect.Fail, []string{"speaks TLS", "https://"}},
		{"a host that says nothing", "https://" + hanging, &http.Transport{}, "store.tls", inspect.Fail, []string{"timeout"}},
		{"plain http to another machine", "http://store.test:" + portIn(plain.URL), resolving(answering(t, dnsmessage.RCodeSuccess)), "store.tls", inspect.Warn, []string{"plain http"}},
	}
	for _, stage := range stages {
		t.Run(stage.name, func(t *testing.T) {
			t.Parallel()
			to, err := url.Parse(stage.to)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if strings.Contains(strings.Join(stage.says, " "), "time") { // it will be over when time is
				ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
			}
			defer cancel()
			v := &visit{ctx: ctx, log: slog.New(slog.DiscardHandler), emit: func(Result) {}}
			v.travel(to, stage.transport, names{"the store", "STORE_ADDR", "", "trust it"})
			if len(v.results) != 3 {
				t.Fatalf("%d results", len(v.results))
			}
			for _, r := range v.results {
				text := strings.Join([]string{r.Summary, r.Cause, r.Fix}, " | ")
				switch {
				case r.ID != stage.id && (r.Status == inspect.Fail || r.Status == inspect.Warn):
					t.Errorf("%s: %s: %s", r.ID, r.Status, text)
				case r.ID == stage.id && r.Status != stage.status:
					t.Errorf("%s: %s, want %s: %s", r.ID, r.Status, stage.status, text)
				case r.ID == stage.id:
					for _, want := range stage.says {
						if !strings.Contains(text, want) {
							t.Errorf("%s: %q does not say %q", r.ID, text, want)
						}
					}
					if r.Cause == "" || r.Fix == "" {
						t.Errorf("%s: no cause or no fix: %q", r.ID, text)
					}
				}
			}
		})
	}
	t.Logf("%d ways to and past a store staged", len(stages))
}

func TestS46AProxyThatSeesPlainHTTPIsReported(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(proxy.Close)
	for scheme, warned := range map[string]bool{"http": true, "https": false} {
		to, err := url.Parse(scheme + "://mlflow.test")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		f := travel(ctx, to, through(proxy.URL), names{"the MLflow server", "the URL", "", "trust it"}).arrival()
		if text := f.Summary + f.Cause + f.Fix; warned && (f.Status != inspect.Warn || !strings.Contains(text, "a proxy") || !strings.Contains(text, "can read") || !strings.Contains(text, "https")) ||
			!warned && strings.Contains(text, "can read") {
			t.Errorf("%s: %s: %s", scheme, f.Status, text)
		}
	}
}

func portIn(address string) string {
	u, _ := url.Parse(address)
	return u.Port()
}

// authority is a certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certificate is what a server's says; zero: all is well.
type certificate struct {
	from, to time.Duration
	names    []string
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// serve starts a server with such a certificate.
func (a authority) serve(t *testing.T, c certificate) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if c.to == 0 {
		c.to = 90 * 24 * time.Hour
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "store"}, DNSNames: c.names,
		NotBefore: time.Now().Add(c.from - time.Minute), NotAfter: time.Now().Add(c.to),
	}
	if c.names == nil {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}} //nolint:gosec // Go's default versions
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

func (a authority) trusted() *http.Transport {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}} //nolint:gosec // Go's default versions
}

func (a authority) resolving(server string) *http.Transport {
	t := a.trusted()
	t.DialContext = resolving(server).DialContext
	return t
}

// resolving asks a DNS server of ours.
func resolving(server string) *http.Transport {
	dialer := &net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server)
	}}}
	return &http.Transport{DialContext: dialer.DialContext}
}

// answering is a DNS server: every name is 127.0.0.1, or has one failure.
func answering(t *testing.T, code dnsmessage.RCode) string {
	t.Helper()
	conn := udp(t)
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil {
				continue
			}
			m.Response, m.RCode, m.Additionals = true, code, nil
			if q := m.Questions[0]; code == dnsmessage.RCodeSuccess && q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60},
					Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
				}}
			}
			if packed, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// mute is a DNS server that never answers.
func mute(t *testing.T) string { t.Helper(); return udp(t).LocalAddr().String() }

func udp(t *testing.T) net.PacketConn {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// silent is the address of a server that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func failing(err error) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		failed := &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", err)}
		dialTrace(ctx, network, address, failed)
		return nil, failed
	}}
}

// dialTrace tells what net's own dialer would have told.
func dialTrace(ctx context.Context, network, address string, err error) {
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.ConnectDone != nil {
		trace.ConnectDone(network, address, err)
	}
}

func dropping() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
}

func through(proxy string) *http.Transport {
	u, _ := url.Parse(proxy)
	return &http.Transport{Proxy: http.ProxyURL(u)}
}

func refusingProxy(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(server.Close)
	return server.URL
}

// A variable that Vault alone reads is not blamed for another's proxy.
func TestWhereAProxyComesFrom(t *testing.T) {
	t.Setenv("VAULT_PROXY_ADDR", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:2")
	t.Setenv("https_proxy", "")
	for own, want := range map[string]string{"VAULT_PROXY_ADDR": "VAULT_PROXY_ADDR", "": "HTTPS_PROXY"} {
		if got := proxyVariable(own, "https"); got != want {
			t.Errorf("with a variable %q of its own: %s, want %s", own, got, want)
		}
	}
}

// The certificate of a proxy that speaks TLS is not taken for the store's.
func TestAProxysCertificateIsNotTheStores(t *testing.T) {
	t.Parallel()
	store := httptest.NewUnstartedServer(http.NotFoundHandler())
	store.Config.ErrorLog = log.New(io.Discard, "", 0)
	store.StartTLS()
	t.Cleanup(store.Close)
	proxy := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		to, err := new(net.Dialer).DialContext(context.Background(), "tcp", store.Listener.Addr().String())
		if err != nil {
			return
		}
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
		_, _ = io.Copy(from, to)
		_ = from.Close()
	}))
	t.Cleanup(proxy.Close)
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(proxy.Certificate())
	v := &visit{ctx: t.Context(), log: slog.New(slog.DiscardHandler), emit: func(Result) {}}
	v.travel(&url.URL{Scheme: "https", Host: "store.test"}, &http.Transport{
		Proxy: http.ProxyURL(at), TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}, names{"the store", "STORE_ADDR", "", "trust it"})
	if last := v.results[len(v.results)-1]; last.ID != "store.tls" || last.Status != inspect.Fail || !strings.Contains(last.Summary, "wrong name") {
		t.Errorf("%s: %+v", last.ID, last.Finding)
	}
}
