package secretsauth

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// verdict is the status by which the server has rejected the credential, or 0.
func (t *Transport) verdict(resp *http.Response) status {
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return http.StatusUnauthorized
	case resp.StatusCode == http.StatusForbidden && !t.ignore403:
		return http.StatusForbidden
	}
	return 0
}

// rejected goes on after a 401 or 403: it replays the request, if the store holds
// another value by now and the body can be sent again. In every other case the
// server's own response goes back to the caller, whole.
func (t *Transport) rejected(req *http.Request, resp *http.Response, v *value, s status, unproved bool) (*http.Response, error) {
	t.noteRejection(req, v, s)
	if !replayable(req) {
		t.cache.reject(v, s, 0)
		return resp, nil
	}
	next := t.cache.successor(req.Context(), v, s, t.rotationWait)
	if next != nil {
		return t.replay(req, resp, next)
	}
	if s != http.StatusUnauthorized || !unproved {
		return resp, nil
	}
	// Sent with a value that no server has accepted by then: the store may be
	// ahead of the server.
	if next = t.cache.behind(v); next == nil {
		return resp, nil
	}
	resp, err := t.replay(req, resp, next)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && next != v {
		return t.replay(req, resp, v) // the server has followed meanwhile
	}
	return resp, err
}

// replay sends req once more, with v, in place of a response that is discarded;
// or returns that response if the request cannot be made again.
func (t *Transport) replay(req *http.Request, resp *http.Response, v *value) (*http.Response, error) {
	if t.unfit(v) != nil {
		return resp, nil
	}
	again := t.authorized(req, v)
	if req.Body != nil && req.Body != http.NoBody {
		body, err := req.GetBody()
		if err != nil {
			return resp, nil
		}
		again.Body = body
	}
	discard(resp.Body)

	t.retries.Add(1)
	trials := v.rejections.Load()
	resp, err := t.send(req, again)
	if err != nil {
		return resp, err
	}
	if s := t.verdict(resp); s != 0 {
		t.noteRejection(req, v, s)
		t.cache.reject(v, s, 0)
		return resp, nil
	}
	t.noteSuccess(req.Context(), resp, v, trials)
	return resp, nil
}

// noteRejection counts, and warns once for each value and status.
func (t *Transport) noteRejection(req *http.Request, v *value, s status) {
	t.rejections.Add(1)
	if v.complained[s.index()].CompareAndSwap(false, true) {
		t.log.WarnContext(req.Context(), fmt.Sprintf("Credential rejected by the server: %d %s (provider=%s)", s, http.StatusText(int(s)), t.cache.name),
			"status", int(s), "host", req.URL.Hostname(), "provider", t.cache.name, "key", t.cache.key)
	}
}

// replayable reports whether req's body can be had a second time. The first
// reader never is: HTTP/1 may still be reading from it (S100, S101).
func replayable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

const (
	// maxDrain of a rejected response's body is read so that its connection can
	// be used again, for at most maxDrainTime; what is longer, or comes in drops,
	// costs a new connection instead (S104–S106).
	maxDrain     = 64 << 10
	maxDrainTime = 250 * time.Millisecond
)

// discard reads what little a body holds, and closes it before the replay, which
// may need its connection (S107).
func discard(body io.ReadCloser) {
	if body == nil {
		return
	}
	var late atomic.Bool
	timer := time.AfterFunc(maxDrainTime, func() {
		late.Store(true)
		_ = body.Close() // ends a Read that waits for the network
	})
	buffer := make([]byte, 4<<10)
	for n := 0; n < maxDrain && !late.Load(); {
		m, err := body.Read(buffer)
		if n += m; err != nil {
			break
		}
	}
	if timer.Stop() {
		_ = body.Close()
	}
}
