package vault

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Names come from the server: those that print are shown, quoted, if they are of a
// size to be looked at.
const (
	maxListed = 10
	maxName   = 80
)

// shown are the names that can be shown.
func shown(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return name == "" || len(name) > maxName || !printable(name)
	})
}

// list is the first of names in words, or "".
func list(names []string) string {
	var quoted []string
	for _, name := range shown(names) {
		quoted = append(quoted, strconv.Quote(name))
	}
	if more := len(quoted) - maxListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(quoted[:maxListed], ", "), more)
	}
	return strings.Join(quoted, ", ")
}
