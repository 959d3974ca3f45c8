package logging

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestClosedConsoleLosesOnlyItsOwnLines(t *testing.T) {
	instance(t)
	root := logger("", config.LevelInfo, "root.log", false)
	root.Console = true
	l, err := New(config.Log{Loggers: []config.Logger{root}}, config.Version{}, Console{Out: brokenPipe{}, Err: brokenPipe{}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Logger("x").Info("one")
	l.Flush()
	l.Logger("x").Warn("two")
	l.Flush()
	expect(t, "root.log", content(t, "log/root.log"),
		"one\nmessages to the console are lost until it works again: broken pipe\ntwo\n")
	if got, want := l.counted(), (Counts{Info: 1, Warn: 1, Error: 1}); got != want {
		t.Errorf("counts: got %+v, want %+v", got, want)
	}
}

func TestZeroConsoleDropsItsLines(t *testing.T) {
	l, err := New(config.Log{Loggers: []config.Logger{{Console: true, HasOutputs: true}}}, config.Version{}, Console{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Logger("x").Info("nowhere")
	l.Logger("x").Warn("nowhere")
}

// The process itself must survive, so it is started: this test, with its output a pipe
// that nobody reads (operations spec §5.4).
func TestProcessSurvivesAConsoleWithoutReader(t *testing.T) {
	const child = "LOGGING_TEST_CONSOLE_WITHOUT_READER"
	if os.Getenv(child) != "" {
		l, err := New(config.Log{Loggers: []config.Logger{{Console: true, HasOutputs: true}}}, config.Version{}, StandardConsole())
		if err != nil {
			os.Exit(1)
		}
		for range 3 {
			l.Logger("x").Info("to stdout")
			l.Logger("x").Warn("to stderr")
		}
		os.Exit(0)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(executable, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1")
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Run(); err != nil {
		t.Errorf("got %v, want a clean exit", err)
	}
}
