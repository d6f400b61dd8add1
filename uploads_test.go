package secretsauth_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// Uploads without GetBody through a rotation, over HTTP/1.1 and HTTP/2, to servers that
// keep the connection open after an answer that came before the body.

// stayingServer is an HTTP/1.1 server that answers when it likes and then goes on reading
// what the client sends, as nginx and gunicorn do. Go's own server closes the connection
// after an early answer, which hides much of what net/http does then.
type stayingServer struct {
	handler http.Handler
	late    atomic.Int64 // bytes of bodies that came after the answer
	running sync.WaitGroup
}

// serve accepts connections until the test ends. It returns the server's URL.
func (s *stayingServer) serve(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() { s.talk(conn) })
		}
	})
	t.Cleanup(func() { _ = listener.Close() })
	return "http://" + listener.Addr().String()
}

// talk answers the requests of one connection until the client closes it.
func (s *stayingServer) talk(conn net.Conn) {
	defer conn.Close()
	defer func() { _ = recover() }() // a handler that panics wants no answer
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		rw := &stayingWriter{conn: conn, header: http.Header{}}
		s.handler.ServeHTTP(rw, req)
		rw.finish()
		n, err := io.Copy(io.Discard, req.Body)
		s.late.Add(n)
		if err != nil {
			return
		}
	}
}

// stayingWriter sends 1xx at once, and the answer when the handler returns.
type stayingWriter struct {
	conn   io.Writer
	header http.Header
	status int
	text   bytes.Buffer
}

func (w *stayingWriter) Header() http.Header         { return w.header }
func (w *stayingWriter) Write(p []byte) (int, error) { return w.text.Write(p) }
func (w *stayingWriter) WriteHeader(status int) {
	if status/100 == 1 {
		_, _ = fmt.Fprintf(w.conn, "HTTP/1.1 %d %s\r\n\r\n", status, http.StatusText(status))
		return
	}
	w.status = status
}

func (w *stayingWriter) finish() {
	resp := http.Response{StatusCode: max(w.status, http.StatusOK), ProtoMajor: 1, ProtoMinor: 1, Header: w.header,
		ContentLength: int64(w.text.Len()), Body: io.NopCloser(&w.text)}
	_ = resp.Write(w.conn)
}

// protocols are the servers that uploads go to. Each leads to a handler and returns the
// transport for it; late is what a connection brought after an answer, if that is known.
var protocols = map[string]func(*testing.T, http.Handler) (url string, base *http.Transport, late func() int64){
	"HTTP/1.1": func(t *testing.T, handler http.Handler) (string, *http.Transport, func() int64) {
		s := &stayingServer{handler: handler}
		base := &http.Transport{}
		address := s.serve(t)
		t.Cleanup(base.CloseIdleConnections)
		return address, base, s.late.Load
	},
	"HTTP/2": func(t *testing.T, handler http.Handler) (string, *http.Transport, func() int64) {
		s := httptest.NewUnstartedServer(handler)
		s.EnableHTTP2 = true
		// net/http sends trailers even after an early answer, which Go's own HTTP/2 server
		// takes for a violation of the protocol, and says so.
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL, s.Client().Transport.(*http.Transport), func() int64 { return 0 }
	},
}

// upload is a body without GetBody, and what became of it.
type upload struct {
	io.Reader
	begun  chan struct{} // closed by the first Read
	ended  chan struct{} // closed by the first Close
	once   sync.Once
	closes atomic.Int32
}

func newUpload(content string) *upload {
	return &upload{Reader: strings.NewReader(content), begun: make(chan struct{}), ended: make(chan struct{})}
}

func (u *upload) Read(p []byte) (int, error) {
	u.once.Do(func() { close(u.begun) })
	return u.Reader.Read(p)
}

func (u *upload) Close() error {
	if u.closes.Add(1) == 1 {
		close(u.ended)
	}
	return nil
}

// wantClosedOnce waits for the first Close, which net/http may leave to a goroutine.
func (u *upload) wantClosedOnce(t *testing.T) {
	t.Helper()
	select {
	case <-u.ended:
	case <-time.After(time.Minute):
	}
	if n := u.closes.Load(); n != 1 {
		t.Errorf("the caller's body was closed %d times", n)
	}
}

