package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Loggers are configured by sections [LOG.NAME]; NAME Root, in any letter case, is the parent of
// all (operations spec §2.6).
const (
	loggerPrefix = "LOG."
	rootSection  = loggerPrefix + "Root"
)

// loggerSections are the names of all logger sections: Root first, the others in alphabetical order.
func loggerSections(file entries) []string {
	var names []string
	for name := range file {
		if strings.HasPrefix(name, loggerPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if i := slices.Index(names, rootSection); i >= 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, rootSection)
	}
	return names
}

// newLogger is the logger of a section before its keys are read. Every logger starts from the
// defaults; nothing carries over from the one before.
func newLogger(section string, keys map[string]entry) Logger {
	l := Logger{
		Name:          strings.TrimPrefix(section, loggerPrefix),
		ConsoleLayout: LayoutSimple,
		FileLayout:    LayoutDate,
		CollectStats:  true,
	}
	if section == rootSection {
		l.Name, l.Console, l.HasOutputs = "", true, true
	}
	for _, output := range []string{"console", "file", "syslog"} {
		if _, present := keys[output]; present {
			l.HasOutputs = true
		}
	}
	return l
}

func loggerKeys(l *Logger) []key {
	return []key{
		level("level", l),
		boolean("console", &l.Console),
		boolean("syslog", &l.Syslog),
		layout("console_layout", &l.ConsoleLayout, func() bool { return l.Console }),
		text("file", &l.File),
		layout("file_layout", &l.FileLayout, func() bool { return l.File != "" }),
		boolean("propagate", &l.Propagate),
		boolean("additive", &l.Additive),
		boolean("collect_stats", &l.CollectStats),
		number("buffer_size", &l.BufferSize, anyUlong.to(math.MaxInt)),
	}
}

// level takes the name of a Level in any letter case.
func level(name string, l *Logger) key {
	return key{name: name, allowed: "trace (or debug), info, warn, error, fatal, none (or off, disabled)", set: func(_ place, value string) error {
		switch strings.ToLower(value) {
		case "trace", "debug":
			l.Level = LevelTrace
		case "info":
			l.Level = LevelInfo
		case "warn":
			l.Level = LevelWarn
		case "error":
			l.Level = LevelError
		case "fatal":
			l.Level = LevelFatal
		case "none", "off", "disabled":
			l.Level = LevelNone
		default:
			return fmt.Errorf("Invalid log level '%s' requested for logger '%s'", value, l.Name)
		}
		return nil
	}}
}

// layout takes the name of a Layout (operations spec §7.2) in any letter case, with or without "layout" around it.
// One that no output uses may have any name, as in the original.
func layout(name string, to *Layout, used func() bool) key {
	return key{name: name, allowed: "date, simple, messageonly, stats (or statslog)", set: func(_ place, value string) error {
		switch strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(value), "layout"), "layout") {
		case "date":
			*to = LayoutDate
		case "simple":
			*to = LayoutSimple
		case "messageonly":
			*to = LayoutMessageOnly
		case "stats", "statslog":
			*to = LayoutStats
		default:
			if used() {
				return fmt.Errorf("Invalid layout requested : %s", value)
			}
		}
		return nil
	}}
}
