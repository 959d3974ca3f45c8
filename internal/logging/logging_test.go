package logging

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// at is the time of every message in these tests: 9 ms, which the original writes as ,09.
var at = time.Date(2026, 11, 23, 2, 1, 0, 9_999_999, time.Local)

type stoppedClock struct{ time.Time }

func (c stoppedClock) Now() time.Time                       { return c.Time }
func (c stoppedClock) NewTicker(time.Duration) *time.Ticker { panic("not used") }

// screen is a console whose output can be read.
type screen struct{ out, err printed }

// printed is what a console got.
type printed struct{ bytes.Buffer }

func (p *printed) String() string {
	written()
	return p.Buffer.String()
}

// current are the logs of the test that runs.
var current *Logs

// written waits until all that has been logged is written.
func written() {
	if current != nil {
		current.Flush()
	}
}

// counted are the counters when all that has been logged is written.
func (l *Logs) counted() Counts {
	l.Flush()
	return l.Counts()
}

func (s *screen) console() Console { return Console{Out: &s.out, Err: &s.err} }

// instance enters a fresh working directory that has an empty log/.
func instance(t testing.TB) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.Mkdir("log", 0o777); err != nil {
		t.Fatal(err)
	}
}

// start opens logs in a fresh instance directory, with the clock stopped and no version.log.
func start(t testing.TB, s *screen, loggers ...config.Logger) *Logs {
	t.Helper()
	instance(t)
	return startHere(t, s, config.Version{}, loggers...)
}