// rotatedServer is a server that has just been rotated, its store too. first answers the
// first request, and the others are answered by whether they bring the fresh token.
type rotatedServer struct {
	*world
	url    string
	client *http.Client
	base   *http.Transport
	late   func() int64
	sends  atomic.Int32
	got    chan *http.Request // the request that was accepted
	text   chan string        // its body
}

func newRotatedServer(t *testing.T, protocol string, first http.HandlerFunc, change ...func(*secretsauth.Config)) *rotatedServer {
	t.Helper()
	s := &rotatedServer{world: newWorld(t), got: make(chan *http.Request, 1), text: make(chan string, 1)}
	s.url, s.base, s.late = protocols[protocol](t, http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		switch {
		case s.sends.Add(1) == 1 && first != nil:
			first(rw, req)
		case req.Header.Get("Authorization") != "Bearer "+s.fresh:
			reject(rw, req)
		default:
			s.accept(rw, req)
		}
	}))
	cfg := secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}, Base: s.base}
	for _, c := range change {
		c(&cfg)
	}
	rt, err := newTransport(s.store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.rt, s.client = rt, &http.Client{Transport: netted{rt}, Timeout: time.Minute}
	s.store.put(s.fresh)
	return s
}

// accept says 100, reads the body and answers 200.
func (s *rotatedServer) accept(rw http.ResponseWriter, req *http.Request) {
	if req.Header.Get("Expect") != "" {
		rw.WriteHeader(http.StatusContinue)
	}
	text, err := io.ReadAll(req.Body)
	if err != nil {
		s.Errorf("the server could not read the body: %v", err)
	}
	s.got <- req
	s.text <- string(text)
}

const unauthenticated = "You are not authenticated."

// reject answers 401 without looking at the body.
func reject(rw http.ResponseWriter, _ *http.Request) { answerWith(rw, http.StatusUnauthorized) }

func answerWith(rw http.ResponseWriter, status int) {
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, unauthenticated)
}

func TestF18S102UploadsThatAreAnnounced(t *testing.T) {
	t.Parallel()
	const noWait = time.Millisecond // the client does not wait for a 100 that does not come
	for _, test := range []struct {
		name   string
		first  func(*rotatedServer, *upload) http.HandlerFunc
		wait   time.Duration // for a 100; default: longer than the test
		same   bool          // the store still has the old token
		status int           // 0: an error
		sends  int32
	}{
		{name: "401 at once", status: http.StatusOK, sends: 2,
			first: func(*rotatedServer, *upload) http.HandlerFunc { return reject }},
		{name: "403 at once", status: http.StatusOK, sends: 2,
			first: func(*rotatedServer, *upload) http.HandlerFunc {
				return func(rw http.ResponseWriter, _ *http.Request) { answerWith(rw, http.StatusForbidden) }
			}},
		{name: "401 at once, and the store has nothing else", same: true, status: http.StatusUnauthorized, sends: 1,
			first: func(*rotatedServer, *upload) http.HandlerFunc { return reject }},
		{name: "100, then 401", status: http.StatusUnauthorized, sends: 1,
			first: func(_ *rotatedServer, u *upload) http.HandlerFunc {
				return func(rw http.ResponseWriter, req *http.Request) {
					rw.WriteHeader(http.StatusContinue)
					<-u.begun
					reject(rw, req)
				}
			}},
		{name: "never 100, and 401 when the body comes", wait: noWait, status: http.StatusUnauthorized, sends: 1,
			first: func(_ *rotatedServer, u *upload) http.HandlerFunc {
				return func(rw http.ResponseWriter, req *http.Request) {
					<-u.begun
					reject(rw, req)
				}
			}},
		{name: "100 late, and accepted", wait: noWait, status: http.StatusOK, sends: 1,
			first: func(s *rotatedServer, u *upload) http.HandlerFunc {
				return func(rw http.ResponseWriter, req *http.Request) {
					<-u.begun
					s.accept(rw, req)
				}
			}},
		{name: "100 at once, and accepted", status: http.StatusOK, sends: 1,
			first: func(s *rotatedServer, _ *upload) http.HandlerFunc { return s.accept }},
		{name: "417", status: http.StatusExpectationFailed, sends: 1,
			first: func(*rotatedServer, *upload) http.HandlerFunc {
				return func(rw http.ResponseWriter, _ *http.Request) { answerWith(rw, http.StatusExpectationFailed) }
			}},
		{name: "no answer", sends: 1,
			first: func(*rotatedServer, *upload) http.HandlerFunc {
				return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
			}},
	} {
		for protocol := range protocols {
			t.Run(test.name+", "+protocol, func(t *testing.T) {
				t.Parallel()
				payload := strings.Repeat("metrics ", 100_000)
				body := newUpload(payload)
				var s *rotatedServer
				s = newRotatedServer(t, protocol, func(rw http.ResponseWriter, req *http.Request) {
					// Go's HTTP/2 server keeps the header from its handlers.
					if protocol == "HTTP/1.1" && (req.Header.Get("Expect") == "" || !req.Close) {
						t.Error("the first request does not announce its body, or does not ask to close the connection")
					}
					test.first(s, body)(rw, req)
				})
				if s.base.ExpectContinueTimeout = test.wait; test.wait == 0 {
					s.base.ExpectContinueTimeout = time.Hour
				}
				if test.same {
					s.store.put(s.old)
				}
				req, _ := http.NewRequest(http.MethodPut, s.url, body)
				req.Header.Set("Expect", "100-continue")
				resp, err := s.client.Do(req)
				if err == nil {
					defer resp.Body.Close()
				}
				if (err != nil) != (test.status == 0) || err == nil && resp.StatusCode != test.status {
					t.Fatalf("response %v, error %v; want status %d", resp != nil, err, test.status)
				}
				switch test.status {
				case 0:
				case http.StatusOK:
					if text := <-s.text; text != payload {
						t.Errorf("the server read %d bytes, want %d", len(text), len(payload))
					}
					if got := <-s.got; protocol == "HTTP/1.1" && (got.Header.Get("Expect") == "" || got.Close != (test.sends == 1)) {
						t.Error("the request that was accepted is not as the caller's")
					}
				default:
					if text, err := io.ReadAll(resp.Body); string(text) != unauthenticated || err != nil {
						t.Errorf("the original response is not whole: %d bytes, %v", len(text), err)
					}
				}
				if n := s.sends.Load(); n != test.sends {
					t.Errorf("%d requests came to the server, want %d", n, test.sends)
				}
				body.wantClosedOnce(t)
				if n := s.late(); test.sends == 2 && n != 0 {
					t.Errorf("%d bytes were sent after the rejection", n)
				}
			})
		}
	}
}

