package logging

import (
	"regexp"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// stalled is a console whose reader stands still until it is told to go on.
type stalled struct {
	printed
	goOn chan struct{}
}

func (s *stalled) Write(line []byte) (int, error) {
	<-s.goOn
	return s.printed.Write(line)
}

// withStalled starts logs to a file and to a console that stands still.
func withStalled(t *testing.T) (l *Logs, console *stalled) {
	t.Helper()
	instance(t)
	root := logger("", config.LevelInfo, "root.log", false)
	root.Console, root.ConsoleLayout = true, config.LayoutMessageOnly
	console = &stalled{goOn: make(chan struct{})}
	l, err := New(config.Log{Loggers: []config.Logger{root}}, config.Version{}, Console{Out: console, Err: console})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, console
}

func TestStalledConsoleHoldsUpNobody(t *testing.T) {
	l, console := withStalled(t)
	want := ""
	for range 10 {
		l.Logger("x").Info("line")
		want += "line\n"
	}
	l.queue.flush(flushTimeout)
	expect(t, "root.log", content(t, "log/root.log"), want)
	close(console.goOn)
	if !l.Flush() {
		t.Error("Flush reports lines that are not written, although the console has gone on")
	}
	expect(t, "console", console.Buffer.String(), want)
}

func TestStopDoesNotWaitForAStalledConsole(t *testing.T) {
	l, console := withStalled(t)
	l.Logger("x").Error("line")
	if err := l.Close(); err != nil { // hangs if it waits
		t.Error(err)
	}
	close(console.goOn)
}

// What a destination can't take is dropped, errors last, and counted.
func TestFloodIsDroppedAndCounted(t *testing.T) {
	l, console := withStalled(t)
	long := strings.Repeat("x", 10_000)
	for range 200 {
		l.Logger("x").Info("info " + long)
		l.Logger("x").Warn("warn " + long)
		l.queue.flush(flushTimeout) // the file takes everything
	}
	for range 10 {
		l.Logger("x").Error("error " + long)
	}
	l.queue.flush(flushTimeout)
	if bytes := l.console.queue.bytes; bytes > queueLimit+20_000 {
		t.Errorf("%d bytes wait for the console, want at most %d and a message", bytes, queueLimit)
	}
	close(console.goOn)
	l.Flush()
	text := console.Buffer.String()
	info, warn, failed := strings.Count(text, "info x"), strings.Count(text, "warn x"), strings.Count(text, "error x")
	if failed != 10 || info == 0 || info >= warn || warn >= 200 {
		t.Errorf("the console got %d of 200 infos, %d of 200 warnings, %d of 10 errors; want all errors, and more warnings than infos", info, warn, failed)
	}
	left := regexp.MustCompile(`(\d+) messages to the console were left out`).FindStringSubmatch(content(t, "log/root.log"))
	if left == nil {
		t.Error("the file does not tell that messages were left out")
	}
	if got := l.Counts().Dropped; got != uint64(410-info-warn-failed) {
		t.Errorf("%d messages are counted as dropped, want %d", got, 410-info-warn-failed)
	}
}
