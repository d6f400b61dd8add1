package cli

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// Ending is ctx until a signal ends this process. What nohup or a shell's & has made
// us ignore stays so.
func Ending(ctx context.Context) (context.Context, context.CancelFunc) {
	ends := slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM}, signal.Ignored)
	if len(ends) == 0 {
		return context.WithCancel(ctx) // without an argument NotifyContext takes every signal
	}
	return signal.NotifyContext(ctx, ends...)
}
