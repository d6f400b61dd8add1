package secretsauth_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// Bodies without GetBody, in simulated time: what is read before it is sent, and what
// is handed from one attempt to the next. uploads_test.go has the same over connections.

// attempt is what a base was given to send.
type attempt struct {
	body    string
	length  int64
	repeats bool // GetBody is set, so that net/http can send it again as well
	own     bool // it is the caller's body itself, of which nothing has been read
	none    bool // it is http.NoBody
}

func TestF18BodiesThatAreReadAhead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		limit  int64
		body   string
		length int64 // as announced
		change func(*trip)
		sends  int // of a request whose first answer is a 401
		first  attempt
	}{
		// Of known length.
		{name: "within the limit", limit: 10, body: "body", length: 4, sends: 2, first: attempt{body: "body", length: 4, repeats: true}},
		{name: "at the limit", limit: 4, body: "body", length: 4, sends: 2, first: attempt{body: "body", length: 4, repeats: true}},
		{name: "longer than the limit", limit: 3, body: "body", length: 4, sends: 1, first: attempt{body: "body", length: 4, own: true}},
		{name: "shorter than announced", limit: 10, body: "body", length: 5, sends: 1, first: attempt{body: "body", length: 5}},
		{name: "longer than announced", limit: 10, body: "body", length: 3, sends: 1, first: attempt{body: "body", length: 3}},
		{name: "none of what was announced", limit: 10, body: "", length: 3, sends: 1, first: attempt{length: 3}},

		// Of unknown length.
		{name: "unknown, within the limit", limit: 10, body: "body", sends: 2, first: attempt{body: "body", length: 4, repeats: true}},
		{name: "unknown as -1", limit: 10, body: "body", length: -1, sends: 2, first: attempt{body: "body", length: 4, repeats: true}},
		{name: "unknown, at the limit", limit: 4, body: "body", sends: 2, first: attempt{body: "body", length: 4, repeats: true}},
		{name: "unknown, longer than the limit", limit: 3, body: "body", length: -1, sends: 1, first: attempt{body: "body", length: -1}},
		{name: "unknown, empty", limit: 10, body: "", length: -1, sends: 2, first: attempt{repeats: true, none: true}},
		{name: "unknown, the largest limit", limit: math.MaxInt64, body: "body", sends: 2, first: attempt{body: "body", length: 4, repeats: true}},

		// Bodies that HTTP/1 must send in chunks.
		{name: "unknown, trailers", limit: 10, body: "body", length: -1, sends: 2, first: attempt{body: "body", length: -1, repeats: true},
			change: func(p *trip) { p.req.Trailer = http.Header{"X-Digest": {"1"}} }},
		{name: "unknown, an encoding of the caller's", limit: 10, body: "body", sends: 2, first: attempt{body: "body", repeats: true},
			change: func(p *trip) { p.req.TransferEncoding = []string{"chunked"} }},

		// Bodies that are not read.
		{name: "off", limit: 0, body: "body", length: 4, sends: 1, first: attempt{body: "body", length: 4, own: true}},
		{name: "GetBody", limit: 10, body: "body", length: 4, sends: 2, first: attempt{body: "body", length: 4, own: true, repeats: true},
			change: func(p *trip) {
				p.req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }
			}},
		{name: "Expect", limit: 10, body: "body", length: 4, sends: 1, first: attempt{body: "body", length: 4},
			change: func(p *trip) { p.req.Header.Set("Expect", "100-continue") }},
		{name: "a host that is not allowed", limit: 10, body: "body", sends: 1, first: attempt{body: "body", own: true},
			change: func(p *trip) { p.cfg.AllowedHosts = []string{"other.test"} }},
		{name: "a redirect from elsewhere", limit: 10, body: "body", sends: 1, first: attempt{body: "body", own: true},
			change: func(p *trip) {
				p.req.Response = &http.Response{Request: &http.Request{URL: p.req.URL.JoinPath()}}
				p.req.Response.Request.URL.Host = "other.test"
			}},
		{name: "a header of the caller's that is kept", limit: 10, body: "body", sends: 1, first: attempt{body: "body", own: true},
			change: func(p *trip) { p.cfg.KeepCallerHeader = true }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				p := newTrip(t, outdated(), status(http.StatusOK))
				read := &countedReads{Reader: strings.NewReader(test.body)}
				p.body.Reader, p.req.GetBody, p.req.ContentLength, p.cfg.BufferBodies = read, nil, test.length, test.limit
				var got []attempt
				p.cfg.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
					a := attempt{length: req.ContentLength, repeats: req.GetBody != nil, none: req.Body == http.NoBody, own: req.Body == p.body && read.n.Load() == 0}
					text, err := io.ReadAll(req.Body)
					if a.body = string(text); err != nil {
						t.Error(err)
					}
					got = append(got, a)
					return p.RoundTrip(req)
				})
				if test.change != nil {
					test.change(p)
				}
				before, trailer, encoding := *p.req, p.req.Trailer, p.req.TransferEncoding
				resp, err := p.take(t)
				if err != nil {
					t.Fatal(err)
				}
				if want := map[int]int{1: http.StatusUnauthorized, 2: http.StatusOK}[test.sends]; p.sends != test.sends || resp.StatusCode != want {
					t.Fatalf("sent %d times, status %d; want %d times, status %d", p.sends, resp.StatusCode, test.sends, want)
				}
				again := test.first
				again.own = false
				if got[0] != test.first || test.sends == 2 && got[1] != again {
					t.Errorf("the base was given %+v, want %+v", got, test.first)
				}
				p.checkCloses(t, "the caller's body", p.body, false)
				now := p.req
				if now.Body != before.Body || (now.GetBody == nil) != (before.GetBody == nil) || now.ContentLength != before.ContentLength || now.Close != before.Close ||
					len(now.Trailer) != len(trailer) || len(now.TransferEncoding) != len(encoding) || resp.Request != p.req {
					t.Error("the caller's request was changed")
				}
			})
		})
	}
}

