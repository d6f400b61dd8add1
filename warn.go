package secretsauth

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// warnOnce logs a warning about a host once.
func (t *Transport) warnOnce(req *http.Request, host *hostDecision, what, detail string) {
	if host.warned.Load() {
		return
	}
	host.warned.Store(true)
	name := host.Host
	if name == "" {
		if name = fmt.Sprintf("%.100q", req.URL.Host); strings.Contains(name, "@") {
			name = "(a host with a username)" // and perhaps a password
		}
	}
	t.warn(req, what+": "+name, name, detail)
}

// warn logs a line once.
func (t *Transport) warn(req *http.Request, line, host, detail string) {
	if t.warned.first(line) {
		t.log.WarnContext(req.Context(), line, "host", host, "detail", detail)
	}
}

// onceEach remembers a bounded number of lines.
type onceEach struct {
	mu   sync.Mutex
	seen map[string]bool
}

const maxWarnings = 1000

func (o *onceEach) first(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen[text] || len(o.seen) >= maxWarnings {
		return false
	}
	if o.seen == nil {
		o.seen = make(map[string]bool)
	}
	o.seen[text] = true
	return true
}
