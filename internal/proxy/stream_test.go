package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

// socket answers a WebSocket's handshake and sends back what it gets. To the proxy
// the frames are bytes.
func socket(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" {
		w.WriteHeader(http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Server: "+r.Proto+"\r\n\r\n")
	_, _ = io.Copy(conn, rw)
}

func (w *world) handshake(extra string) string {
	return "GET /ws HTTP/1.1\nHost: " + strings.TrimPrefix(w.proxy.URL(), "http://") + "\nAuthorization: Bearer " + w.token +
		"\nConnection: Upgrade\nUpgrade: websocket\n" + extra + "\n"
}

func pingPong(t *testing.T, conn net.Conn, r *bufio.Reader) {
	t.Helper()
	for i := range 20 {
		frame := strings.Repeat(fmt.Sprint(i%10), 5000)
		go func() { _, _ = io.WriteString(conn, frame) }()
		got := make([]byte, len(frame))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != frame {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
}

func TestWebSocket(t *testing.T) { //nolint:tparallel // one goes on from the other
	t.Parallel()
	w := newWorld(t, socket)
	w.warm()
	w.rotate() // the handshake is sent again, too
	got, conn, r := w.raw(w.handshake(""))
	w.wantStatus(got, 101)
	pingPong(t, conn, r)

	t.Run("another protocol is not switched to", func(t *testing.T) {
		w := w.on(t)
		got, _, _ := w.raw(strings.ReplaceAll(w.handshake(""), "websocket", "h2c"))
		w.wantStatus(got, http.StatusUpgradeRequired)
		if all := w.server.requests(); all[len(all)-1].Header.Get("Upgrade") != "" {
			t.Error("the server is asked to")
		}
	})
	t.Run("it ends with the client", func(t *testing.T) {
		w := w.on(t)
		_ = conn.Close()
		eventually(t, "nothing is under way", func() bool { return w.metric("in_flight_requests") == 0 })
	})
}

// Events arrive one by one, while the answer is open.
func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	w := newWorld(t, func(out http.ResponseWriter, r *http.Request) {
		out.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(out, "data: %d\n\n", i)
			_ = http.NewResponseController(out).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
			}
		}
	})
	resp, err := client.Do(w.request(http.MethodGet, "/events", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := bufio.NewScanner(resp.Body)
	for i := range 3 {
		if !events.Scan() || events.Text() != fmt.Sprintf("data: %d", i) || !events.Scan() {
			t.Fatalf("event %d: %q, %v", i, events.Text(), events.Err())
		}
		next <- struct{}{}
	}
}

// With TLS the upstream speaks HTTP/2, and HTTP/1.1 where a WebSocket needs it.
func TestHTTP2Upstream(t *testing.T) { //nolint:tparallel // one goes on from the other
	t.Parallel()
	w := unproxied(t, func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			socket(out, r)
			return
		}
		out.Header().Set("X-Proto", r.Proto)
		echo(out, r)
	})
	w.server.EnableHTTP2 = true
	w.server.StartTLS()
	trust := func(c *proxy.Config) {
		c.Base = proxy.DefaultBase()
		roots := x509.NewCertPool()
		roots.AddCert(w.server.Certificate())
		c.Base.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	w.start(with(trust))
	w.warm()
	w.rotate()
	sent := newStream(8 << 20)
	got := w.do(w.request(http.MethodPut, "/artifact", unsized{sent}))
	w.wantStatus(got, 200)
	if got.text != sent.String() || got.Header.Get("X-Proto") != "HTTP/2.0" || len(w.server.requests()) != 2 {
		t.Errorf("the server got %s by %s in %d requests; want %s", got.text, got.Header.Get("X-Proto"), len(w.server.requests()), sent)
	}
	got, conn, r := w.raw(w.handshake(""))
	w.wantStatus(got, 101)
	pingPong(t, conn, r)

	t.Run("an authority that is not known", func(t *testing.T) {
		w := w.on(t)
		w.start()
		got := w.get("/")
		w.wantStatus(got, 502)
		if !strings.Contains(got.text, "certificate signed by unknown authority") {
			t.Errorf("answer %s", got.text)
		}
	})
}

// 103 and trailers pass; a 103 does not bring what an answer may not.
func TestEarlyHintsAndTrailers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Link", "</style.css>; rel=preload")
		out.Header().Set("Set-Cookie", "session=upstream")
		out.WriteHeader(http.StatusEarlyHints)
		out.Header().Set(http.TrailerPrefix+"X-Late", "yes")
		_, _ = io.WriteString(out, "body")
	})
	var hints textproto.MIMEHeader
	trace := &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { hints = h; return nil }}
	req := w.request(http.MethodGet, "/", nil)
	got := w.do(req.WithContext(httptrace.WithClientTrace(w.Context(), trace)))
	if got.Trailer.Get("X-Late") != "yes" || got.text != "body" {
		t.Errorf("body %q, trailer %v", got.text, got.Trailer)
	}
	if hints.Get("Link") == "" || hints.Get("Set-Cookie") != "" {
		t.Errorf("hints %v", hints)
	}
}

