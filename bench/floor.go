package main

import (
	"maps"
	"net/http"
)

// step is a transport that does part of what the contract of RoundTripper
// demands of one that sets a header: not to modify the caller's request.
type step func(*http.Request) *http.Request

func (s step) RoundTrip(req *http.Request) (*http.Response, error) { return bare{}.RoundTrip(s(req)) }

// copyRequest is the copy of the struct, which the header needs to live in.
func copyRequest(req *http.Request) *http.Request {
	out := *req
	return &out
}

// copyHeader copies the map of headers as well.
func copyHeader(req *http.Request) *http.Request {
	out := copyRequest(req)
	out.Header = maps.Clone(req.Header)
	return out
}

var ready = []string{"Bearer token"}

// setHeader is all that has to be done: the floor.
func setHeader(req *http.Request) *http.Request {
	out := copyHeader(req)
	out.Header["Authorization"] = ready
	return out
}

// floor is how much of our time no transport can do without.
func floor(e effort) (rows []row, err error) {
	all := []contender{
		sender("the base", bare{}, runsGet),
		sender("request", step(copyRequest), runsGet),
		sender("map", step(copyHeader), runsGet),
		sender("floor", step(setHeader), runsGet),
		sender("secretsauth", ours.wrap(newStore("token", 0), bare{}), runsGet),
	}
	t := e.raceOnOneCore(all...)
	total := t[4] - t[0]
	for i, what := range []string{"the copy of the request", "the copy of its header map", "setting the header in it", "all else"} {
		rows = append(rows, row{measure: "share of the time: " + what, ours: percent((t[i+1] - t[i]) / total)})
	}
	return append(rows, ratio("time added to a request", total, t[3]-t[0], "the first three of these alone")), nil
}
