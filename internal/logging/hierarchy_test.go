package logging

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// logger builds one [LOG.NAME]; a file makes it have outputs.
func logger(name string, level config.Level, file string, additive bool) config.Logger {
	c := config.Logger{Name: name, Level: level, Additive: additive, CollectStats: true,
		FileLayout: config.LayoutMessageOnly}
	if file != "" {
		c.File, c.HasOutputs = "log/"+file, true
	}
	return c
}

func TestNearestConfiguredAncestorDecidesTheLevel(t *testing.T) {
	configuration := []config.Logger{
		logger("", config.LevelWarn, "root", false),
		logger("a", config.LevelTrace, "", false),
		logger("a.b", config.LevelNone, "", false),
		logger("a.b.c", config.LevelError, "", false),
		logger("a.u", config.LevelUnset, "", false),
		logger("f", config.LevelFatal, "", false),
		logger("f.u", config.LevelUnset, "own", false),
		logger("data/overflow.dat", config.LevelInfo, "", false),
	}
	tests := []struct {
		name string
		want zapcore.Level
	}{
		{"", zapcore.WarnLevel},
		{"x", zapcore.WarnLevel},
		{"x.y.z", zapcore.WarnLevel},
		{"storage:orders", zapcore.WarnLevel},
		{"a", zapcore.DebugLevel},
		{"a.x", zapcore.DebugLevel},
		{"ab", zapcore.WarnLevel},
		{"a.b", zapcore.InvalidLevel},
		{"a.b.x.y", zapcore.InvalidLevel},
		{"a.b.c", zapcore.ErrorLevel},
		{"a.b.c.d", zapcore.ErrorLevel},
		{"a.b.cd", zapcore.InvalidLevel},
		{"a.u", zapcore.DebugLevel},
		{"a.u.x", zapcore.DebugLevel},
		{"f", zapcore.DPanicLevel},
		{"f.u", zapcore.DPanicLevel},
		{"data/overflow.dat", zapcore.InfoLevel},
		{"data/overflow", zapcore.WarnLevel},
		{".", zapcore.WarnLevel},
		{"a..x.", zapcore.DebugLevel},
	}
	// What the original does with propagate = true happens always, so it changes nothing.
	for _, propagate := range []bool{false, true} {
		for i := range configuration {
			configuration[i].Propagate = propagate
		}
		l := start(t, new(screen), configuration...)
		for _, test := range tests {
			if got := l.Logger(test.name).Level(); got != test.want {
				t.Errorf("propagate %v, %q: got %v, want %v", propagate, test.name, got, test.want)
			}
		}
	}
}

// Each message is the name of its logger, so a file's content says who reached it.
func TestOutputs(t *testing.T) {
	console := config.Logger{Console: true, HasOutputs: true, ConsoleLayout: config.LayoutMessageOnly}
	root := logger("", config.LevelUnset, "root", false)
	rootAndConsole := root
	rootAndConsole.Console, rootAndConsole.ConsoleLayout = true, config.LayoutSimple
	consoleAgain := console
	consoleAgain.Name, consoleAgain.Additive = "a", true
	silent := config.Logger{Name: "a", HasOutputs: true}

	tests := []struct {
		rule    string
		loggers []config.Logger
		say     string // names of loggers that log their name
		want    map[string]string
	}{
		{"no section, no output", nil,
			"dmqnode.main", map[string]string{"stdout": ""}},
		{"without Root only the configured branch has outputs", []config.Logger{logger("a", 0, "a", false)},
			"a a.x x", map[string]string{"a": "a a.x", "stdout": ""}},
		{"Root's outputs are everyone's", []config.Logger{rootAndConsole},
			"x x.y", map[string]string{"root": "x x.y", "stdout": "Info [x] - x Info [x.y] - x.y"}},
		{"without output keys outputs are inherited", []config.Logger{root, logger("a", config.LevelTrace, "", false)},
			"a a.b", map[string]string{"root": "a a.b"}},
		{"own outputs replace the inherited ones", []config.Logger{root, logger("a", 0, "a", false)},
			"a a.b b", map[string]string{"root": "b", "a": "a a.b"}},
		{"additive adds the ancestor's file", []config.Logger{root, logger("a", 0, "a", true)},
			"a a.b b", map[string]string{"root": "a a.b b", "a": "a a.b"}},
		{"additive goes on through additive ancestors",
			[]config.Logger{root, logger("a", 0, "a", true), logger("a.b", 0, "ab", true)},
			"a.b a", map[string]string{"root": "a.b a", "a": "a.b a", "ab": "a.b"}},
		{"additive ends at an ancestor that is not",
			[]config.Logger{root, logger("a", 0, "a", false), logger("a.b", 0, "ab", true)},
			"a.b a", map[string]string{"root": "", "a": "a.b a", "ab": "a.b"}},
		{"additive passes an ancestor without outputs",
			[]config.Logger{root, logger("a", config.LevelInfo, "", false), logger("a.b", 0, "ab", true)},
			"a.b", map[string]string{"root": "a.b", "ab": "a.b"}},
		{"the level of the logger decides, not the ancestor's",
			[]config.Logger{logger("", config.LevelError, "root", false), logger("a", config.LevelInfo, "a", true)},
			"a b", map[string]string{"root": "a", "a": "a"}},
		{"console = false and nothing else: no output", []config.Logger{root, silent},
			"a a.b b", map[string]string{"root": "b"}},
		{"a shared file gets an additive message once", []config.Logger{root, logger("a", 0, "root", true)},
			"a", map[string]string{"root": "a"}},
		{"so does the console, in the nearest layout", []config.Logger{rootAndConsole, consoleAgain},
			"a", map[string]string{"root": "a", "stdout": "a"}},
		{"level none", []config.Logger{logger("", config.LevelNone, "root", false)},
			"a", map[string]string{"root": ""}},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			var s screen
			l := start(t, &s, test.loggers...)
			for _, name := range strings.Fields(test.say) {
				l.Logger(name).Info(name)
			}
			for place, want := range test.want {
				got := s.out.String()
				if place != "stdout" {
					got = content(t, "log/"+place)
				}
				if got = strings.ReplaceAll(strings.TrimSuffix(got, "\n"), "\n", " "); got != want {
					t.Errorf("%s: got %q, want %q", place, got, want)
				}
			}
		})
	}
}

func TestFatalMessagesStopAtLevelNone(t *testing.T) {
	l := start(t, new(screen), rootFile(config.LevelNone))
	l.Logger("x").DPanic("never")
	expect(t, "root.log", content(t, "log/root.log"), "")
}

func TestLoggersNamingTheSameFileShareIt(t *testing.T) {
	l := start(t, new(screen), logger("", 0, "root", false), logger("a", 0, "root", false))
	if err := os.Rename("log/root", "log/root.1"); err != nil {
		t.Fatal(err)
	}
	if err := l.ReopenFiles([]string{"log/root"}); err != nil {
		t.Fatal(err)
	}
	l.Logger("a").Info("a")
	l.Logger("b").Info("b")
	expect(t, "new file", content(t, "log/root"), "a\nb\n")
	expect(t, "old file", content(t, "log/root.1"), "")
}