func startHere(t testing.TB, s *screen, version config.Version, loggers ...config.Logger) *Logs {
	t.Helper()
	l, err := newLogs(config.Log{Loggers: loggers}, version, s.console(), stoppedClock{at})
	if err != nil {
		t.Fatal(err)
	}
	current = l
	t.Cleanup(func() {
		current = nil
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

// rootFile is [LOG.Root] with console = false and a file, as operators have it.
func rootFile(level config.Level) config.Logger {
	return config.Logger{Level: level, File: "log/root.log", HasOutputs: true,
		ConsoleLayout: config.LayoutSimple, CollectStats: true}
}

func content(t testing.TB, path string) string {
	t.Helper()
	written()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func expect(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func TestEveryLevelHasItsLine(t *testing.T) {
	l := start(t, new(screen), rootFile(config.LevelTrace))
	log := l.Logger("dmqnode.main")
	log.Debug("one")
	log.Info("two")
	log.Warn("three")
	log.Error("four")
	log.DPanic("five")
	expect(t, "root.log", content(t, "log/root.log"), ""+
		"2026-11-23 02:01:00,009 Trace [dmqnode.main] - one\n"+
		"2026-11-23 02:01:00,009 Info [dmqnode.main] - two\n"+
		"2026-11-23 02:01:00,009 Warn [dmqnode.main] - three\n"+
		"2026-11-23 02:01:00,009 Error [dmqnode.main] - four\n"+
		"2026-11-23 02:01:00,009 Fatal [dmqnode.main] - five\n")
}

func TestRootLoggerIsCalledRoot(t *testing.T) {
	l := start(t, new(screen), rootFile(config.LevelInfo))
	l.Logger("").Info("hello")
	expect(t, "root.log", content(t, "log/root.log"), "2026-11-23 02:01:00,009 Info [root] - hello\n")
}

func TestConsoleTakesWarnAndAboveToStderr(t *testing.T) {
	var s screen
	l := start(t, &s, config.Logger{Console: true, HasOutputs: true, ConsoleLayout: config.LayoutSimple})
	log := l.Logger("x")
	log.Debug("a")
	log.Info("b")
	log.Warn("c")
	log.Error("d")
	expect(t, "stdout", s.out.String(), "Trace [x] - a\nInfo [x] - b\n")
	expect(t, "stderr", s.err.String(), "Warn [x] - c\nError [x] - d\n")
}

func TestLongMessagesAreNotCut(t *testing.T) {
	l := start(t, new(screen), rootFile(config.LevelInfo))
	long := strings.Repeat("0123456789", 100_000)
	l.Logger("x").Info(long)
	expect(t, "root.log", content(t, "log/root.log"), "2026-11-23 02:01:00,009 Info [x] - "+long+"\n")
}

func TestFilesAreAppendedToAndCreatedByUmask(t *testing.T) {
	instance(t)
	if err := os.WriteFile("log/root.log", []byte("earlier\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer syscall.Umask(syscall.Umask(0o027))
	other := config.Logger{Name: "x", File: "log/x.log", HasOutputs: true}
	l := startHere(t, new(screen), config.Version{}, rootFile(config.LevelInfo), other)
	l.Logger("").Info("later")
	expect(t, "root.log", content(t, "log/root.log"), "earlier\n2026-11-23 02:01:00,009 Info [root] - later\n")
	info, err := os.Stat("log/x.log")
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("x.log: got %v, error %v, want mode 0640", info.Mode(), err)
	}
}

func TestFileThatCannotBeOpenedIsAnError(t *testing.T) {
	tests := []struct {
		rule    string
		version config.Version
		logger  config.Logger
		names   []string
		reason  error
	}{
		{"a missing directory, Root", config.Version{}, config.Logger{File: "gone/root.log", HasOutputs: true},
			[]string{"[LOG.Root]", "gone/root.log", "no such file or directory", "directory of a log file must exist"}, fs.ErrNotExist},
		{"a directory, another logger", config.Version{}, config.Logger{Name: "a.b", File: "log", HasOutputs: true},
			[]string{"[LOG.a.b]", "open log", "is a directory"}, syscall.EISDIR},
		{"version.log", config.Version{DefaultVersionLog: true}, config.Logger{},
			[]string{"[VERSION]", "log/version.log", "is a directory"}, syscall.EISDIR},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			instance(t)
			if err := os.Mkdir("log/version.log", 0o777); err != nil {
				t.Fatal(err)
			}
			l, err := New(config.Log{Loggers: []config.Logger{test.logger}}, test.version, Console{})
			if l != nil || !errors.Is(err, test.reason) {
				t.Fatalf("got %v, error %v, want no logs and %v", l, err, test.reason)
			}
			for _, part := range test.names {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %q, want it to name %q", err, part)
				}
			}
		})
	}
}

func TestVersionLineDisregardsTheLevel(t *testing.T) {
	const line = "2026-11-23 02:01:00,009 Info [ocean.util.app.ext.VersionArgsExt] - version=v2\n"
	both := config.Version{DefaultVersionLog: true}
	for _, level := range []config.Level{config.LevelTrace, config.LevelError, config.LevelNone} {
		instance(t)
		l := startHere(t, new(screen), both, rootFile(level))
		l.Version("version=v2")
		expect(t, "version.log", content(t, "log/version.log"), line)
		expect(t, "root.log", content(t, "log/root.log"), line)
		if got, want := l.counted(), (Counts{Info: 1}); got != want {
			t.Errorf("counts: got %+v, want %+v", got, want)
		}
	}
	t.Run("without version.log", func(t *testing.T) {
		l := start(t, new(screen), rootFile(config.LevelNone))
		l.Version("version=v2")
		expect(t, "root.log", content(t, "log/root.log"), line)
		if _, err := os.Stat("log/version.log"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("version.log: got error %v, want none such", err)
		}
	})
	t.Run("without [LOG.Root]", func(t *testing.T) {
		instance(t)
		var s screen
		startHere(t, &s, both).Version("version=v2")
		expect(t, "version.log", content(t, "log/version.log"), line)
		expect(t, "console", s.out.String()+s.err.String(), "")
	})
	t.Run("root file is version.log", func(t *testing.T) {
		instance(t)
		root := rootFile(config.LevelInfo)
		root.File = "log/version.log"
		startHere(t, new(screen), both, root).Version("version=v2")
		expect(t, "version.log", content(t, "log/version.log"), line)
	})
}

func TestNothingIsLoggedAfterClose(t *testing.T) {
	var s screen
	root := rootFile(config.LevelInfo)
	root.Console = true
	l := start(t, &s, root)
	stats, err := l.OpenFile("log/stats.log", config.LayoutStats)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	l.Logger("").Info("late")
	stats.WriteLine(at, "late")
	if err := l.Reopen(); err != nil {
		t.Errorf("Reopen: %v", err)
	}
	l.Logger("").Info("late")
	expect(t, "root.log", content(t, "log/root.log"), "")
	expect(t, "stats.log", content(t, "log/stats.log"), "")
	expect(t, "console", s.out.String()+s.err.String(), "")
	if _, err := l.OpenFile("log/more.log", config.LayoutDate); !errors.Is(err, os.ErrClosed) {
		t.Errorf("OpenFile: got error %v, want %v", err, os.ErrClosed)
	}
}

// A device that is always full stands for a full disk.
func TestFailingDestinationIsReportedOnceToOthers(t *testing.T) {
	const report = "Error [dmqnode.logging] - messages to /dev/full are lost until it works again: write /dev/full: no space left on device\n"
	full := config.Logger{Name: "x", File: "/dev/full", HasOutputs: true, CollectStats: true}
	t.Run("to Root's outputs", func(t *testing.T) {
		l := start(t, new(screen), rootFile(config.LevelInfo), full)
		for range 3 {
			l.Logger("x").Error("lost")
		}
		expect(t, "root.log", content(t, "log/root.log"), "2026-11-23 02:01:00,009 "+report)
		if got, want := l.counted(), (Counts{Error: 1}); got != want {
			t.Errorf("counts: got %+v, want %+v: the report only", got, want)
		}
	})
	t.Run("to stderr if it is Root's", func(t *testing.T) {
		var s screen
		full.Name = ""
		l := start(t, &s, full)
		for range 3 {
			l.Logger("x").Info("lost")
		}
		expect(t, "stderr", s.err.String(), report)
	})
}

func TestFailureIsReportedAgainAfterSuccessButNotOften(t *testing.T) {
	d := new(destination)
	second := func(n int) time.Time { return at.Add(time.Duration(n) * time.Second) }
	steps := []struct {
		after  int
		fails  bool
		report bool
	}{
		{0, true, true}, {1, true, false}, {100, true, false},
		{101, false, false}, {102, true, true},
		{103, false, false}, {104, true, false}, {161, false, false}, {162, true, true},
	}
	for _, step := range steps {
		report := false
		if step.fails {
			report = d.failed(second(step.after))
		} else {
			d.succeeded()
		}
		if report != step.report {
			t.Errorf("second %d: got report %v, want %v", step.after, report, step.report)
		}
	}
}

func TestDisabledLevelAllocatesNothing(t *testing.T) {
	l := start(t, new(screen), rootFile(config.LevelInfo))
	log := l.Logger("storage:orders")
	if got := testing.AllocsPerRun(1000, func() {
		log.Debug("off")
		if checked := log.Check(zapcore.DebugLevel, "off"); checked != nil {
			checked.Write(zap.Int("n", 1))
		}
	}); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

func BenchmarkDisabled(b *testing.B) {
	log := start(b, new(screen), rootFile(config.LevelInfo)).Logger("storage:orders")
	b.ReportAllocs()
	for b.Loop() {
		log.Debug("off")
	}
}

func BenchmarkLine(b *testing.B) {
	log := start(b, new(screen), config.Logger{File: "/dev/null", HasOutputs: true, CollectStats: true}).Logger("storage:orders")
	b.ReportAllocs()
	for b.Loop() {
		log.Info("loading dump", zap.String("path", "data/orders.rq"), zap.Int("records", 17))
	}
}
