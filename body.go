package secretsauth

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// http.NewRequest sets GetBody for bytes and strings, but not for files, pipes and what
// a reverse proxy passes on. A body without GetBody can be sent again all the same if it
// was short and read before it was sent (readAhead), or if the server rejected the
// request before any of the body was read, as "Expect: 100-continue" lets it (announce).

// readAhead returns req, or a copy of it whose body has been read (Config.BufferBodies).
// A body that turns out to be longer than the limit, or not as long as announced, is
// sent as if it had not been read, and net/http complains as it always does. After an
// error the body is closed.
func (t *Transport) readAhead(req *http.Request) (*http.Request, error) {
	if replayable(req) || announces(req) || req.ContentLength > t.bufferBodies {
		return req, nil
	}
	limit, known := t.bufferBodies, req.ContentLength > 0 // with a body, 0 means unknown too
	if known {
		limit = req.ContentLength
	}
	head, err := readUpTo(req.Context(), req.Body, limit+1)
	if err != nil {
		return nil, err
	}
	out, n := *req, int64(len(head))
	if n > limit || known && n < limit {
		out.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head), req.Body), req.Body}
		return &out, nil
	}
	_ = req.Body.Close() // all of it has been read, so an error would tell nothing
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(head)), nil }
	out.Body, _ = out.GetBody()
	if req.Trailer != nil || len(req.TransferEncoding) > 0 {
		return &out, nil // net/http sends trailers only after a body of unknown length
	}
	if out.ContentLength = n; n == 0 {
		out.Body = http.NoBody // a length of 0 with any other body means unknown
	}
	return &out, nil
}

// readUpTo reads body to its end, but no more than n bytes. If ctx ends first, or body
// fails, it closes body and returns that error. It does not wait for a Read that goes
// on after ctx has ended: not every Close ends one.
func readUpTo(ctx context.Context, body io.ReadCloser, n int64) ([]byte, error) {
	var head []byte
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		head, err = io.ReadAll(io.LimitReader(body, n))
	}()
	select {
	case <-done:
	case <-ctx.Done():
		go func() { _ = body.Close() }() // it may wait for the Read
		return nil, ctx.Err()
	}
	if err != nil {
		_ = body.Close()
	}
	return head, err
}

// announces reports whether req asks the server before it sends its body.
func announces(req *http.Request) bool { return req.Header.Get("Expect") != "" }

// announced is a body without GetBody, as the first attempt at sending its request sees
// it. That attempt only borrows the body until it begins to read it or is answered. If
// it is rejected before, the second attempt can have the body instead. The caller's body
// is closed once, by the attempt that has it in the end.
type announced struct {
	body io.ReadCloser // the caller's

	mu        sync.Mutex
	read      bool      // the first attempt has begun to read
	closed    bool      // the first attempt has closed it
	suspended bool      // the first attempt was rejected; its Reads wait for take or settle
	decided   sync.Cond // signalled when suspended ends
	taken     bool      // the second attempt has the body
	settled   bool      // the first attempt has it for good
}

var errTaken = errors.New("secretsauth: another attempt has the body")

// announce makes out, the first attempt at sending a request, ready for a server that
// rejects it without reading the body. It returns nil if there is no need. The request
// asks to close the connection, because net/http would otherwise send the body after
// the rejection, so that the connection can be used again (F50).
func announce(out *http.Request) *announced {
	if replayable(out) || !announces(out) {
		return nil
	}
	a := &announced{body: out.Body}
	a.decided.L = &a.mu
	out.Body, out.Close = a, true
	return a
}

// Read is the first attempt's. So is Close.
func (a *announced) Read(p []byte) (int, error) {
	if err := a.begin(); err != nil {
		return 0, err
	}
	return a.body.Read(p)
}

// begin notes that the first attempt reads the body, if it still has it.
func (a *announced) begin() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.suspended {
		a.decided.Wait()
	}
	switch {
	case a.taken:
		return errTaken
	case a.closed:
		return http.ErrBodyReadAfterClose
	}
	a.read = true
	return nil
}

func (a *announced) Close() error {
	a.mu.Lock()
	now := !a.closed && (a.read || a.settled) // otherwise settle does it
	a.closed = true
	a.mu.Unlock()
	if !now {
		return nil
	}
	return a.body.Close() // it may wait for a Read
}

// suspend is called when the first attempt was rejected. It reports whether the second
// one can have the body: nothing of it was read, and nothing will be until settle.
func (a *announced) suspend() bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.suspended = !a.read
	return a.suspended
}

// take is called when a further attempt is made. It reports whether that has the body.
func (a *announced) take() bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.suspended {
		return false
	}
	a.suspended, a.taken = false, true
	a.decided.Broadcast()
	return true
}

// settle is called when the request is over. It leaves a body that was not taken to the
// first attempt.
func (a *announced) settle() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken {
		return
	}
	a.suspended, a.settled = false, true
	a.decided.Broadcast()
	if a.closed && !a.read {
		_ = a.body.Close()
	}
}
