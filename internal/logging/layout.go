package logging

import (
	"strconv"
	"time"
	"unicode/utf8"

	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// layout appends a message in the form of a line, without its LF (operations spec §7.2).
type layout func(dst []byte, m message) []byte

func layoutOf(l config.Layout) layout {
	switch l {
	case config.LayoutSimple:
		return layoutSimple
	case config.LayoutMessageOnly:
		return layoutMessageOnly
	case config.LayoutStats:
		return layoutStats
	default:
		return layoutDate
	}
}

func layoutDate(dst []byte, m message) []byte {
	dst = append(appendTime(dst, m.time), ' ')
	return layoutSimple(dst, m)
}

func layoutSimple(dst []byte, m message) []byte {
	dst = append(append(dst, levelName(m.level)...), ' ')
	return layoutSyslog(dst, m)
}

// layoutSyslog is the form for syslog (operations spec §2.6), where time and level are
// the daemon's.
func layoutSyslog(dst []byte, m message) []byte {
	dst = append(dst, '[')
	if m.logger == "" {
		dst = append(dst, "root"...)
	} else {
		dst = appendEscaped(dst, m.logger)
	}
	dst = append(dst, "] - "...)
	return append(dst, m.text...)
}

func layoutMessageOnly(dst []byte, m message) []byte {
	return append(dst, m.text...)
}

func layoutStats(dst []byte, m message) []byte {
	dst = append(appendTime(dst, m.time), ' ')
	return append(dst, m.text...)
}

// appendTime appends local time with three digits of milliseconds.
func appendTime(dst []byte, t time.Time) []byte {
	return t.Local().AppendFormat(dst, "2006-01-02 15:04:05,000")
}

func levelName(level zapcore.Level) string {
	switch level {
	case zapcore.DebugLevel:
		return "Trace"
	case zapcore.InfoLevel:
		return "Info"
	case zapcore.WarnLevel:
		return "Warn"
	case zapcore.ErrorLevel:
		return "Error"
	default:
		return "Fatal"
	}
}

// appendEscaped appends a text so that it stays on its line and prints: everything that
// is not printable appears as in a Go string literal (\n, \x1b, \u2028, \xff for a byte
// that is not UTF-8). Backslashes stay as they are, because texts often carry names that
// their author has quoted already.
func appendEscaped(dst []byte, text string) []byte {
	for i := 0; i < len(text); {
		plain := i
		for i < len(text) && text[i] >= ' ' && text[i] < 0x7f {
			i++
		}
		dst = append(dst, text[plain:i]...)
		if i == len(text) {
			break
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 || !strconv.IsPrint(r) {
			dst = appendUnprintable(dst, text[i:i+size])
		} else {
			dst = append(dst, text[i:i+size]...)
		}
		i += size
	}
	return dst
}

// appendUnprintable appends one character as strconv quotes it, without the quotes.
func appendUnprintable(dst []byte, char string) []byte {
	var quoted [16]byte
	literal := strconv.AppendQuote(quoted[:0], char)
	return append(dst, literal[1:len(literal)-1]...)
}
