package proxy_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

func TestUpstreamUnreachable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ upstream, want string }{
		"refused":   {"http://127.0.0.1:1", "connect: connection refused"}, // a port that was free a moment ago may be another test's by now
		"no name":   {"http://mlflow.invalid.localhost:1", "mlflow.invalid.localhost"},
		"not there": {"https://mlflow.invalid", "mlflow.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fine, with(func(c *proxy.Config) { c.Upstream, _ = url.Parse(tc.upstream) }))
			got := w.do(w.request(http.MethodPost, "/api?key=value", strings.NewReader("body")))
			w.wantStatus(got, 502)
			if got.Header.Get("Content-Type") != "application/json" || !strings.Contains(got.text, tc.want) ||
				!strings.Contains(got.text, `"fix":"mlflow-secrets-auth doctor --dry-run `+tc.upstream) {
				t.Errorf("answer %s", got.text)
			}
		})
	}
}

// An upstream that speaks something else is not quoted (S120, S162).
func TestUpstreamTalksNonsense(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 4096)
			n, _ := conn.Read(buffer)
			_, _ = conn.Write(buffer[:n]) // the header among it
			_ = conn.Close()
		}
	}()
	w := newWorld(t, fine, with(func(c *proxy.Config) { c.Upstream, _ = url.Parse("http://" + l.Addr().String()) }))
	got := w.get("/")
	w.wantStatus(got, 502)
	if strings.Contains(got.text, "GET") || strings.Contains(w.log.String(), "GET /") {
		t.Errorf("it is quoted: %s", got.text)
	}
}

func TestCredentialUnavailable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err        error
		want       string
		retryAfter string
	}{
		"down": {&secretsauth.Error{Kind: secretsauth.ErrUnavailable, Summary: "connection refused", Fix: "start it"},
			`{"error":"no credential: fake:https://store.test:secret/mlflow/auth: connection refused","fix":"start it"}`, "1"},
		"throttled": {&secretsauth.Error{Kind: secretsauth.ErrUnavailable, Summary: "throttled", Wait: 30 * time.Second}, "throttled", "30"},
		"denied":    {&secretsauth.Error{Kind: secretsauth.ErrDenied, Summary: "permission denied", Fix: "grant it"}, "permission denied", "1"},
		"unknown":   {errors.New("boom"), "secret store unavailable: boom", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := unproxied(t, fine)
			w.server.Start()
			w.store.set("", tc.err)
			w.start()
			eventually(t, "the store has failed", func() bool { return w.store.count() > 0 && w.metric("store_read_errors_total") > 0 })
			got := w.get("/")
			w.wantStatus(got, 503)
			if after := got.Header.Get("Retry-After"); !strings.Contains(got.text, tc.want) || after != tc.retryAfter && after != "2" {
				t.Errorf("Retry-After %s, answer %s", after, got.text)
			}
			if n := len(w.server.requests()); n != 0 {
				t.Errorf("%d requests went without a credential", n)
			}
		})
	}
}

// A body that is not in the form it claims to be is no fault of the upstream's.
func TestBrokenBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo)
	got, _, _ := w.raw("PUT / HTTP/1.1\nHost: " + strings.TrimPrefix(w.proxy.URL(), "http://") + "\nAuthorization: Bearer " + w.token +
		"\nTransfer-Encoding: chunked\n\n5\nhello\nnot a length\n")
	w.wantStatus(got, 400)
	if !strings.Contains(got.text, "body cannot be read") {
		t.Errorf("answer %s", got.text)
	}
}

// What a client has been promised is not filled up: it sees that the rest is missing.
func TestAnswerThatBreaksOff(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	w := newWorld(t, func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(out, "half")
		_ = http.NewResponseController(out).Flush()
		<-seen
		panic(http.ErrAbortHandler)
	})
	resp, err := client.Do(w.request(http.MethodGet, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	half := make([]byte, 4)
	if _, err := io.ReadFull(resp.Body, half); err != nil || string(half) != "half" {
		t.Fatalf("got %q, %v", half, err)
	}
	close(seen)
	if rest, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("then %q, and no error", rest)
	}
	eventually(t, "it is counted", func() bool { return w.metric("requests_total") == 1 })
}

// The proxy variables of the environment are net/http's to read; here the base says
// the same.
func TestThroughAnotherProxy(t *testing.T) {
	t.Parallel()
	var seen string
	between := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		seen = r.RequestURI
		fine(out, r)
	}))
	defer between.Close()
	w := newWorld(t, fine, with(func(c *proxy.Config) {
		c.Upstream, _ = url.Parse("http://mlflow.company.test:8080/base")
		c.InsecurePlainHTTPUpstream = true
		c.Base = proxy.DefaultBase()
		next, _ := url.Parse(between.URL)
		c.Base.Proxy = http.ProxyURL(next)
	}))
	got := w.get("/api?a=b")
	w.wantStatus(got, 200)
	if seen != "http://mlflow.company.test:8080/base/api?a=b" {
		t.Errorf("it was asked for %q", seen)
	}
	if base := proxy.DefaultBase(); fmt.Sprintf("%p", base.Proxy) != fmt.Sprintf("%p", http.ProxyFromEnvironment) {
		t.Error("the proxy variables are not read")
	}
}
