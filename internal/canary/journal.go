package canary

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
)

// DefaultLog has the default logger write to w until t ends. What goes through the
// standard logger stays with [Net]: [slog.SetDefault] alone would lead it to w, and not
// give it back.
func DefaultLog(t testing.TB, w io.Writer) {
	logger, writer, flags := slog.Default(), log.Writer(), log.Flags()
	set := func(l *slog.Logger) {
		slog.SetDefault(l)
		log.SetOutput(writer)
		log.SetFlags(flags)
	}
	set(slog.New(slog.NewTextHandler(w, nil)))
	t.Cleanup(func() { set(logger) })
}

// Journal is a log that can be read while it is written, and that the net sees. The
// zero Journal is ready for use.
type Journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Logger writes to j at every level.
func (j *Journal) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.Level(math.MinInt)}))
}

// Write adds a line.
func (j *Journal) Write(line []byte) (int, error) {
	Keep("the log", string(line))
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

// String is all that was written so far.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// Count is how often text was written.
func (j *Journal) Count(text string) int { return strings.Count(j.String(), text) }