// countedReads counts the Reads.
type countedReads struct {
	io.Reader
	n atomic.Int32
}

func (r *countedReads) Read(p []byte) (int, error) { r.n.Add(1); return r.Reader.Read(p) }

func TestF18ARequestThatIsNotSentHasItsBodyClosedOnce(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	for _, test := range []struct {
		name   string
		change func(*trip)
		err    error
	}{
		{"the body fails while it is read ahead", func(p *trip) {
			p.body.Reader = io.MultiReader(strings.NewReader("bo"), readerFunc(func([]byte) (int, error) { return 0, broken }))
		}, broken},
		{"read ahead, and the store is down", func(p *trip) { p.store.fail(down()) }, secretsauth.ErrUnavailable},
		{"longer than the limit, and the store is down", func(p *trip) { p.store.fail(down()); p.cfg.BufferBodies = 1; p.req.ContentLength = -1 },
			secretsauth.ErrUnavailable},
		{"announced, and the store is down", func(p *trip) { p.store.fail(down()); p.req.Header.Set("Expect", "100-continue") },
			secretsauth.ErrUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				p := newTrip(t)
				p.req.GetBody, p.cfg.BufferBodies = nil, 10
				test.change(p)
				if _, err := p.take(t); !errors.Is(err, test.err) || p.sends != 0 {
					t.Errorf("%v after %d sends, want %v", err, p.sends, test.err)
				}
				p.checkCloses(t, "the caller's body", p.body, false)
			})
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// stuckBody gives nothing until it is closed, or for longer if it is deaf.
type stuckBody struct {
	trackedBody
	closed chan struct{}
	deaf   bool
}

func (b *stuckBody) Read([]byte) (int, error) {
	<-b.closed
	if b.deaf {
		time.Sleep(30 * time.Second)
	}
	return 0, errors.New("read on a closed body")
}

func (b *stuckBody) Close() error {
	if b.closes.Add(1) == 1 {
		close(b.closed)
	}
	return nil
}

func TestF18TheContextEndsTheReadingOfABody(t *testing.T) {
	t.Parallel()
	for name, deaf := range map[string]bool{"Close ends a Read": false, "Close does not end a Read": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				p := newTrip(t)
				body := &stuckBody{closed: make(chan struct{}), deaf: deaf}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				p.req = p.req.WithContext(ctx)
				p.req.Body, p.req.GetBody, p.req.ContentLength, p.cfg.BufferBodies = body, nil, -1, 10
				begun := time.Now()
				_, err := p.take(t)
				if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Second {
					t.Errorf("%v after %v, want the context's error after 5s", err, took)
				}
				synctest.Wait()
				p.checkCloses(t, "the caller's body", &body.trackedBody, false)
				if p.sends != 0 || p.store.count() != 0 {
					t.Errorf("%d sends, %d reads of the store", p.sends, p.store.count())
				}
			})
		})
	}
}

