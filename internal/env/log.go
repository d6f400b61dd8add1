package env

import (
	"context"
	"log/slog"
	"strings"
)

// Logger writes to what [slog.Default] is now, from the level of
// MLFLOW_SECRETS_LOG_LEVEL on.
func Logger() *slog.Logger {
	level, _ := LogLevel()
	return slog.New(leveled{slog.Default().Handler(), level})
}

// LogLevel reads MLFLOW_SECRETS_LOG_LEVEL, by Python's names of the levels.
// Unset is INFO, and so is a level that is not known.
func LogLevel() (level slog.Level, known bool) {
	switch strings.ToUpper(Get("MLFLOW_SECRETS_LOG_LEVEL")) {
	case "DEBUG":
		return slog.LevelDebug, true
	case "", "INFO":
		return slog.LevelInfo, true
	case "WARNING", "WARN":
		return slog.LevelWarn, true
	case "ERROR":
		return slog.LevelError, true
	}
	return slog.LevelInfo, false
}

// leveled is a log handler with a level of its own, so that
// MLFLOW_SECRETS_LOG_LEVEL counts whatever level the program's other logs have.
type leveled struct {
	slog.Handler
	level slog.Level
}

func (h leveled) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{h.Handler.WithAttrs(attrs), h.level}
}

func (h leveled) WithGroup(name string) slog.Handler {
	return leveled{h.Handler.WithGroup(name), h.level}
}
