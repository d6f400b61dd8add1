package proxy_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

// stream is n bytes that differ, made as they are read.
type stream struct {
	left, at int
	sum      hash.Hash
}

func newStream(n int) *stream { return &stream{left: n, sum: sha256.New()} }

func (s *stream) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), s.left)
	for i := range p[:n] {
		p[i] = byte((s.at + i) * 7 >> 3)
	}
	s.at, s.left = s.at+n, s.left-n
	s.sum.Write(p[:n])
	return n, nil
}

func (s *stream) String() string { return fmt.Sprintf("%d bytes, %x", s.at, s.sum.Sum(nil)) }

// summed is what there is in a body, without keeping it.
func summed(r io.Reader) string {
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d bytes, %x", n, sum.Sum(nil))
}

// echo tells what it has received, and how it was announced.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Length", strconv.FormatInt(r.ContentLength, 10))
	w.Header().Set("X-Expect", r.Header.Get("Expect"))
	_, _ = io.WriteString(w, summed(r.Body))
}

// unsized hides a body's length, so that it is sent in chunks.
type unsized struct{ io.Reader }

// A body of up to 1 MiB survives a rotation, however it is sent.
func TestBodiesAreSentAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		size    int
		chunked bool
	}{
		"none": {0, false}, "a byte": {1, false}, "1 MiB": {1 << 20, false},
		"in chunks": {100_000, true}, "an empty chunk": {0, true}, "almost 1 MiB in chunks": {1<<20 - 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, echo)
			w.warm()
			w.rotate()
			sent := newStream(tc.size)
			var body io.Reader = unsized{sent}
			if !tc.chunked {
				var all bytes.Buffer
				_, _ = all.ReadFrom(sent)
				body = &all
			}
			got := w.do(w.request(http.MethodPost, "/api", body))
			w.wantStatus(got, 200)
			if got.text != sent.String() || got.Header.Get("X-Length") != strconv.Itoa(tc.size) {
				t.Errorf("the server got %s, length %s; want %s", got.text, got.Header.Get("X-Length"), sent)
			}
			if n := len(w.server.requests()); n != 2 {
				t.Errorf("%d requests, want the rejected one and its replay", n)
			}
		})
	}
}

// A longer one too, if the server answers before it reads: it is asked first.
func TestEarly401(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked %v", chunked), func(t *testing.T) {
			t.Parallel()
			// A base that sends such bodies at once is made to wait.
			w := newWorld(t, echo, with(func(c *proxy.Config) { c.Base = new(http.Transport) }))
			w.warm()
			w.rotate()
			sent := newStream(8 << 20)
			req := w.request(http.MethodPut, "/artifact", unsized{sent})
			if !chunked {
				req.ContentLength = int64(sent.left)
			}
			got := w.do(req)
			w.wantStatus(got, 200)
			if got.text != sent.String() || got.Header.Get("X-Expect") != "100-continue" {
				t.Errorf("the server got %s, Expect %q; want %s", got.text, got.Header.Get("X-Expect"), sent)
			}
			if n := len(w.server.requests()); n != 2 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// The server takes some of the body before it says 401, and the client is still
// sending: what was kept is sent again, the rest follows from the client (S101).
func Test401InTheMiddleOfABody(t *testing.T) {
	t.Parallel()
	w := unproxied(t, nil)
	replayed := make(chan struct{})
	w.server.Config.Handler = http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.server.note(r)
		if !w.server.knows(r) {
			_, _ = io.CopyN(io.Discard, r.Body, 100<<10)
			refuse(out)
			_ = http.NewResponseController(out).Flush()
			<-replayed // a reset now could reach the proxy before the answer
			return
		}
		close(replayed)
		echo(out, r)
	})
	w.server.Start()
	w.start()
	w.warm()
	w.rotate()
	sent := newStream(8 << 20)
	pipe, in := io.Pipe()
	go func() {
		_, _ = io.CopyN(in, sent, 512<<10)
		<-replayed // while the first send still waits for the client
		_, err := io.Copy(in, sent)
		_ = in.CloseWithError(err)
	}()
	req := w.request(http.MethodPut, "/artifact", pipe)
	req.ContentLength = 8 << 20
	got := w.do(req)
	w.wantStatus(got, 200)
	if got.text != sent.String() {
		t.Errorf("the server got %s, want %s", got.text, sent)
	}
}

