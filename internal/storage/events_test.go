package storage

import (
	"fmt"
	"path/filepath"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// Clients that make queues, and first subscribers, without end do not fill the log.
func TestLinesOfQueuesAreLimited(t *testing.T) {
	core, lines := observer.New(zapcore.InfoLevel)
	options := realOptions(filepath.Join(t.TempDir(), "data"))
	options.Logs = func(string) *zap.Logger { return zap.New(core) }
	cs := serve(t, options)
	for i := range 20 * eventLines { // faster than in 20 periods
		name := fmt.Sprintf("c%d", i%10)
		openChannel(t, cs, name).Commit()
		subscribe(t, cs, name, "s")
		remove(t, cs, name)
	}
	for _, message := range []string{"new queue", "queue renamed for its first subscriber"} {
		if n := lines.FilterMessage(message).Len(); n < eventLines || n >= 10*eventLines {
			t.Errorf("%d lines %q for %d events, want about %d", n, message, 20*eventLines, eventLines)
		}
	}
}
