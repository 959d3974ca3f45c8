// Package logging writes what the node has to say: root.log and the other files of
// [LOG.*], the console, syslog, log/version.log and, for whoever asks, further log files
// that are reopened together with these (operations spec §2.6, §7).
//
//	Logger(name) ─ zap ─▶ core ─▶ message text ─┬▶ layout ─▶ file      one write(2) a line
//	                      │ level, outputs       ├▶ layout ─▶ console   warn and above: stderr
//	                      │ of the nearest       └▶ fixed  ─▶ syslog
//	                      ▼ configured ancestor
//	                      Counts
//
// A message becomes one line, whatever its callers put into it: control bytes,
// newlines, invalid UTF-8 and other characters that don't print are escaped, zap fields
// follow the text as key=value. Lines have any length; they are never cut, buffered or
// written in parts, so a reader of the file sees whole lines and a crash loses none.
//
// Loggers form a hierarchy by the dots in their names. All settings are resolved when the
// configuration is read and never change, so a call whose level is off costs a comparison.
// A logger without a section of its own takes all settings of its nearest configured
// ancestor, and an unset level is the ancestor's. This is what `propagate` is for in the
// original; it is accepted and has nothing left to do. A level decides at the logger that
// is called; the outputs it reaches through `additive` don't filter again. No output gets
// a message twice.
//
// Everything here may be called from any goroutine. A call to a logger blocks as long as
// the write of its line does: a terminal that is stopped (without the display of
// internal/console, which waits for none), or a syslog daemon that does not read, holds its
// callers up. A destination that fails is reported when it begins to, to
// Root's other outputs or else to stderr, and tried again with every message; what it
// should have received meanwhile is lost.
//
// Each file has a lock around the write and the exchange of its descriptor; the console and
// syslog have one around the write. The list of files has another, which comes first where
// files are opened, reopened and closed.
package logging

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// versionFile gets one line at each start, versionLogger is the logger that says it
// (operations spec §7.4).
const (
	versionFile   = "log/version.log"
	versionLogger = "ocean.util.app.ext.VersionArgsExt"
)

// failureLogger reports destinations that can't be written to.
const failureLogger = "dmqnode.logging"

// Logs is the whole log of the process. Use New.
type Logs struct {
	clock    zapcore.Clock
	loggers  map[string]*settings // by name, "" is Root; immutable after New
	console  *destination
	syslog   *destination
	version  *destination // nil = no version.log
	counters counters

	mu     sync.Mutex
	files  []*appendFile // in the order they were opened
	closed atomic.Bool
}

// New opens every file of the configuration, appending and creating with mode
// 0666 &^ umask, and log/version.log if version wants it. Directories are not created: a
// file that can't be opened is an error naming its section, the path and the reason.
// Syslog is connected to when the first message goes there.
func New(cfg config.Log, version config.Version, console Console) (*Logs, error) {
	return newLogs(cfg, version, console, zapcore.DefaultClock)
}

func newLogs(cfg config.Log, version config.Version, console Console, clock zapcore.Clock) (*Logs, error) {
	l := &Logs{
		clock:   clock,
		console: &destination{name: "the console", writer: newConsoleWriter(console)},
		syslog:  &destination{name: "syslog", writer: newSyslogWriter()},
	}
	err := l.configure(cfg.Loggers)
	if err == nil && version.DefaultVersionLog {
		if l.version, err = l.open(versionFile); err != nil {
			err = fmt.Errorf("[VERSION] default_version_log: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Logger gives the logger of that name; "" is Root. The settings are those of the nearest
// configured ancestor. Zap's debug level is the node's trace; everything above error is
// fatal. Keep what it returns: the call allocates.
func (l *Logs) Logger(name string) *zap.Logger {
	return zap.New(&core{logs: l, settings: l.nearest(name)}, zap.WithClock(l.clock)).Named(name)
}

// Version logs the single-line build information at start: to log/version.log, if wanted,
// and to Root's outputs, both whatever level is configured (operations spec §7.4).
func (l *Logs) Version(line string) {
	var outputs []output
	if l.version != nil {
		outputs = append(outputs, output{l.version, layoutDate})
	}
	outputs = withInherited(outputs, l.nearest("").outputs)
	l.say(outputs, zapcore.InfoLevel, versionLogger, l.clock.Now(), line)
}

// Close closes the files and the connection to syslog. Messages that come later are
// dropped. Closing again does nothing.
func (l *Logs) Close() error {
	if !l.closed.CompareAndSwap(false, true) {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var failures []error
	for _, f := range l.files {
		failures = append(failures, f.close())
	}
	failures = append(failures, l.syslog.writer.(*syslogWriter).close())
	return errors.Join(failures...)
}

// say delivers a text that does not come through zap and is not subject to a level.
func (l *Logs) say(outputs []output, level zapcore.Level, logger string, at time.Time, text string) {
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = appendEscaped(*buf, text)
	l.deliver(outputs, l.nearest(logger).collect, message{at, level, logger, *buf})
}

// deliver writes a message to each of the outputs and counts it if it reached one.
func (l *Logs) deliver(outputs []output, collect bool, m message) {
	if l.closed.Load() {
		return
	}
	reached := false
	for _, o := range outputs {
		if err := o.write(m); err == nil {
			o.to.succeeded()
			reached = true
		} else if o.to.failed(l.clock.Now()) {
			l.reportFailure(o.to, err)
		}
	}
	if reached && collect {
		l.counters.count(m.level)
	}
}

// reportFailure tells about a destination where an operator may still see it.
func (l *Logs) reportFailure(failed *destination, err error) {
	var outputs []output
	for _, o := range l.nearest("").outputs {
		if o.to != failed {
			outputs = append(outputs, o)
		}
	}
	if len(outputs) == 0 && failed != l.console {
		outputs = []output{{l.console, layoutSimple}}
	}
	text := fmt.Sprintf("messages to %s are lost until it works again: %v", failed.name, err)
	l.say(outputs, zapcore.ErrorLevel, failureLogger, l.clock.Now(), text)
}
