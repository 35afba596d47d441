package registry

import (
	"context"
	"io"
	"log/slog"
	"reflect"

	"github.com/sirupsen/logrus"
)

// logContext hands the distribution library its logger. The library looks for
// it in the context, but keeps the key and the function that sets it in an
// internal package; without it, it logs to the process's stderr.
type logContext struct {
	context.Context
	entry *logrus.Entry
}

// withLogrus makes code of the distribution library log to log.
func withLogrus(ctx context.Context, log *slog.Logger) context.Context {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	logger.AddHook(slogHook{log})
	if log.Enabled(ctx, levelTrace) {
		logger.SetLevel(logrus.DebugLevel)
	} else {
		logger.SetLevel(logrus.PanicLevel)
	}
	return logContext{ctx, logrus.NewEntry(logger)}
}

// Value answers with the logger for the library's own key.
func (c logContext) Value(key any) any {
	if reflect.TypeOf(key).String() == "dcontext.loggerKey" {
		return c.entry
	}
	return c.Context.Value(key)
}

// withValuesOf is ctx with the logger of another context.
func withValuesOf(ctx, logging context.Context) context.Context {
	return logContext{ctx, logging.(logContext).entry}
}

// levelTrace is below debugging: a dozen lines for each request.
const levelTrace = slog.LevelDebug - 4

// slogHook passes logrus entries on, all at the lowest level: the embedded registry
// calls an absent tag an error and each request news. What matters to a user
// comes back to the client as an error.
type slogHook struct{ log *slog.Logger }

// Levels implements logrus.Hook.
func (slogHook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (h slogHook) Fire(entry *logrus.Entry) error {
	attrs := make([]slog.Attr, 0, len(entry.Data)+1)
	for key, value := range entry.Data {
		attrs = append(attrs, slog.Any(key, value))
	}
	h.log.LogAttrs(context.Background(), levelTrace, "embedded registry: "+entry.Message, attrs...)
	return nil
}