func TestF18UploadsThatAreReadAhead(t *testing.T) {
	t.Parallel()
	payload := strings.Repeat("metrics ", 100_000)
	limit := func(n int64) func(*secretsauth.Config) { return func(c *secretsauth.Config) { c.BufferBodies = n } }
	for _, test := range []struct {
		name   string
		limit  int64
		change func(*http.Request)
		file   bool
		length int64 // what the server is told; -1: nothing
		status int
	}{
		{name: "length unknown", limit: 1 << 20, length: int64(len(payload)), status: http.StatusOK},
		{name: "length known", limit: 1 << 20, length: int64(len(payload)), status: http.StatusOK,
			change: func(req *http.Request) { req.ContentLength = int64(len(payload)) }},
		{name: "a file", limit: 1 << 20, file: true, length: int64(len(payload)), status: http.StatusOK},
		{name: "trailers", limit: 1 << 20, length: -1, status: http.StatusOK,
			change: func(req *http.Request) { req.Trailer = http.Header{"X-Digest": {"d"}} }},
		{name: "longer than the limit", limit: 1 << 10, status: http.StatusUnauthorized},
		{name: "longer than the limit, length known", limit: 1 << 10, status: http.StatusUnauthorized,
			change: func(req *http.Request) { req.ContentLength = int64(len(payload)) }},
		{name: "a file that is longer than the limit", limit: 1 << 10, file: true, status: http.StatusUnauthorized},
		{name: "off", status: http.StatusUnauthorized},
	} {
		for protocol := range protocols {
			t.Run(test.name+", "+protocol, func(t *testing.T) {
				t.Parallel()
				s := newRotatedServer(t, protocol, nil, limit(test.limit))
				body := newUpload(payload)
				req, _ := http.NewRequest(http.MethodPost, s.url, body)
				if test.file {
					req.Body = openFile(t, payload)
				}
				if test.change != nil {
					test.change(req)
				}
				resp, err := s.client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if resp.StatusCode != test.status {
					t.Fatalf("status %d, want %d", resp.StatusCode, test.status)
				}
				if !test.file {
					body.wantClosedOnce(t)
				}
				if test.status != http.StatusOK {
					if text, err := io.ReadAll(resp.Body); string(text) != unauthenticated || err != nil {
						t.Errorf("the original response is not whole: %d bytes, %v", len(text), err)
					}
					return
				}
				got := <-s.got
				if text := <-s.text; text != payload || got.ContentLength != test.length {
					t.Errorf("the server read %d bytes of the length %d, want %d of %d", len(text), got.ContentLength, len(payload), test.length)
				}
				if req.Trailer != nil && got.Trailer.Get("X-Digest") != "d" {
					t.Error("the trailer did not come")
				}
			})
		}
	}
}

