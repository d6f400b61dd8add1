package faults

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"time"
)

// Surplus is a way in which a peer sends more than its answer. Unlike Go's own test
// servers, such a peer never closes a connection: what it has sent stays there to be
// read.
type Surplus struct {
	Name string

	greeting func(secret string) string // before any request
	after    func(exchange) []byte      // after an answer; nil: nothing
	late     bool                       // half a second after it
	status   int                        // in place of the answer's own
	chunked  bool
}

// Hesitate has the requests of ctx wait for a moment when they have their connection, so
// that what a peer says first is there before they are written. net/http prints it only
// if it comes that early, which is else a matter of luck.
func Hesitate(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { time.Sleep(2 * time.Millisecond) }})
}

// exchange is a request and its answer, as they went over the wire, and a body that the
// answer does not have: the one that it would have, and the peer's secret.
type exchange struct{ request, answer, body []byte }

// Surpluses are all of them.
func Surpluses() []Surplus {
	again := func(e exchange) []byte { return e.answer }
	echo := func(e exchange) []byte { return e.request }
	body := func(e exchange) []byte { return e.body }
	return []Surplus{
		{Name: "an answer sent twice", after: again},
		{Name: "an answer in chunks sent twice", after: again, chunked: true},
		{Name: "the request after the answer", after: echo},
		{Name: "the request after an answer in chunks", after: echo, chunked: true},
		{Name: "a second answer half a second later", after: again, late: true},
		{Name: "a body after 204", after: body, status: http.StatusNoContent},
		{Name: "a body after 304", after: body, status: http.StatusNotModified},
		{Name: "an answer before the request", greeting: func(secret string) string {
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(secret), secret)
		}},
		{Name: "no HTTP before the request", greeting: func(secret string) string { return secret + "\r\n" }},
	}
}

// SpeaksFirst reports whether it is there before any request.
func (s Surplus) SpeaksFirst() bool { return s.greeting != nil }

// Spoils reports whether an answer is of no use.
func (s Surplus) Spoils() bool { return s.status != 0 || s.greeting != nil }

// AfterHEAD is a body after the answer to HEAD, which has none.
var AfterHEAD = Surplus{Name: "a body after HEAD", after: func(e exchange) []byte { return e.body }}