// What the server does not say the proxy does not guess.
func TestAnswersStayAsTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(out http.ResponseWriter, r *http.Request) {
		out.Header()["Content-Type"] = nil
		out.Header()["Date"] = []string{"Tue, 15 Nov 1994 08:12:31 GMT"}
		out.Header().Set("ETag", `"x"`)
		if r.Header.Get("Accept-Encoding") != "" || r.Header.Get("User-Agent") != "" {
			t.Error("the proxy has added to the request")
		}
		_, _ = io.WriteString(out, "<html>")
	})
	req := w.request(http.MethodGet, "/", nil)
	req.Header["User-Agent"] = nil
	got := w.do(req)
	_, typed := got.Header["Content-Type"]
	if typed || got.Header.Get("Date") != "Tue, 15 Nov 1994 08:12:31 GMT" || got.Header.Get("ETag") != `"x"` || got.text != "<html>" {
		t.Errorf("answer %v, %q", got.Header, got.text)
	}
}

// Many workers, and the secret changes under them: nothing fails, and the store is
// read for each change, not for each worker.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, echo)
	keepAlive := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer keepAlive.CloseIdleConnections()
	const workers, rotations = 8, 3
	var mu sync.Mutex
	done := 0
	turn := func(n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return done >= n }
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				body := fmt.Sprintf("metric %d of %d", n, i)
				req := w.request(http.MethodPost, "/api", strings.NewReader(body))
				resp, err := keepAlive.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if want := summed(strings.NewReader(body)); err != nil || resp.StatusCode != 200 || string(got) != want {
					t.Errorf("status %d, %q, %v", resp.StatusCode, got, err)
					return
				}
				mu.Lock()
				done++
				mu.Unlock()
			}
		})
	}
	for i := range rotations {
		eventually(t, "the workers are at it", turn((i+1)*200))
		w.rotate()
	}
	eventually(t, "and go on", turn((rotations+1)*200))
	stop()
	wg.Wait()
	if reads := w.store.count(); reads != 1+rotations {
		t.Errorf("the store was read %d times for %d rotations", reads, rotations)
	}
}

// Clients that are slow with their heads, or send endless ones, are cut off.
func TestSlowAndGreedyClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fine, with(func(c *proxy.Config) {
		c.HeaderTimeout, c.IdleTimeout, c.DrainTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	}))
	address := strings.TrimPrefix(w.proxy.URL(), "http://")
	head := "GET / HTTP/1.1\r\nHost: " + address + "\r\nAuthorization: Bearer " + w.token + "\r\n"
	for name, text := range map[string]string{
		"silent": "", "head without end": head + "X-Slow: ", "idle after an answer": head + "\r\n",
		"refused, and its body never comes": strings.Replace(head, "GET", "PUT", 1) + "Sec-Fetch-Site: cross-site\r\nContent-Length: 5\r\n\r\n",
		"answered, and its body never ends": strings.Replace(head, "GET", "PUT", 1) + "Content-Length: 5000000\r\n\r\nhello",
		"greedy head":                       head + "X-Long: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
			go func() { _, _ = io.WriteString(conn, text) }()
			if _, err = io.Copy(io.Discard, conn); isTimeout(err) {
				t.Error("the connection stays open")
			}
		})
	}
	t.Cleanup(func() {
		if n := w.metric("in_flight_requests"); n != 0 {
			t.Errorf("%v requests are still under way", n)
		}
	})
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// A client that goes away takes everything along. Not parallel: it counts the
// goroutines of the process.
func TestClientsThatGoAwayLeaveNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	arrived := make(chan struct{}, 100)
	w := newWorld(t, func(out http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			_, _ = io.CopyN(io.Discard, r.Body, 1000)
		} else {
			_, _ = io.WriteString(out, "beginning")
			_ = http.NewResponseController(out).Flush()
		}
		arrived <- struct{}{}
		if r.Method == http.MethodPut {
			_, _ = io.Copy(io.Discard, r.Body)
		} else {
			<-r.Context().Done()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 10 {
		method, body := http.MethodGet, io.Reader(nil)
		if i%2 == 0 {
			pipe, in := io.Pipe() // it never ends by itself
			go func() { _, _ = io.WriteString(in, strings.Repeat("x", 10_000)) }()
			context.AfterFunc(ctx, func() { _ = in.CloseWithError(context.Canceled) })
			method, body = http.MethodPut, pipe
		}
		wg.Go(func() {
			req := w.request(method, "/", body).WithContext(ctx)
			if body != nil {
				req.ContentLength = 8 << 20
			}
			if resp, err := client.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
	for range 10 {
		<-arrived
	}
	if n := w.metric("in_flight_requests"); n != 10 {
		t.Errorf("%v requests are under way", n)
	}
	cancel()
	wg.Wait()
	eventually(t, "nothing is under way", func() bool { return w.metric("in_flight_requests") == 0 })
	if strings.Contains(w.log.String(), "Request failed") {
		t.Error("the upstream is blamed")
	}
	if err := w.end(); err != nil {
		t.Error(err)
	}
	w.server.CloseClientConnections()
	w.server.Close()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}
