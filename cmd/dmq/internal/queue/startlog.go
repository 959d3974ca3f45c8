package queue

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// startLog is the log of a client that holds its tongue about nodes which can't be reached
// until settle has said so, once for each; it is not silent if the logger asks for more than
// warnings.
type startLog struct {
	slog.Handler
	settled *atomic.Bool
}

// newStartLog returns the logger for a client, and what to call after settle.
func newStartLog(logger *slog.Logger) (forClient *slog.Logger, settled func()) {
	h := startLog{logger.Handler(), new(atomic.Bool)}
	return slog.New(h), func() { h.settled.Store(true) }
}

// Enabled implements [slog.Handler].
func (h startLog) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, level) && (h.settled.Load() || h.Handler.Enabled(ctx, slog.LevelInfo))
}
