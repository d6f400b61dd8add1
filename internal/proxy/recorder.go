package proxy

import "net/http"

// recorder keeps the status of an answer. Unwrap lets http.ResponseController
// flush and hijack.
type recorder struct {
	http.ResponseWriter
	*exchange
	scrub func(http.Header)
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(status int) {
	if status == http.StatusContinue {
		return // the server's own is sent to a client that waits, when its body is read
	}
	if status/100 == 1 {
		w.scrub(w.Header()) // 103 Early Hints pass by what looks at answers
	} else {
		w.status = status
		if _, typed := w.Header()["Content-Type"]; !typed {
			w.Header()["Content-Type"] = nil // net/http would guess one
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}
