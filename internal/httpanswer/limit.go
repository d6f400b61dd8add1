package httpanswer

import (
	"io"
	"net/http"
)

// maxSize is far above any answer about one secret.
const maxSize = 1 << 20

// Limit ends a body at 1 MiB: SDKs read answers whole, however long they are.
func Limit(body io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(body, maxSize), body}
}

// Limited is a transport whose answers end at 1 MiB. It does not pass on
// CloseIdleConnections: Base may have other users.
type Limited struct{ Base http.RoundTripper }

// RoundTrip sends req through Base.
func (l Limited) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.Base.RoundTrip(req)
	if err == nil && resp != nil && resp.Body != nil {
		resp.Body = Limit(resp.Body)
	}
	return resp, err
}
