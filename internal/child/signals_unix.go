//go:build unix

package child

import (
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// passed are the signals that are messages to a program. The rest are a process's
// own affair (SIGCHLD, SIGSEGV), or belong to the shell's job control, which stops
// and continues us and the child together (SIGTSTP, SIGCONT, SIGTTIN, SIGTTOU).
var passed = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2,
	syscall.SIGALRM, syscall.SIGWINCH, syscall.SIGXCPU,
}

// listen sends the signals to c. What nohup and the like have made us ignore stays
// so, and the child inherits it.
func listen(c chan<- os.Signal) {
	// With SIGPIPE, a log that nobody reads any more does not end us, and with us
	// the child's proxy.
	heard := slices.DeleteFunc(append([]os.Signal{syscall.SIGPIPE}, passed...), signal.Ignored)
	signal.Notify(c, heard...)
}

// alreadyThere reports whether the child has s, or is not to have it. What is typed
// at a terminal goes to the whole of its foreground process group, and so to the
// child, too. A signal does not say where it comes from: one that is sent to this
// process alone while it is in the foreground does not reach the child, if it is one
// of those that a terminal sends.
func alreadyThere(s os.Signal) bool {
	switch s {
	case syscall.SIGPIPE:
		return true
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH:
		return inForeground()
	}
	return false
}

// inForeground reports whether the terminal, if there is one, sends its signals to
// this process.
func inForeground() bool {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer func() { _ = terminal.Close() }()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}
