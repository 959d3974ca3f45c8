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
// follow the text as key=value. Lines have any length; they are never cut or written in parts,
// so a reader of the file sees whole lines.
//
// Loggers form a hierarchy by the dots in their names. All settings are resolved when the
// configuration is read and never change, so a call whose level is off costs a comparison.
// A logger without a section of its own takes all settings of its nearest configured
// ancestor, and an unset level is the ancestor's. This is what `propagate` is for in the
// original; it is accepted and has nothing left to do. A level decides at the logger that
// is called; the outputs it reaches through `additive` don't filter again. No output gets
// a message twice.
//
// Everything here may be called from any goroutine, and no call to a logger waits for a
// write: lines go through a queue to a goroutine that writes the files, and from there
// through one more queue each to the console and to syslog. So a terminal that is stopped, or
// a syslog daemon that does not read, holds up nobody else, and who sees a line on the console
// finds it in the file, too. The queues are bounded: what does not fit is dropped and counted,
// errors last. A kill loses what is in them, as a rule the lines of the last millisecond.
// A destination that fails is reported when it begins to, to Root's other outputs or else to
// stderr, and tried again with every message; what it should have received meanwhile is lost.
//
// Each file has a lock around the write and the exchange of its descriptor; the console and
// syslog have one around the write. The list of files has another, which comes first where
// files are opened, reopened and closed.
package logging

import (
	"errors"
	"fmt"
	"slices"
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
	queue    *queue // to the files, and to the queues of the others

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
	for _, d := range []*destination{l.console, l.syslog} {
		d.queue = startQueue(d.name, &l.counters.dropped, l.write)
	}
	l.queue = startQueue("the log files", &l.counters.dropped, l.distribute)
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

// flushTimeout is how long a destination that does not take its lines may hold up who has to
// know that they are written.
const flushTimeout = 250 * time.Millisecond

// Flush waits until everything that was logged before is written. It does not wait long for a
// destination that takes nothing, and then returns false.
func (l *Logs) Flush() bool {
	all := true
	for _, q := range l.queues() {
		all = q.flush(flushTimeout) && all
	}
	return all
}

// queues are all queues, in the order in which a message gets into them, that a destination fails
// for example into the first again.
func (l *Logs) queues() []*queue {
	return []*queue{l.queue, l.console.queue, l.syslog.queue, l.queue, l.console.queue}
}

// Close writes what has been logged, as Flush does, and closes the files and the connection to
// syslog, or leaves them to the system if somebody still writes there. Messages that come later
// are dropped. Closing again does nothing.
func (l *Logs) Close() error {
	if !l.closed.CompareAndSwap(false, true) {
		return nil
	}
	flushed := l.Flush()
	for _, q := range l.queues() {
		q.close()
	}
	if !flushed {
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
	l.deliver(outputs, l.nearest(logger).collect, zapcore.ErrorLevel, message{at, level, logger, *buf})
}

// deliver sends a message on its way to the outputs. It keeps nothing of it.
func (l *Logs) deliver(outputs []output, collect bool, importance zapcore.Level, m message) {
	if l.closed.Load() || len(outputs) == 0 {
		return
	}
	m.text = slices.Clone(m.text)
	l.queue.add(queued{m, outputs, collect}, importance)
}

// distribute writes a message to the files among its outputs and passes it on to the others. It
// is counted when it has reached one.
func (l *Logs) distribute(m queued) {
	l.reportDropped(l.queue)
	for _, o := range m.outputs {
		if o.to.queue == nil && l.writeTo(o, m) {
			m.collect = false
		}
	}
	for _, o := range m.outputs {
		if o.to.queue != nil {
			o.to.queue.add(queued{m.message, []output{o}, m.collect}, m.level)
			m.collect = false
		}
	}
}

// write writes a message to the one output that it has.
func (l *Logs) write(m queued) {
	l.reportDropped(m.outputs[0].to.queue)
	l.writeTo(m.outputs[0], m)
}

// writeTo writes a message, counts it if it is to be counted, and reports whether that worked.
func (l *Logs) writeTo(o output, m queued) bool {
	if err := o.write(m.message); err != nil {
		if o.to.failed(l.clock.Now()) {
			l.reportFailure(o.to, err)
		}
		return false
	}
	o.to.succeeded()
	if m.collect {
		l.counters.count(m.level)
	}
	return true
}

// reportDropped tells how many messages a queue had no room for, once it has room again.
func (l *Logs) reportDropped(q *queue) {
	if q.dropped.Load() == 0 || !q.half() {
		return
	}
	text := fmt.Sprintf("%d messages to %s were left out, they came faster than they could be written", q.dropped.Swap(0), q.name)
	l.say(l.nearest("").outputs, zapcore.WarnLevel, failureLogger, l.clock.Now(), text)
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
