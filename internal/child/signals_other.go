//go:build !unix

package child

import (
	"os"
	"os/signal"
)

// listen keeps Ctrl-C from ending us before the child.
func listen(c chan<- os.Signal) { signal.Notify(c, os.Interrupt) }

// alreadyThere is true: a console's Ctrl-C goes to all its processes.
func alreadyThere(os.Signal) bool { return true }
