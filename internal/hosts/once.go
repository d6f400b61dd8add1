package hosts

import "sync"

// maxLines bounds the memory of warnings. After so many different ones, none is
// logged any more.
const maxLines = 1000

// lineSet is a set of log lines. Its zero value is empty.
type lineSet struct {
	mu    sync.Mutex
	lines map[string]bool
}

// add reports whether line is new, and adds it.
func (s *lineSet) add(line string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines[line] || len(s.lines) >= maxLines {
		return false
	}
	if s.lines == nil {
		s.lines = make(map[string]bool)
	}
	s.lines[line] = true
	return true
}

// FirstWarning returns the line of a log that warns of what about h. It reports
// false if that line has been returned before, also for another spelling of the
// same host.
func (m *Memory) FirstWarning(h *Host, what string) (line string, ok bool) {
	if last := h.lastWarning.Load(); last != nil && *last == what {
		return "", false // without a lock, and without making the line
	}
	stored := what // so that the parameter itself stays off the heap
	h.lastWarning.Store(&stored)
	line = what + ": " + h.Label
	return line, m.logged.add(line)
}
