package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// keep returns r with a body that can be sent again, within bounds, and that body,
// or nil if there is none.
func keep(r *http.Request) (*http.Request, *body) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return r, nil
	}
	b := &body{from: r.Body, expected: r.Header.Get("Expect") != ""}
	again := *r // net/http looks at its own request's body when the handler is done
	if r.ContentLength < 0 && !b.expected {
		if size, ended := b.readAhead(r.Context()); ended {
			again.ContentLength, again.TransferEncoding = size, nil
			if size == 0 {
				again.Body = http.NoBody
				return &again, b
			}
		}
	}
	again.Body = b.reader()
	again.GetBody = b.again
	return &again, b
}

// long reports whether a body may have more than is kept of it: then it asks the
// server before it sends, so that a 401 can come while all of it is still there.
func long(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && (r.ContentLength < 0 || r.ContentLength > maxKept)
}

// maxAhead is how long the proxy waits for the end of a body of unknown length before
// it goes on without knowing it.
const maxAhead = 200 * time.Millisecond

// readAhead looks for the end of the body, for a moment. A client may wait for an
// answer to the first half of its body.
func (b *body) readAhead(ctx context.Context) (size int64, ended bool) {
	done := make(chan struct{})
	first := b.reader()
	go func() {
		defer close(done)
		buffer := make([]byte, 32<<10)
		for b.room() > 0 {
			if _, err := first.Read(buffer); err != nil {
				return
			}
		}
	}()
	timer := time.NewTimer(maxAhead)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return int64(len(b.kept)), errors.Is(b.err, io.EOF)
}

func (b *body) room() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maxKept - len(b.kept)
}
