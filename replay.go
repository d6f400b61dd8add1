package secretsauth

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// exchange sends out, which is req with v, and looks at what the server says of v.
func (t *Transport) exchange(req, out *http.Request, body *announced, v *value) (*http.Response, error) {
	sent := v.mark()
	resp, err := t.send(req, out)
	if err != nil {
		return resp, err
	}
	if s := t.verdict(resp); s != 0 {
		return t.rejected(req, body, resp, v, s, sent)
	}
	t.noteSuccess(req.Context(), resp, v, sent)
	return resp, nil
}

// exchangeAnnounced is exchange for a request with an announced body. It is apart because
// a defer is felt by every request.
func (t *Transport) exchangeAnnounced(req, out *http.Request, body *announced, v *value) (*http.Response, error) {
	defer body.settle()
	return t.exchange(req, out, body, v)
}

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
func (t *Transport) rejected(req *http.Request, body *announced, resp *http.Response, v *value, s status, sent mark) (*http.Response, error) {
	t.noteRejection(req, v, s)
	if !replayable(req) && !body.suspend() {
		t.cache.reject(v, s)
		return resp, nil
	}
	if next := t.cache.replacement(req.Context(), v, s, t.rotationWait); next != nil {
		return t.replay(req, body, resp, next)
	}
	if s != http.StatusUnauthorized || sent.accepted {
		return resp, nil
	}
	next := t.cache.fallback(v)
	if next == nil {
		return resp, nil
	}
	resp, err := t.replay(req, body, resp, next)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && next != v {
		return t.replay(req, body, resp, v) // the server has switched to v meanwhile
	}
	return resp, err
}

// replay sends req once more, with v, in place of a response that is discarded;
// or returns that response if the request cannot be made again.
func (t *Transport) replay(req *http.Request, body *announced, resp *http.Response, v *value) (*http.Response, error) {
	if t.unfit(v) != nil {
		return resp, nil
	}
	again := t.authorized(req, v)
	switch {
	case !replayable(req):
		if !body.take() {
			return resp, nil
		}
	case req.Body != nil && req.Body != http.NoBody:
		fresh, err := req.GetBody()
		if err != nil {
			return resp, nil
		}
		again.Body = fresh
	}
	discard(resp.Body)

	t.retries.Add(1)
	sent := v.mark()
	resp, err := t.send(req, again)
	if err != nil {
		return resp, err
	}
	if s := t.verdict(resp); s != 0 {
		t.noteRejection(req, v, s)
		t.cache.reject(v, s)
		return resp, nil
	}
	t.noteSuccess(req.Context(), resp, v, sent)
	return resp, nil
}

// noteSuccess tells the cache of a 2xx, which shows that the value is good.
func (t *Transport) noteSuccess(ctx context.Context, resp *http.Response, v *value, sent mark) {
	if resp.StatusCode/100 != 2 || !t.cache.succeed(v, sent) {
		return
	}
	mode := v.headers[t.form].mode
	t.log.InfoContext(ctx, fmt.Sprintf("Authentication successful (provider=%s, auth_mode=%s)", t.cache.name, mode),
		"provider", t.cache.name, "auth_mode", string(mode), "key", t.cache.key)
}

// noteRejection counts, and warns once for each value and status.
func (t *Transport) noteRejection(req *http.Request, v *value, s status) {
	t.rejections.Add(1)
	if v.logged[s.index()].CompareAndSwap(false, true) {
		t.log.WarnContext(req.Context(), fmt.Sprintf("Credential rejected by the server: %d %s (provider=%s)", s, http.StatusText(int(s)), t.cache.name),
			"status", int(s), "host", req.URL.Hostname(), "provider", t.cache.name, "key", t.cache.key)
	}
}

// replayable reports whether req has no body, or one that GetBody gives a second time.
// The original Body is never reused: the first attempt may still be reading it (S100,
// S101). The one exception is an announced body.
func replayable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

const (
	// maxDrain bytes of a rejected response's body are read, for at most
	// maxDrainTime, so that its connection can be used again. A longer body, or one
	// that comes in drops, costs a new connection instead (S104–S106).
	maxDrain     = 64 << 10
	maxDrainTime = 250 * time.Millisecond
)

// discard reads the rest of a short body and closes it. That comes before the replay,
// which may need its connection (S107).
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
