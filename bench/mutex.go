package main

import (
	"net/http"
	"sync"
)

// mutexTransport is what is written by hand: a token behind a mutex, cleared when
// the server rejects it. It does not ask which token was rejected.
type mutexTransport struct {
	store *store
	base  http.RoundTripper

	mu    sync.Mutex
	token string
}

func wrapMutex(s *store, base http.RoundTripper) http.RoundTripper {
	return &mutexTransport{store: s, base: base}
}

func (t *mutexTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.send(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	_ = resp.Body.Close()
	t.mu.Lock()
	t.token = ""
	t.mu.Unlock()
	return t.send(req)
}

func (t *mutexTransport) send(req *http.Request) (*http.Response, error) {
	t.mu.Lock()
	if t.token == "" {
		t.token = t.store.read()
	}
	token := t.token
	t.mu.Unlock()
	out := req.Clone(req.Context())
	out.Header.Set("Authorization", "Bearer "+token)
	return t.base.RoundTrip(out)
}
