package child

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// The exit codes of what does not come from the child: those of env(1), nice(1) and
// the shells.
const (
	Failed    = 125 // it was not tried
	NoProgram = 126 // it is there, and cannot be run
	NotFound  = 127 // it is not there
	signalled = 128 // and the signal's number
)

// Run runs cmd and returns its exit code, or why it could not be started. What
// signals this process gets meanwhile the child gets, and the child alone decides
// what comes of them. The end of ctx keeps it from being started, and no more.
func Run(ctx context.Context, cmd *exec.Cmd) (code int, err error) {
	signals := make(chan os.Signal, 16)
	listen(signals)
	defer signal.Stop(signals)
	// A signal up to here has ended ctx, one from here on comes through signals.
	if err := ctx.Err(); err != nil {
		return Failed, err
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return NotFound, err
		}
		return NoProgram, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // ProcessState holds all that there is to know
	}()
	for {
		select {
		case s := <-signals:
			if !alreadyThere(s) {
				_ = cmd.Process.Signal(s) // an error says that it has ended
			}
		case <-ended:
			return exitCode(cmd.ProcessState), nil
		}
	}
}

func exitCode(p *os.ProcessState) int {
	if status, ok := p.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return signalled + int(status.Signal())
	}
	return p.ExitCode()
}
