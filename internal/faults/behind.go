package faults

import (
	"io"
	"maps"
	"net/http"
	"net/url"
)

// Behind answers as the server at an address does, which it asks through rt. A server
// that cannot be reached breaks off the answer.
func Behind(rt http.RoundTripper, address string) (http.Handler, error) {
	to, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		own := req.Clone(req.Context())
		own.RequestURI, own.URL.Scheme, own.URL.Host = "", to.Scheme, to.Host
		resp, err := rt.RoundTrip(own)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer func() { _ = resp.Body.Close() }()
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		if _, err := io.Copy(w, resp.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
	}), nil
}