// TestF18ReadingAheadTakesTheMemoryOfWhatIsRead is not parallel: it measures.
func TestF18ReadingAheadTakesTheMemoryOfWhatIsRead(t *testing.T) {
	for _, size := range []int64{100, 1 << 20} {
		p := newTrip(t, status(http.StatusOK))
		p.body.Reader = io.LimitReader(readerFunc(func(p []byte) (int, error) { return len(p), nil }), size)
		p.req.GetBody, p.req.ContentLength, p.cfg.BufferBodies = nil, -1, 1<<40
		rt, err := secretsauth.NewTransport(p.store, p.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := rt.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, err := rt.RoundTrip(p.req)
		runtime.ReadMemStats(&after)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(err)
		}
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(6*size)+128<<10; got > most {
			t.Errorf("%d bytes were allocated for a body of %d, want at most %d", got, size, most)
		}
	}
}

// An announced body is lent to the first attempt. What the base does with it, and when,
// decides who has it in the end.
func TestF18WhoHasAnAnnouncedBody(t *testing.T) {
	t.Parallel()
	read := func(body io.Reader) string { text, _ := io.ReadAll(body); return string(text) }
	type log struct{ early, late, second string }
	for _, test := range []struct {
		name   string
		answer answer // the first
		// What the first attempt does with the body before it has its answer, and
		// after that, in a goroutine of its own.
		before, after func(io.ReadCloser) string
		want          log // what each read
		status        int
		err           bool
	}{
		{name: "not read, closed at once, rejected", answer: outdated(), want: log{second: "body"}, status: http.StatusOK,
			before: func(b io.ReadCloser) string { _ = b.Close(); return "" }},
		{name: "not read, closed later, rejected", answer: outdated(), want: log{second: "body"}, status: http.StatusOK,
			after: func(b io.ReadCloser) string { _ = b.Close(); _ = b.Close(); return "" }},
		{name: "read after the rejection, which comes too late", answer: outdated(), want: log{second: "body"}, status: http.StatusOK,
			after: func(b io.ReadCloser) string { defer b.Close(); return read(b) }},
		{name: "read after a close", answer: status(http.StatusOK),
			before: func(b io.ReadCloser) string { _ = b.Close(); return read(b) }, status: http.StatusOK},
		{name: "begun before the rejection", answer: outdated(), want: log{early: "b"}, status: http.StatusUnauthorized,
			before: func(b io.ReadCloser) string {
				defer b.Close()
				one := []byte{0}
				_, _ = b.Read(one)
				return string(one)
			}},
		{name: "begun before the rejection, and read on after it", answer: outdated(), want: log{early: "b", late: "ody"}, status: http.StatusUnauthorized,
			before: func(b io.ReadCloser) string { one := []byte{0}; _, _ = b.Read(one); return string(one) },
			after:  func(b io.ReadCloser) string { defer b.Close(); return read(b) }},
		{name: "rejected, and the store has nothing else: read after that", answer: status(http.StatusUnauthorized), want: log{late: "body"}, status: http.StatusUnauthorized,
			after: func(b io.ReadCloser) string { defer b.Close(); return read(b) }},
		{name: "rejected, and the store has nothing else: closed unread", answer: status(http.StatusUnauthorized), status: http.StatusUnauthorized,
			before: func(b io.ReadCloser) string { _ = b.Close(); return "" }},
		{name: "accepted, and read after the answer", answer: status(http.StatusOK), want: log{late: "body"}, status: http.StatusOK,
			after: func(b io.ReadCloser) string { defer b.Close(); return read(b) }},
		{name: "417, closed unread", answer: status(http.StatusExpectationFailed), status: http.StatusExpectationFailed,
			before: func(b io.ReadCloser) string { _ = b.Close(); return "" }},
		{name: "417, closed unread after the answer", answer: status(http.StatusExpectationFailed), status: http.StatusExpectationFailed,
			after: func(b io.ReadCloser) string { _ = b.Close(); return "" }},
		{name: "the base fails, closed unread", answer: answer{err: errors.New("no route")}, err: true,
			before: func(b io.ReadCloser) string { _ = b.Close(); return "" }},
		{name: "the base fails, closed later", answer: answer{err: errors.New("no route")}, err: true,
			after: func(b io.ReadCloser) string { _ = b.Close(); return "" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(t *testing.T) {
				p := newTrip(t, test.answer, status(http.StatusOK))
				p.req.GetBody = nil
				p.req.Header.Set("Expect", "100-continue")
				p.store.slow(time.Second) // so that what happens after the answer happens before the decision
				var got log
				late := make(chan string, 1)
				p.cfg.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
					body := req.Body
					if p.sends == 0 {
						if !req.Close {
							t.Error("the first attempt does not ask to close the connection")
						}
						if test.before != nil {
							got.early = test.before(body)
						}
						if test.after != nil {
							go func() {
								time.Sleep(time.Millisecond) // until nothing happens any more: the answer is there
								late <- test.after(body)
							}()
						}
						req.Body = nil // RoundTrip of trip leaves it
					} else if got.second = read(body); req.Close || req.Header.Get("Expect") == "" {
						t.Error("the second attempt is not as the caller's request")
					}
					return p.RoundTrip(req)
				})
				unchanged := photograph(p.req)
				resp, err := p.take(t)
				if test.err != (err != nil) || err == nil && resp.StatusCode != test.status {
					t.Errorf("response %v, error %v; want status %d", resp != nil, err, test.status)
				}
				if test.after != nil {
					got.late = <-late
				}
				unchanged(t)
				if got != test.want {
					t.Errorf("read %+v, want %+v", got, test.want)
				}
				p.checkCloses(t, "the caller's body", p.body, false)
			})
		})
	}
}

