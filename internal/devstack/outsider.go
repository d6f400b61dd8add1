package devstack

import (
	"net/http"
	"slices"
	"sync"
)

// Outsider is a host that is not to have the credential. It answers 200 to
// everything and remembers what it was sent. It listens on 127.0.0.1; its URL
// says localhost, so that it is another host than the other stand-ins.
type Outsider struct {
	*server

	mu       sync.Mutex
	received []Received
}

// Received is what the outsider saw of one request.
type Received struct {
	Method, Path string
	Header       http.Header
}

// StartOutsider starts an outsider.
func StartOutsider() (*Outsider, error) {
	o := &Outsider{}
	var err error
	o.server, err = serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.received = append(o.received, Received{r.Method, r.URL.Path, r.Header.Clone()})
	}))
	return o, err
}

// URL is "http://localhost:PORT".
func (o *Outsider) URL() string { return "http://localhost:" + o.Port() }

// Received is every request so far.
func (o *Outsider) Received() []Received {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.received)
}
