package cli

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// logTo makes h the handler of the default logger, until restore is called. The
// standard logger, which [slog.SetDefault] leads to h as well, goes to nowhere: through
// it net/http prints what a peer sends unasked, and that may be a secret (F1-F3). The
// command writes nothing to it.
func logTo(h slog.Handler) (restore func()) {
	before := slog.Default()
	set := func(l *slog.Logger) {
		slog.SetDefault(l)
		log.SetOutput(io.Discard)
	}
	set(slog.New(h))
	return func() { set(before) }
}

// logHandler writes a line a record, in the form of the guide: "WARNING: text". The
// texts hold most attributes already; it adds what they lack.
type logHandler struct {
	mu    *sync.Mutex
	to    io.Writer
	attrs []slog.Attr
}

func newLog(to io.Writer) *logHandler { return &logHandler{mu: new(sync.Mutex), to: to} }

// Enabled is always true: the loggers that write here have levels of their own.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := slices.Clone(h.attrs)
	r.Attrs(func(a slog.Attr) bool { attrs = append(attrs, a); return true })
	var lacking []string
	for _, a := range attrs {
		if value := a.Value.Resolve().String(); value != "" && !strings.Contains(r.Message, value) {
			lacking = append(lacking, a.Key+"="+value)
		}
	}
	text := r.Message
	if len(lacking) > 0 && !strings.HasSuffix(text, ")") { // those tell theirs in brackets already
		text += " (" + strings.Join(lacking, ", ") + ")"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := fmt.Fprintf(h.to, "%s: %s\n", levelName(r.Level), oneLine(text))
	return err
}

func levelName(l slog.Level) string {
	if l == slog.LevelWarn {
		return "WARNING"
	}
	return l.String()
}

// oneLine keeps terminal escapes and line ends out of what is printed (S165).
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, text)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	own := *h
	own.attrs = append(slices.Clone(h.attrs), attrs...)
	return &own
}

func (h *logHandler) WithGroup(string) slog.Handler { return h }

// warnings keeps what would be logged.
type warnings struct{ texts []string }

func (w *warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler           { return w }
func (w *warnings) WithGroup(string) slog.Handler                { return w }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.texts = append(w.texts, r.Message)
	return nil
}