// A rejected request waits for a rotation, and its body with it.
func TestF18AnAnnouncedBodyWaitsForARotation(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T) {
		w := newWorld(t, func(c *secretsauth.Config) { c.RotationWait = 10 * time.Second })
		base := w.server
		var got []string
		rt, err := newTransport(w.store, secretsauth.Config{
			AllowedHosts: []string{"mlflow.test"}, RotationWait: 10 * time.Second,
			Base: roundTripper(func(req *http.Request) (*http.Response, error) {
				if req.Header.Get("Authorization") != "Bearer "+w.fresh && req.Body != nil {
					_ = req.Body.Close()
					req.Body = nil
				} else if req.Body != nil {
					text, _ := io.ReadAll(req.Body)
					got = append(got, string(text))
				}
				return base.RoundTrip(req)
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		w.rt = rt
		w.want("/", http.StatusOK)
		w.server.accept(w.fresh) // the store follows
		time.AfterFunc(3*time.Second, func() { w.store.put(w.fresh) })
		body := &trackedBody{Reader: bytes.NewReader([]byte("metrics"))}
		req, _ := http.NewRequest(http.MethodPost, "https://mlflow.test/", body)
		req.Header.Set("Expect", "100-continue")
		resp, err := netted{rt}.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", resp != nil, err)
		}
		if len(got) != 1 || got[0] != "metrics" || body.closes.Load() != 1 {
			t.Errorf("the server read %q, and the body was closed %d times", got, body.closes.Load())
		}
	})
}

func TestF18ANegativeLimitIsRefused(t *testing.T) {
	t.Parallel()
	_, err := newTransport(&fakeStore{}, secretsauth.Config{AllowedHosts: []string{"mlflow.test"}, BufferBodies: -1})
	if !errors.Is(err, secretsauth.ErrConfig) || !strings.Contains(err.Error(), "Config.BufferBodies is negative: -1; fix: leave it zero") {
		t.Errorf("%v, want ErrConfig that names the field and the cure", err)
	}
}
