package logging

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

func TestLimitedLogsOnceAPeriodWithTheNumberLeftOut(t *testing.T) {
	l := start(t, new(screen), logger("", config.LevelInfo, "root", false))
	limited := NewLimited(l.Logger("x"), 10*time.Second)
	for _, second := range []int{0, 1, 9, 10, 20, 21, 22, 23, 100} {
		limited.now = func() time.Time { return at.Add(time.Duration(second) * time.Second) }
		limited.Log(zapcore.WarnLevel, "limit reached", zap.Int("second", second))
	}
	expect(t, "log", content(t, "log/root"), ""+
		"limit reached second=0\n"+
		"limit reached second=10 suppressed=2\n"+
		"limit reached second=20\n"+
		"limit reached second=100 suppressed=3\n")
	if got := l.Counts().Suppressed; got != 5 {
		t.Errorf("%d messages are counted as suppressed, want 5", got)
	}
}

func TestLimitedToSeveralLinesAPeriod(t *testing.T) {
	l := start(t, new(screen), logger("", config.LevelInfo, "root", false))
	limited := NewLimitedTo(2, l.Logger("x"), 10*time.Second)
	for _, second := range []int{0, 1, 2, 3, 10, 11, 12} {
		limited.now = func() time.Time { return at.Add(time.Duration(second) * time.Second) }
		limited.Log(zapcore.WarnLevel, "m", zap.Int("second", second))
	}
	expect(t, "log", content(t, "log/root"), "m second=0\nm second=1\nm second=10 suppressed=2\nm second=11\n")
}

func TestLimitedDoesNotSpendItsPeriodOnALevelThatIsOff(t *testing.T) {
	l := start(t, new(screen), logger("", config.LevelInfo, "root", false))
	limited := NewLimited(l.Logger("x"), time.Hour)
	limited.Log(zapcore.DebugLevel, "off")
	limited.Log(zapcore.InfoLevel, "on")
	expect(t, "log", content(t, "log/root"), "on\n")
}

func TestLimitedDoesNotWriteIntoTheCallersFields(t *testing.T) {
	l := start(t, new(screen), logger("", config.LevelInfo, "root", false))
	limited := NewLimited(l.Logger("x"), time.Nanosecond)
	limited.suppressed = 1
	fields := []zap.Field{zap.Int("a", 1), zap.Int("b", 2)}
	limited.Log(zapcore.InfoLevel, "m", fields[:1]...)
	if fields[1].Key != "b" {
		t.Errorf("got field %q, want b", fields[1].Key)
	}
}

func TestLimitedConcurrently(t *testing.T) {
	l := start(t, new(screen), logger("", config.LevelInfo, "root", false))
	limited := NewLimited(l.Logger("x"), time.Hour)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				limited.Log(zapcore.InfoLevel, "once")
			}
		})
	}
	group.Wait()
	expect(t, "log", content(t, "log/root"), "once\n")
	if limited.suppressed != 799 {
		t.Errorf("got %d suppressed, want 799", limited.suppressed)
	}
}
