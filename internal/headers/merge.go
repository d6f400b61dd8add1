package headers

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Line is a header, by its canonical name.
type Line struct {
	Name   string
	Values []string
}

// Further are the headers of a secret beside the one that carries it.
type Further struct {
	Replacing []Line // the caller's
	Yielding  []Line // to the caller's, and to those that go along
}

// Has reports whether the header of that name, in any spelling, replaces the caller's.
func (f *Further) Has(name string) bool {
	return f != nil && slices.ContainsFunc(f.Replacing, func(own Line) bool { return Same(own.Name, name) })
}

// Added is what a request gets beside its caller's headers.
type Added struct {
	Own     Line     // the header that carries the credential; no values: there is none
	Further *Further // nil: none
	Along   []Line   // what yields to the caller's
}

// To are the headers of a request: those of the caller that a leaves, with the caller's
// own values, and a's, with copies of what is in Further and Along.
func (a *Added) To(callers http.Header) http.Header {
	if a.Further != nil || a.Along != nil {
		return a.build(callers)
	}
	return With(callers, a.Own.Name, a.Own.Values)
}

// With is [Added.To] for nearly every request, which gets one header.
func With(callers http.Header, name string, values []string) http.Header {
	if len(callers) >= few {
		return (&Added{Own: Line{name, values}}).build(callers)
	}
	out := maps.Clone(callers)
	if out == nil {
		out = make(http.Header, 1)
	}
	for other := range out {
		if len(other) == len(name) && other != name && strings.EqualFold(other, name) {
			delete(out, other) // net/http sends other spellings as well
		}
	}
	out[name] = values
	return out
}

// few is how many entries a map has room for that is not built of parts.
const few = 8

// build is To without maps.Clone: a clone that grows costs more than a map that is made
// in the right size.
func (a *Added) build(callers http.Header) http.Header {
	names, values := a.measure(callers)
	out := make(http.Header, names)
	for name, v := range callers {
		if !a.replaces(name) {
			out[name] = v
		}
	}
	if len(a.Own.Values) > 0 {
		out[a.Own.Name] = a.Own.Values
	}
	room := make([]string, 0, values)
	a.each(callers, func(own Line) {
		at := len(room)
		room = append(room, own.Values...)
		out[own.Name] = room[at:len(room):len(room)]
	})
	return out
}

// measure counts the headers of the request, and the values of Further and Along among
// them.
func (a *Added) measure(callers http.Header) (names, values int) {
	for name := range callers {
		if !a.replaces(name) {
			names++
		}
	}
	if len(a.Own.Values) > 0 {
		names++
	}
	a.each(callers, func(own Line) { names, values = names+1, values+len(own.Values) })
	return names, values
}

// replaces reports whether a has the header of that name in place of the caller's.
func (a *Added) replaces(name string) bool {
	return len(a.Own.Values) > 0 && Same(name, a.Own.Name) || a.Further != nil && a.Further.Has(name)
}

// each gives what is sent beside the header of the credential.
func (a *Added) each(callers http.Header, give func(Line)) {
	for _, own := range a.Along {
		if !a.Further.Has(own.Name) && !Given(callers, own.Name) {
			give(own)
		}
	}
	if a.Further == nil {
		return
	}
	for _, own := range a.Further.Replacing {
		give(own)
	}
	for _, own := range a.Further.Yielding {
		along := slices.ContainsFunc(a.Along, func(other Line) bool { return other.Name == own.Name })
		if !along && !Given(callers, own.Name) {
			give(own)
		}
	}
}

// Same reports whether both are names of one header.
func Same(a, b string) bool { return len(a) == len(b) && (a == b || strings.EqualFold(a, b)) }

// Given reports whether h has a value for the header, under any spelling.
func Given(h http.Header, name string) bool {
	if len(h[name]) > 0 {
		return true
	}
	for other, values := range h {
		if len(values) > 0 && Same(other, name) {
			return true
		}
	}
	return false
}
