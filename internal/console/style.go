package console

import (
	"math"
	"strings"
)

// style is what the terminal can show.
type style struct {
	color    bool
	unicode  bool
	ellipsis string
}

// styleOf follows the locale, and NO_COLOR (no-color.org).
func styleOf(environment func(string) string) style {
	s := style{color: environment("NO_COLOR") == "", ellipsis: "..."}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToUpper(environment(name)); locale != "" {
			s.unicode = strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
			break
		}
	}
	if s.unicode {
		s.ellipsis = "…"
	}
	return s
}

// bar shows a share, 0 to 1, in so many columns. With Unicode it is drawn in eighths of a
// column.
func (s style) bar(share float64, width int) string {
	share = min(1, max(0, share))
	if !s.unicode {
		full := int(math.Round(share * float64(width)))
		return strings.Repeat("#", full) + strings.Repeat(".", width-full)
	}
	eighths := int(math.Ceil(share * float64(width) * 8)) // whatever is there is to be seen
	bar := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		bar += string(rune('█' + 8 - rest)) // ▉ to ▏
	}
	return bar + strings.Repeat("·", width-(eighths+7)/8)
}

// cut marks that there is more.
func (s style) cut(name string, width int) string {
	if len(name) <= width {
		return name
	}
	mark := 3
	if s.unicode {
		mark = 1
	}
	if width <= mark {
		return name[:width]
	}
	return name[:width-mark] + s.ellipsis
}

const (
	warning = 0.7 // of the ring
	alarm   = 0.9
)

// alarming colours a text by what it says about a queue.
func (s style) alarming(text string, q *queue) string {
	switch {
	case q.OverflowRecords > 0 || q.fullness() >= alarm:
		return s.sequence("31", text) // red
	case q.fullness() >= warning:
		return s.sequence("33", text) // yellow
	}
	return s.sequence("32", text) // green
}

func (s style) bold(text string) string { return s.sequence("1", text) }

func (s style) sequence(code, text string) string {
	if !s.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
