package console

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// painter makes what has to be written to a terminal so that the block is drawn over itself.
// Before and after, the cursor is at the start of the line below the block.
type painter struct {
	cols, rows int      // of the terminal when the block was drawn
	height     int      // lines of the block on the screen
	recent     []string // latest log lines, which are to be seen again after a change of size
}

const (
	// maxRecent is the number of log lines that are kept.
	maxRecent = 200
	// logShare is the part of the screen, 1/logShare, that is left to log lines once there
	// are any.
	logShare = 4
)

// paint appends to dst. lines are new log lines; block lays out the block for a width and a
// height, nil means that there is none.
func (p *painter) paint(dst []byte, cols, rows int, lines []string, block func(cols, rows int) []string) []byte {
	p.recent = append(p.recent, lines...)
	p.recent = p.recent[max(0, len(p.recent)-maxRecent):]

	var drawn []string
	if block != nil {
		logs := min(len(p.recent), rows/logShare)
		// The last column stays empty: some terminals are of two minds about where the
		// cursor is when that is written.
		drawn = block(max(1, cols-1), max(1, rows-1-logs))
	}
	switch {
	case p.height == 0:
	case cols != p.cols || rows != p.rows:
		// Nobody knows what the terminal has made of the old block: start anew.
		dst = append(dst, "\x1b[H\x1b[2J"...)
		p.height = 0
		lines = fitting(p.recent, cols-1, rows-1-len(drawn))
	default:
		dst = append(dst, "\r\x1b["...)
		dst = strconv.AppendInt(dst, int64(p.height), 10)
		dst = append(dst, 'A')
	}
	if len(lines) > 0 && p.height > 0 {
		dst = append(dst, "\x1b[J"...)
	}
	for _, line := range lines {
		dst = append(append(dst, line...), "\r\n"...)
	}
	for _, line := range drawn {
		dst = append(append(dst, line...), "\x1b[K\r\n"...)
	}
	if len(drawn) < p.height {
		dst = append(dst, "\x1b[J"...)
	}
	p.cols, p.rows, p.height = cols, rows, len(drawn)
	return dst
}

// forget leaves the block where it is: the next one is drawn below what is there then.
func (p *painter) forget() { p.height = 0 }

// fitting returns the last of the lines, at most so many and cut to a width.
func fitting(lines []string, width, count int) (fit []string) {
	for _, line := range lines[max(0, len(lines)-max(0, count)):] {
		fit = append(fit, cutWide(line, width))
	}
	return fit
}

// cutWide cuts a line after so many columns. What is not ASCII counts as two, which is the
// most it may have.
func cutWide(line string, width int) string {
	for i, r := range line {
		width--
		if r >= utf8.RuneSelf {
			width--
		}
		if width < 0 {
			return line[:i]
		}
	}
	return strings.TrimRight(line, " ")
}
