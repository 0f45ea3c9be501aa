package pdp

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/open-policy-agent/opa/v1/logging"
)

// logger passes OPA's log on. What OPA calls information is said at debug level:
// it reports every plugin it starts and every upload.
type logger struct{ to *slog.Logger }

func newLogger(to *slog.Logger) logging.Logger { return logger{to} }

func (l logger) log(level slog.Level, format string, args []any) {
	if l.to.Enabled(context.Background(), level) {
		l.to.Log(context.Background(), level, "opa: "+fmt.Sprintf(format, args...))
	}
}

func (l logger) Debug(format string, args ...any) { l.log(slog.LevelDebug-4, format, args) }
func (l logger) Info(format string, args ...any)  { l.log(slog.LevelDebug, format, args) }
func (l logger) Warn(format string, args ...any)  { l.log(slog.LevelWarn, format, args) }
func (l logger) Error(format string, args ...any) { l.log(slog.LevelError, format, args) }

func (l logger) WithFields(fields map[string]any) logging.Logger {
	with := l.to
	for k, v := range fields {
		with = with.With(k, v)
	}
	return logger{with}
}

func (l logger) GetLevel() logging.Level { return logging.Warn }
func (l logger) SetLevel(logging.Level)  {}
