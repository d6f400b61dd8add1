//go:build unix && !linux

package child_test

import (
	"os"
	"testing"
)

func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	t.Skip("terminals are opened in another way on each system; Linux stands for all")
	return nil, nil
}
