package stats

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Rings in memory that are too large are told once, when they become so.
func TestRingsThatNeedTooMuchMemory(t *testing.T) {
	core, observed := observer.New(zapcore.WarnLevel)
	l := &Log{sources: Sources{Logs: func(string) *zap.Logger { return zap.New(core) }}}
	for _, step := range []struct {
		rule     string
		ring     uint64   // the size of one, 0 = in files
		queues   []uint64 // their sizes
		warnings int      // so far
	}{
		{"in files", 0, []uint64{5000}, 0},
		{"no queue yet", 1000, nil, 0},
		{"just enough", 100, []uint64{400, 600}, 0},
		{"too much", 100, []uint64{401, 600}, 1},
		{"still too much", 100, []uint64{402, 600}, 1},
		{"one is gone", 100, []uint64{600}, 1},
		{"the first one would be too large", 1001, nil, 2},
	} {
		l.sources.MemoryRing = step.ring
		now := snapshot{Reading: Reading{Process: Process{Machine: 8000, Limit: 1000}}}
		for _, size := range step.queues {
			now.Storages = append(now.Storages, storage.Figures{Capacity: size})
		}
		l.checkMemory(&now)
		if got := observed.Len(); got != step.warnings {
			t.Errorf("%s: got %d warnings so far, want %d", step.rule, got, step.warnings)
		}
	}
}