// openFile is an open file with that content.
func openFile(t *testing.T, content string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "model.bin")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A length that is not kept is net/http's to complain of, at once and without sending the
// request again by itself. In which words depends on which of its goroutines is first;
// TestF18BodiesThatAreReadAhead shows that it is given the same to send.
func TestF18ALengthThatIsNotKeptFailsAsEver(t *testing.T) {
	t.Parallel()
	for name, announced := range map[string]int64{"shorter than announced": 10, "longer than announced": 2} {
		for protocol, start := range protocols {
			for _, limit := range []int64{0, 1 << 10} {
				t.Run(fmt.Sprintf("%s, BufferBodies %d, %s", name, limit, protocol), func(t *testing.T) {
					t.Parallel()
					over := make(chan struct{})
					defer close(over)
					var sends atomic.Int32
					address, base, _ := start(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
						sends.Add(1)
						if _, err := io.ReadAll(req.Body); err == nil {
							<-over // it has all that was announced, and would answer
						}
						panic(http.ErrAbortHandler)
					}))
					w := newWorld(t)
					rt, err := newTransport(w.store, secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}, Base: base, BufferBodies: limit})
					if err != nil {
						t.Fatal(err)
					}
					body := newUpload("body")
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					req, _ := http.NewRequestWithContext(ctx, http.MethodPost, address, body)
					req.ContentLength = announced
					resp, err := netted{rt}.RoundTrip(req)
					if err == nil {
						_ = resp.Body.Close()
					}
					if err == nil || ctx.Err() != nil || sends.Load() > 1 {
						t.Errorf("%v after %d sends, want an error of net/http's at once", err, sends.Load())
					}
					body.wantClosedOnce(t)
				})
			}
		}
	}
}

// What a reverse proxy passes on has no GetBody, whatever its client sends.
func TestF18AReverseProxyInARotation(t *testing.T) {
	t.Parallel()
	payload := strings.Repeat("metrics ", 10_000)
	for _, test := range []struct {
		name   string
		limit  int64
		change func(*http.Request)
		status int
	}{
		{name: "length known", limit: 1 << 20, status: http.StatusOK},
		{name: "in chunks", limit: 1 << 20, status: http.StatusOK,
			change: func(req *http.Request) { req.ContentLength = -1 }},
		{name: "announced", status: http.StatusOK,
			change: func(req *http.Request) { req.Header.Set("Expect", "100-continue") }},
		{name: "longer than the limit", limit: 1 << 10, status: http.StatusUnauthorized},
	} {
		for protocol := range protocols {
			t.Run(test.name+", "+protocol, func(t *testing.T) {
				t.Parallel()
				s := newRotatedServer(t, protocol, nil, func(c *secretsauth.Config) { c.BufferBodies = test.limit })
				s.base.ExpectContinueTimeout = time.Hour
				target, err := url.Parse(s.url)
				if err != nil {
					t.Fatal(err)
				}
				front := httptest.NewServer(&httputil.ReverseProxy{
					Transport: netted{s.rt},
					Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
				})
				defer front.Close()
				client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}, Timeout: time.Minute}
				defer client.CloseIdleConnections()
				req, _ := http.NewRequest(http.MethodPost, front.URL, strings.NewReader(payload))
				if test.change != nil {
					test.change(req)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != test.status {
					t.Fatalf("status %d, want %d", resp.StatusCode, test.status)
				}
				if test.status == http.StatusOK && <-s.text != payload {
					t.Error("the server did not get what the client sent")
				}
			})
		}
	}
}
