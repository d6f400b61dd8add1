package store

import (
	"encoding/binary"
	"net"
	"sync"
)

// held is a connection whose reads wait for a write. net/http reads from a connection
// as soon as it is made, and takes bytes that come before its first request for an
// answer that nobody has asked for.
//
// With TLS there is a second such moment, after the handshake. There, [held.hold] has
// reads wait again. TLS must not have read ahead until then: while a handshake is
// under way, a read ends where a record ends.
type held struct {
	net.Conn

	mu        sync.Mutex
	gate      chan struct{} // reads wait until it is closed
	open      bool          // it is
	closed    bool          // the connection is
	handshake *records      // nil: none is under way
}

func hold(conn net.Conn) *held { return &held{Conn: conn, gate: make(chan struct{})} }

// Read waits for the first write since the connection was held, or for Close. It pays
// no heed to deadlines while it waits; net/http sets none.
func (h *held) Read(p []byte) (int, error) {
	h.mu.Lock()
	gate, handshake := h.gate, h.handshake
	h.mu.Unlock()
	<-gate
	if handshake != nil {
		return handshake.read(h.Conn, p)
	}
	return h.Conn.Read(p)
}

// Write lets reads pass before it writes: a peer may answer before it has read all.
func (h *held) Write(p []byte) (int, error) {
	h.release(false)
	return h.Conn.Write(p)
}

// Close lets reads pass, which then fail.
func (h *held) Close() error {
	err := h.Conn.Close()
	h.release(true)
	return err
}

func (h *held) release(closed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = h.closed || closed
	if !h.open {
		h.open = true
		close(h.gate)
	}
}

// begin is called before a TLS handshake.
func (h *held) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handshake = new(records)
}

// hold is called after a TLS handshake, while nobody reads.
func (h *held) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handshake = nil
	if h.open && !h.closed {
		h.open, h.gate = false, make(chan struct{})
	}
}

// headerSize is that of a TLS record (RFC 8446, section 5.1).
const headerSize = 5

// records keeps reads within one TLS record: its header, then its content. On anything
// but TLS that only makes reads shorter.
type records struct {
	header [headerSize]byte
	have   int // of the header
	left   int // of the content
}

func (r *records) read(conn net.Conn, p []byte) (int, error) {
	if r.left > 0 {
		n, err := conn.Read(p[:min(len(p), r.left)])
		r.left -= n
		return n, err
	}
	n, err := conn.Read(p[:min(len(p), headerSize-r.have)])
	r.have += copy(r.header[r.have:], p[:n])
	if r.have == headerSize {
		r.have, r.left = 0, int(binary.BigEndian.Uint16(r.header[3:]))
	}
	return n, err
}
