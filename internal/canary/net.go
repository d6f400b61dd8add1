package canary

import (
	"bytes"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Tests are a package's: a [testing.M], or what wraps one.
type Tests interface{ Run() int }

// Net is tests with the net beneath them. TestMain runs it:
//
//	func TestMain(m *testing.M) { os.Exit(canary.Net(m).Run()) }
func Net(tests Tests) Tests { return netted{tests} }

type netted struct{ tests Tests }

func (n netted) Run() int {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		return n.tests.Run() // the fuzzer's own processes, with secrets that can be had again
	}
	output := tap()
	code := n.tests.Run()
	Keep("the output of the tests", output())
	secrets := all()
	if places := kept.search(newMesh(secrets...)); len(places) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: S152 a secret of the tests is in: %s\n", strings.Join(places, "; "))
		return max(code, 1)
	}
	if testing.Verbose() {
		fmt.Printf("the leak net: none of %d secrets in %d texts\n", len(secrets), len(kept.texts))
	}
	return code
}

// Keep keeps a text that has come out of a test.
func Keep(where, text string) { kept.add(where, text) }

// KeepValue keeps v in every way it prints, with what it wraps if it is an error.
func KeepValue(where string, v any) { kept.value(where, v) }

// KeepRead keeps what a provider is printed as after a Fetch, and what that returned.
func KeepRead(provider, secret any, err error) {
	KeepValue("a Provider", provider)
	KeepValue("a secret", secret)
	KeepValue("an error of Fetch", err)
}

// KeepExchange keeps what a round trip has ended with.
func KeepExchange(sent *http.Request, resp *http.Response, err error) { kept.exchange(sent, resp, err) }

// Log keeps what is written to it.
func Log() io.Writer { return &kept }

// Printed is what was written through the standard logger so far, by anybody in this
// process. Tests that look there each look for secrets of their own, and so may run in
// parallel. It is empty without [Net].
func Printed() string { return standard.String() }

// Listens reports whether [Printed] knows what the standard logger writes. It does not
// when somebody has led the logger elsewhere, as [slog.SetDefault] does.
func Listens() bool {
	text := probe + rand.Text()
	log.Print(text)
	return standard.Count(text) > 0
}

// probe begins the lines of Listens, which go nowhere else.
const probe = "the leak net listens: "

// listener is where the standard logger writes while a net is cast.
type listener struct{ to io.Writer }

func (l listener) Write(line []byte) (int, error) {
	_, _ = standard.Write(line)
	if bytes.Contains(line, []byte(probe)) {
		return len(line), nil
	}
	return l.to.Write(line)
}

var standard Journal

// haul is what has come out of tests, every text once, with where it came from.
type haul struct {
	mu    sync.Mutex
	texts map[string]string
	last  error
}

var kept = haul{texts: map[string]string{}}

func (h *haul) add(where, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.texts[text]; !known {
		h.texts[text] = where
	}
}

func (h *haul) Write(line []byte) (int, error) {
	h.add("the log", string(line))
	return len(line), nil
}

func (h *haul) value(where string, v any) {
	for how, text := range printed(v) {
		h.add(how+" of "+where, text)
	}
}

// exchange skips a response that refers to a request without headers, as the test has
// sent it: that has nothing to show. Nor does an error that was just kept: many
// requests may get the same.
func (h *haul) exchange(sent *http.Request, resp *http.Response, err error) {
	if err != nil && !h.same(err) {
		h.value("an error of RoundTrip", err)
	}
	if resp != nil && (resp.Request != sent || len(sent.Header) > 0) {
		h.add("S157 resp.Request", fmt.Sprintf("%v %+v", resp.Request, resp.Request.Header))
	}
}

// same reports whether err is the very error of the last call, and notes it.
func (h *haul) same(err error) bool {
	if reflect.TypeOf(err).Kind() != reflect.Pointer {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.last
	h.last = err
	return last == err //nolint:errorlint // this very one
}

// search returns where the mesh has caught something.
func (h *haul) search(m mesh) (places []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for text, where := range h.texts {
		if !slices.Contains(places, where) && m.catches(text) {
			places = append(places, where)
		}
	}
	slices.Sort(places)
	return places
}

// tap keeps what goes to the standard output and error, on its way, until it is
// asked for it.
func tap() func() string {
	var kept bytes.Buffer
	var mu sync.Mutex
	var taps sync.WaitGroup
	var ends []func()
	for _, file := range []**os.File{&os.Stdout, &os.Stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			panic(err)
		}
		before := *file
		*file = w
		ends = append(ends, func() { *file = before; _ = w.Close() })
		taps.Go(func() {
			buffer := make([]byte, 64<<10)
			for {
				n, err := r.Read(buffer)
				_, _ = before.Write(buffer[:n])
				mu.Lock()
				_, _ = kept.Write(buffer[:n]) // both mixed, as on a terminal
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	log.SetOutput(listener{os.Stderr})
	return func() string {
		for _, end := range ends {
			end()
		}
		log.SetOutput(os.Stderr)
		taps.Wait()
		return kept.String()
	}
}
