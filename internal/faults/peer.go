package faults

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"sync"
	"time"
)

// Links are the ways to a [Peer].
var Links = map[string]func(handler http.Handler, surplus Surplus, secret string) (*Peer, error){
	"TCP":     NewPeer,
	"TLS 1.2": overTLS(tls.VersionTLS12),
	"TLS 1.3": overTLS(tls.VersionTLS13),
}

// Peer is a server that sends more than its answers.
type Peer struct {
	URL string

	surplus  Surplus
	secret   string
	handler  http.Handler
	listener net.Listener
	security *tls.Config
	root     *x509.Certificate

	mu    sync.Mutex
	said  int // answers, and words before a request
	conns map[net.Conn]bool
	ended chan struct{} // closed and made anew whenever a connection ends
}

// NewPeer starts a server of HTTP/1 that answers by handler. What it says before any
// request holds secret; what it says besides is made of requests and answers.
func NewPeer(handler http.Handler, surplus Surplus, secret string) (*Peer, error) {
	l, err := listen()
	if err != nil {
		return nil, err
	}
	return NewPeerAt(l, handler, surplus, secret), nil
}

// NewPeerAt starts one that listens at l, which may be a Unix socket.
func NewPeerAt(l net.Listener, handler http.Handler, surplus Surplus, secret string) *Peer {
	return newPeer(l, handler, surplus, secret, nil, nil)
}

func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func overTLS(version uint16) func(http.Handler, Surplus, string) (*Peer, error) {
	return func(handler http.Handler, surplus Surplus, secret string) (*Peer, error) {
		donor := httptest.NewTLSServer(nil) // of a certificate for loopback
		defer donor.Close()
		security := donor.TLS.Clone()
		security.NextProtos, security.MinVersion, security.MaxVersion = []string{"http/1.1"}, version, version
		l, err := listen()
		if err != nil {
			return nil, err
		}
		return newPeer(l, handler, surplus, secret, security, donor.Certificate()), nil
	}
}

func newPeer(l net.Listener, handler http.Handler, surplus Surplus, secret string, security *tls.Config, root *x509.Certificate) *Peer {
	p := &Peer{
		URL: "http://" + l.Addr().String(), surplus: surplus, secret: secret, handler: handler, listener: l,
		security: security, root: root, conns: map[net.Conn]bool{}, ended: make(chan struct{}),
	}
	if security != nil {
		p.URL = "https://" + l.Addr().String()
	}
	go p.accept()
	return p
}

// Roots trust a peer that speaks TLS.
func (p *Peer) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	if p.root != nil {
		pool.AddCert(p.root)
	}
	return pool
}

// Certificate is that of a peer that speaks TLS.
func (p *Peer) Certificate() *x509.Certificate { return p.root }

// Answered is how often the peer has said something, asked or unasked.
func (p *Peer) Answered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said
}

func (p *Peer) count() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said++
}

// Close ends the peer, and its connections.
func (p *Peer) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

// Left reports whether every connection was closed from the other side. What the other
// side prints of what it has not asked for, it prints before.
func (p *Peer) Left(patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		p.mu.Lock()
		open, ended := len(p.conns), p.ended
		p.mu.Unlock()
		if open == 0 {
			return true
		}
		select {
		case <-ended:
		case <-timer.C:
			return false
		}
	}
}

func (p *Peer) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns[conn] = true
		p.mu.Unlock()
		go func() {
			p.serve(conn)
			_ = conn.Close()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.conns, conn)
			close(p.ended)
			p.ended = make(chan struct{})
		}()
	}
}

// serve answers until the other side has closed the connection.
func (p *Peer) serve(raw net.Conn) {
	held := &corked{Conn: raw}
	var conn net.Conn = held
	if p.security != nil {
		over := tls.Server(held, p.security)
		if over.Handshake() != nil {
			return
		}
		conn = over
	}
	if p.surplus.greeting != nil {
		p.count()
		_, _ = io.WriteString(conn, p.surplus.greeting(p.secret))
	}
	in := &recording{from: conn}
	buffered := bufio.NewReader(in)
	for held.uncork() == nil {
		in.text.Reset()
		ahead, _ := buffered.Peek(buffered.Buffered())
		in.text.Write(ahead)
		req, err := http.ReadRequest(buffered)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		if p.security != nil {
			req.TLS = new(tls.ConnectionState)
		}
		answer, content := p.answer(req)
		if answer == nil {
			return
		}
		p.count()
		if err := p.tell(conn, held, buffered, exchange{in.text.Bytes(), answer, append(content, p.secret...)}); err != nil {
			return
		}
	}
}

// tell writes an answer, and what comes with it in the same segment or later.
func (p *Peer) tell(conn net.Conn, held *corked, in *bufio.Reader, e exchange) error {
	if _, err := conn.Write(e.answer); err != nil || p.surplus.after == nil {
		return err
	}
	if p.surplus.late {
		if err := held.uncork(); err != nil {
			return err
		}
		_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		_, err := in.Peek(1)
		_ = conn.SetReadDeadline(time.Time{})
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err // it has gone, or goes on
		}
	}
	_, err := conn.Write(p.surplus.after(e))
	return err
}

// answer is handler's, as it goes over the wire, or nil if it broke off, and its body.
func (p *Peer) answer(req *http.Request) (text, body []byte) {
	defer func() {
		if recover() != nil {
			text = nil
		}
	}()
	w := record(req, p.handler)
	if p.surplus.status != 0 {
		w.Code = p.surplus.status
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", w.Code, http.StatusText(w.Code))
	for name, values := range w.Header() {
		for _, value := range values {
			if name = textproto.CanonicalMIMEHeaderKey(name); name != "Content-Length" {
				fmt.Fprintf(&b, "%s: %s\r\n", name, value)
			}
		}
	}
	body = w.Body.Bytes()
	switch {
	case w.Code == http.StatusNoContent, w.Code == http.StatusNotModified:
		b.WriteString("\r\n")
	case p.surplus.chunked:
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	default:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(body))
		if req.Method != http.MethodHead {
			b.Write(body)
		}
	}
	return b.Bytes(), body
}

// recording keeps what is read.
type recording struct {
	from io.Reader
	text bytes.Buffer
}

func (r *recording) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	_, _ = r.text.Write(p[:n])
	return n, err
}

// corked sends what was written before the next read, in one go: so the end of a
// handshake and what follows it arrive together.
type corked struct {
	net.Conn
	kept []byte
}

func (c *corked) Write(p []byte) (int, error) {
	c.kept = append(c.kept, p...)
	return len(p), nil
}

func (c *corked) Read(p []byte) (int, error) {
	if err := c.uncork(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *corked) uncork() error {
	_, err := c.Conn.Write(c.kept)
	c.kept = c.kept[:0]
	return err
}
