//go:build e2e

package e2e

import (
	"log"
	"log/slog"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// keepLog has the log of the program go into a journal until t ends.
func keepLog(t *testing.T) *canary.Journal {
	j := new(canary.Journal)
	logger, writer, flags := slog.Default(), log.Writer(), log.Flags()
	slog.SetDefault(slog.New(slog.NewTextHandler(j, nil)))
	t.Cleanup(func() {
		slog.SetDefault(logger)
		log.SetOutput(writer) // SetDefault has led it to the journal, too
		log.SetFlags(flags)
	})
	return j
}
