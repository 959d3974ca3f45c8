package logging

import (
	"fmt"
	"strings"

	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// settings decide what happens to the messages of a logger. Immutable.
type settings struct {
	level   zapcore.Level // the least severe level let through; InvalidLevel = nothing
	outputs []output      // each destination at most once
	collect bool          // messages are counted
}

func (s *settings) enabled(level zapcore.Level) bool {
	return level >= s.level && len(s.outputs) > 0
}

// configure resolves the settings of every configured logger. The configuration has Root
// first and the others in alphabetical order, so ancestors are resolved before their
// descendants.
func (l *Logs) configure(loggers []config.Logger) error {
	l.loggers = map[string]*settings{"": {level: zapcore.DebugLevel, collect: true}}
	for _, c := range loggers {
		s, err := l.resolve(c, l.nearest(parent(c.Name)))
		if err != nil {
			return err
		}
		l.loggers[c.Name] = s
	}
	return nil
}

// resolve makes the settings of one logger out of its section and its ancestor's settings.
func (l *Logs) resolve(c config.Logger, ancestor *settings) (*settings, error) {
	s := &settings{level: ancestor.level, collect: c.CollectStats}
	if c.Level != config.LevelUnset {
		s.level = threshold(c.Level)
	}
	if !c.HasOutputs {
		s.outputs = ancestor.outputs
		return s, nil
	}
	if c.File != "" {
		file, err := l.open(c.File)
		if err != nil {
			return nil, fmt.Errorf("[LOG.%s] file: %w", sectionName(c.Name), err)
		}
		s.outputs = append(s.outputs, output{file, layoutOf(c.FileLayout)})
	}
	if c.Syslog {
		s.outputs = append(s.outputs, output{l.syslog, layoutSyslog})
	}
	// Last: who sees a line on the console finds it in the file, too.
	if c.Console {
		s.outputs = append(s.outputs, output{l.console, layoutOf(c.ConsoleLayout)})
	}
	if c.Additive {
		s.outputs = withInherited(s.outputs, ancestor.outputs)
	}
	return s, nil
}

// withInherited adds the outputs of an ancestor whose destinations are not in own yet.
func withInherited(own, inherited []output) []output {
	all := own
	for _, o := range inherited {
		if !reaches(own, o.to) {
			all = append(all, o)
		}
	}
	return all
}

func reaches(outputs []output, to *destination) bool {
	for _, o := range outputs {
		if o.to == to {
			return true
		}
	}
	return false
}

// nearest gives the settings of the logger itself or of its nearest configured ancestor.
func (l *Logs) nearest(name string) *settings {
	for {
		if s, ok := l.loggers[name]; ok {
			return s
		}
		name = parent(name)
	}
}

// parent is the name up to the last dot; Root ("") is the last parent and its own.
func parent(name string) string {
	return name[:max(strings.LastIndexByte(name, '.'), 0)]
}

func sectionName(logger string) string {
	if logger == "" {
		return "Root"
	}
	return logger
}

// threshold translates a configured level; the node's trace is zap's debug.
func threshold(level config.Level) zapcore.Level {
	switch level {
	case config.LevelInfo:
		return zapcore.InfoLevel
	case config.LevelWarn:
		return zapcore.WarnLevel
	case config.LevelError:
		return zapcore.ErrorLevel
	case config.LevelFatal:
		return zapcore.DPanicLevel
	case config.LevelNone:
		return zapcore.InvalidLevel
	default:
		return zapcore.DebugLevel
	}
}
