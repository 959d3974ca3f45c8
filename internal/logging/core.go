package logging

import (
	"slices"

	"go.uber.org/zap/zapcore"
)

// core connects a zap logger to the settings that decide about it.
type core struct {
	logs     *Logs
	settings *settings
	fields   []byte // of With, rendered; immutable
}

func (c *core) Enabled(level zapcore.Level) bool { return c.settings.enabled(level) }

func (c *core) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(entry.Level) {
		return checked
	}
	return checked.AddCore(entry, c)
}

func (c *core) With(fields []zapcore.Field) zapcore.Core {
	child := *c
	child.fields = appendFields(slices.Clip(c.fields), fields)
	return &child
}

// Write never fails for zap: what can't be written is reported by the Logs.
func (c *core) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = appendEscaped(*buf, entry.Message)
	*buf = append(*buf, c.fields...)
	*buf = appendFields(*buf, fields)
	c.logs.deliver(c.settings.outputs, c.settings.collect, entry.Level,
		message{entry.Time, entry.Level, entry.LoggerName, *buf})
	return nil
}

// Sync waits until the lines are with the kernel.
func (c *core) Sync() error {
	c.logs.Flush()
	return nil
}
