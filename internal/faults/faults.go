// Package faults puts a proxy on the loopback interface between a client and a
// server, to spoil what passes: the ways in which networks, load balancers and
// servers are known to fail.
package faults

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// Fault answers a request in place of the server behind, which next asks.
type Fault struct {
	Name  string
	Spoil func(w http.ResponseWriter, req *http.Request, next http.Handler)
}

// Proxy passes requests on to one server, or spoils them.
type Proxy struct {
	URL    string
	Seen   atomic.Int64 // requests
	server *httptest.Server
	fault  atomic.Pointer[Fault]
}

// New starts a proxy in front of upstream.
func New(upstream string) (*Proxy, error) { return start(upstream, (*httptest.Server).Start) }

// NewUntrusted starts one whose certificate nobody has a reason to trust.
func NewUntrusted(upstream string) (*Proxy, error) {
	return start(upstream, (*httptest.Server).StartTLS)
}

func start(upstream string, listen func(*httptest.Server)) (*Proxy, error) {
	to, err := url.Parse(upstream)
	if err != nil {
		return nil, err
	}
	next := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: &http.Transport{},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	p := new(Proxy)
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		p.Seen.Add(1)
		if f := p.fault.Load(); f != nil {
			f.Spoil(w, req, next)
			return
		}
		next.ServeHTTP(w, req)
	}))
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	listen(p.server)
	p.URL = p.server.URL
	return p, nil
}

// Set spoils from now on; nil lets everything pass. Connections are closed, so that
// the next request meets what there is now.
func (p *Proxy) Set(f *Fault) {
	p.fault.Store(f)
	p.server.CloseClientConnections()
}

// Close stops the proxy.
func (p *Proxy) Close() {
	p.fault.Store(nil)
	p.server.CloseClientConnections()
	p.server.Close()
}

// All are the faults; elsewhere is a URL to lead requests to.
func All(elsewhere string) []Fault {
	all := []Fault{
		{"hangs", func(_ http.ResponseWriter, req *http.Request, _ http.Handler) {
			_, _ = io.Copy(io.Discard, req.Body) // else the server does not notice that the client goes
			<-req.Context().Done()
		}},
		{"drops the connection", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			hijack(w, func(c net.Conn) { _ = c.Close() })
		}},
		{"resets the connection", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			hijack(w, func(c net.Conn) {
				if tcp, ok := c.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0)
				}
				_ = c.Close()
			})
		}},
		{"cuts the answer short", cutShort},
		{"stalls in the answer", func(w http.ResponseWriter, req *http.Request, next http.Handler) {
			answer := record(req, next)
			copyHeader(w, answer)
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
		}},
		{"answers slowly", func(w http.ResponseWriter, req *http.Request, next http.Handler) {
			answer := record(req, next)
			copyHeader(w, answer)
			w.WriteHeader(answer.Code)
			text := answer.Body.Bytes()
			for part := range 10 {
				_, _ = w.Write(text[part*len(text)/10 : (part+1)*len(text)/10])
				_ = http.NewResponseController(w).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		}},
		{"speaks no HTTP", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			hijack(w, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n"); _ = c.Close() })
		}},
		{"answers with a page", page(http.StatusOK)},
		{"answers 403 with a page", page(http.StatusForbidden)},
	}
	for _, after := range []string{"", "1", "31536000", "-5", "soon", "99999999999999999999", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)} {
		all = append(all, status(http.StatusTooManyRequests, after))
	}
	for _, code := range []int{500, 502, 503, 504} {
		all = append(all, status(code, ""))
	}
	all = append(all, status(http.StatusServiceUnavailable, "31536000"))
	for _, code := range []int{301, 302, 303, 307, 308} {
		all = append(all, Fault{fmt.Sprintf("redirects elsewhere with %d", code), func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
			http.Redirect(w, req, elsewhere+req.URL.Path, code) //nolint:gosec // the fault
		}})
	}
	return all
}

func status(code int, retryAfter string) Fault {
	name := strconv.Itoa(code)
	if retryAfter != "" {
		name += ", Retry-After: " + retryAfter
	}
	return Fault{"answers " + name, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(code)
	}}
}

func page(code int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(code)
		// As bad gateways do: with what they were sent.
		_, _ = fmt.Fprintf(w, "<html><body>Sign in. %s %s</body></html>", req.Header.Get("Authorization"), req.Header.Get("X-Vault-Token")) //nolint:gosec // the fault
	}
}

// cutShort promises the whole answer, sends half of it, and ends.
func cutShort(w http.ResponseWriter, req *http.Request, next http.Handler) {
	answer := record(req, next)
	hijack(w, func(c net.Conn) {
		text := answer.Body.String()
		_, _ = fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
			answer.Code, http.StatusText(answer.Code), answer.Header().Get("Content-Type"), len(text), text[:len(text)/2])
		_ = c.Close()
	})
}

func record(req *http.Request, next http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	next.ServeHTTP(w, req)
	return w
}

func copyHeader(w http.ResponseWriter, from *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), from.Header())
}

func hijack(w http.ResponseWriter, f func(net.Conn)) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	f(conn)
}