// What has been sent and not kept cannot be sent again: the server's 401, whole.
func TestSpentBodyGetsThe401(t *testing.T) {
	t.Parallel()
	w := unproxied(t, nil)
	w.server.Config.Handler = http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.server.note(r)
		got := summed(r.Body)
		if !w.server.knows(r) {
			refuse(out)
			return
		}
		_, _ = io.WriteString(out, got)
	})
	w.server.Start()
	w.start()
	w.warm()
	w.rotate()
	upload := func() (reply, *stream) {
		sent := newStream(4 << 20)
		return w.do(w.request(http.MethodPut, "/artifact", unsized{sent})), sent
	}
	got, _ := upload()
	w.wantStatus(got, 401)
	if got.text != "You are not authenticated." || got.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("answer %q, %v", got.text, got.Header)
	}
	if n := len(w.server.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
	got, sent := upload() // has the new secret
	w.wantStatus(got, 200)
	if got.text != sent.String() {
		t.Errorf("the server got %s, want %s", got.text, sent)
	}
}

// A client that has sent a long body before it reads finds the early answer.
func TestAnswerIsThereAfterALongBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(out http.ResponseWriter, _ *http.Request) {
		out.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	const size = 16 << 20
	got, _, _ := w.raw(fmt.Sprintf("PUT / HTTP/1.1\nHost: %s\nAuthorization: Bearer %s\nContent-Length: %d\n\n%s",
		strings.TrimPrefix(w.proxy.URL(), "http://"), w.token, size, strings.Repeat("x", size)))
	w.wantStatus(got, http.StatusRequestEntityTooLarge)
}

// A client that waits for "100 Continue" and is refused has not been told to send.
func TestExpectOfTheClientReachesTheServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			out.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		echo(out, r)
	}, with(func(c *proxy.Config) { c.DrainTimeout = 50 * time.Millisecond }))
	head := "PUT %s HTTP/1.1\nHost: " + strings.TrimPrefix(w.proxy.URL(), "http://") + "\nAuthorization: Bearer " + w.token +
		"\nExpect: 100-continue\nContent-Length: 5\n\n"
	got, _, rest := w.raw(fmt.Sprintf(head, "/refused"))
	w.wantStatus(got, 413)
	if _, err := rest.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the refusal: %v", err)
	}
	got, conn, r := w.raw(fmt.Sprintf(head, "/"))
	w.wantStatus(got, 100)
	_, _ = io.WriteString(conn, "hello")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.wantStatus(w.read(resp), 200)
}

// A client may want an answer before it goes on sending.
func TestBothDirectionsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(out http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(out).EnableFullDuplex()
		buffer := make([]byte, 100)
		for {
			n, err := r.Body.Read(buffer)
			if _, _ = out.Write(bytes.ToUpper(buffer[:n])); err != nil {
				return
			}
			_ = http.NewResponseController(out).Flush()
		}
	})
	pipe, in := io.Pipe()
	req := w.request(http.MethodPost, "/", pipe)
	send := func(text string) { go func() { _, _ = io.WriteString(in, text) }() }
	send("first")
	// On a connection that may be kept net/http's server would first read the rest.
	keeping := &http.Client{Transport: new(http.Transport)}
	defer keeping.CloseIdleConnections()
	resp, err := keeping.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, step := range []struct{ want, next string }{{"FIRST", "second"}, {"SECOND", ""}} {
		got := make([]byte, len(step.want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != step.want {
			t.Fatalf("got %q, %v", got, err)
		}
		if step.next != "" {
			send(step.next)
		}
	}
	_ = in.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("at the end %q, %v", rest, err)
	}
}

// Artifacts of gigabytes pass both ways in little memory. Not parallel: it counts
// what the whole process allocates.
func TestLargeBodiesStream(t *testing.T) {
	const size = 64 << 20
	w := newWorld(t, func(out http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			sent := newStream(size)
			out.Header().Set("Trailer", "X-Sum")
			_, _ = io.Copy(out, sent)
			out.Header().Set("X-Sum", sent.String())
			return
		}
		echo(out, r)
	})
	w.warm()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, chunked := range []bool{false, true} {
		sent := newStream(size)
		req := w.request(http.MethodPut, "/artifact", unsized{sent})
		if !chunked {
			req.ContentLength = size
		}
		got := w.do(req)
		w.wantStatus(got, 200)
		if got.text != sent.String() {
			t.Errorf("the server got %s, want %s", got.text, sent)
		}
	}
	resp, err := client.Do(w.request(http.MethodGet, "/artifact", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := summed(resp.Body); got != resp.Trailer.Get("X-Sum") || !strings.HasPrefix(got, strconv.Itoa(size)) {
		t.Errorf("got %s, want %s", got, resp.Trailer.Get("X-Sum"))
	}
	runtime.ReadMemStats(&after)
	allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
	t.Logf("%d MiB passed, %d MiB allocated in all, by client and server too", 3*size>>20, allocated)
	if allocated > 24 {
		t.Errorf("%d MiB were allocated: bodies do not stream", allocated)
	}
}
