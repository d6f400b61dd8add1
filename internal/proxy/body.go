package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// maxKept of a body is kept, so that it can be sent a second time after a 401.
	maxKept = 1 << 20
	// firstKept is room for what most requests have.
	firstKept = 4 << 10
	// maxDrain of a body is read after its answer, so that a client which sends
	// first and reads then finds the answer, not a broken connection.
	maxDrain = 256 << 20
)

var (
	errSpent      = errors.New("the body's beginning is no longer there")
	errSuperseded = errors.New("the body is sent once more by another reader")
)

// body is a client's body, read once, and its beginning kept. As long as no more
// than that has been read, it can be read from the start again: by one reader at a
// time, since the first send may still be going on when it is answered (S101).
type body struct {
	reading sync.Mutex // held while the client is read, which may take long
	from    io.Reader
	// expected: the client waits for "100 Continue" before it sends.
	expected bool

	mu      sync.Mutex
	kept    []byte
	begun   bool  // the client has been asked for it
	spent   bool  // more than was kept has been read
	err     error // how it ended
	current *reader
}

// reader is one pass over a body.
type reader struct {
	*body
	at int // in kept
}

// reader starts a pass and ends the one before.
func (b *body) reader() *reader {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = &reader{body: b}
	return b.current
}

// again is http.Request.GetBody.
func (b *body) again() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent {
		return nil, errSpent
	}
	b.current = &reader{body: b}
	return b.current, nil
}

// Close ends the pass. The client's body is the server's to close.
func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == r {
		r.current = nil
	}
	return nil
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.mu.Lock()
	n, done, err := r.take(p)
	r.mu.Unlock()
	if done {
		return n, err
	}
	r.reading.Lock()
	defer r.reading.Unlock()
	r.mu.Lock()
	if n, done, err = r.take(p); done { // another has read meanwhile
		r.mu.Unlock()
		return n, err
	}
	r.begun = true
	if room := maxKept - len(r.kept); !r.spent && room > 0 {
		p = p[:min(len(p), room)]
	} else {
		r.spent, r.kept = true, nil
	}
	r.mu.Unlock()

	n, err = r.from.Read(p)

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err = err; !r.spent {
		r.add(p[:n])
	}
	if r.current != r {
		return 0, errSuperseded // what came is kept, for whoever reads now
	}
	r.at += n
	return n, err
}

// add keeps p as well. The room for it grows in few steps: append's are many.
func (b *body) add(p []byte) {
	if need := len(b.kept) + len(p); need > cap(b.kept) {
		grown := make([]byte, len(b.kept), min(max(need, 4*cap(b.kept), firstKept), maxKept))
		copy(grown, b.kept)
		b.kept = grown
	}
	b.kept = append(b.kept, p...)
}

// take is a read that needs nothing of the client. It is called under mu.
func (r *reader) take(p []byte) (n int, done bool, err error) {
	switch {
	case r.current != r:
		return 0, true, errSuperseded
	case !r.spent && r.at < len(r.kept):
		n = copy(p, r.kept[r.at:])
		r.at += n
		return n, true, nil
	case r.err != nil:
		return 0, true, r.err
	}
	return 0, false, nil
}

// end ends every pass.
func (b *body) end() {
	if b != nil {
		b.mu.Lock()
		b.current = nil
		b.mu.Unlock()
	}
}

// broken reports whether it is not what the client has announced.
func (b *body) broken() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil && !errors.Is(b.err, io.EOF)
}

// drain reads what the client still sends after its answer, for at most d. One that
// waits for "100 Continue" sends nothing more.
func (b *body) drain(w http.ResponseWriter, d time.Duration) {
	if b == nil {
		return
	}
	b.end()
	b.mu.Lock()
	ended, begun := b.err != nil, b.begun
	b.mu.Unlock()
	if ended {
		return
	}
	control := http.NewResponseController(w)
	if control.Flush() != nil || control.SetReadDeadline(time.Now().Add(d)) != nil || !begun && b.expected {
		return
	}
	b.reading.Lock() // a send that was given up may still wait for the client
	defer b.reading.Unlock()
	_, _ = io.CopyN(io.Discard, b.from, maxDrain)
}
