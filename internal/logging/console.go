package logging

import (
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"go.uber.org/zap/zapcore"
)

// Console is where console output goes: warn and above to Err, below to Out. Each line is
// one Write, and no two run at the same time. A nil writer drops its lines.
type Console struct {
	Out io.Writer
	Err io.Writer
}

// StandardConsole is stdout and stderr of the process. It makes the process ignore
// SIGPIPE: otherwise the first line after the reader of a pipe has gone would end the
// node (operations spec §5.4).
func StandardConsole() Console {
	signal.Ignore(syscall.SIGPIPE)
	return Console{Out: os.Stdout, Err: os.Stderr}
}

type consoleWriter struct {
	mu sync.Mutex
	Console
}

func newConsoleWriter(c Console) *consoleWriter {
	if c.Out == nil {
		c.Out = io.Discard
	}
	if c.Err == nil {
		c.Err = io.Discard
	}
	return &consoleWriter{Console: c}
}

func (c *consoleWriter) writeLine(level zapcore.Level, line []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.Out
	if level >= zapcore.WarnLevel {
		w = c.Err
	}
	_, err := w.Write(line)
	return err
}
