package terminal

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Screen is what a terminal of a fixed size shows of the bytes that are written to it. It knows
// the control characters and sequences that the node uses; others appear as they are, so that
// a test sees them. Every character takes one column.
type Screen struct {
	cols, rows int
	cells      [][]rune
	col, row   int // col may be cols: the next character starts a line
	pending    []byte
	history    []string // lines that have scrolled away
}

// NewScreen returns an empty screen.
func NewScreen(cols, rows int) *Screen {
	s := &Screen{cols: cols, rows: rows}
	for range rows {
		s.cells = append(s.cells, blank(cols))
	}
	return s
}

func blank(cols int) []rune { return []rune(strings.Repeat(" ", cols)) }

// Resize changes the size and garbles what was there.
func (s *Screen) Resize(cols, rows int) {
	row := min(s.row, rows-1)
	*s = *NewScreen(cols, rows)
	s.row = row
	for _, line := range s.cells {
		for i := range line {
			line[i] = '?'
		}
	}
}

// Cursor is where the next character would appear, counted from 0.
func (s *Screen) Cursor() (col, row int) { return s.col, s.row }

// History is the lines that have scrolled away since the size was last changed.
func (s *Screen) History() []string { return s.history }

// Lines are without blanks at their ends and without the empty ones at the bottom.
func (s *Screen) Lines() []string {
	var lines []string
	for _, line := range s.cells {
		lines = append(lines, strings.TrimRight(string(line), " "))
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// Write never fails.
func (s *Screen) Write(b []byte) (int, error) {
	s.pending = append(s.pending, b...)
	for len(s.pending) > 0 {
		n := s.next(s.pending)
		if n == 0 {
			break // the rest of a sequence is to come
		}
		s.pending = s.pending[n:]
	}
	return len(b), nil
}

// next shows the first character or sequence and returns its length.
func (s *Screen) next(b []byte) int {
	switch {
	case b[0] == '\r':
		s.col = 0
		return 1
	case b[0] == '\n':
		s.lineFeed()
		return 1
	case b[0] == 0x1b:
		return s.sequence(b)
	case !utf8.FullRune(b):
		return 0
	}
	r, n := utf8.DecodeRune(b)
	if s.col == s.cols {
		s.col = 0
		s.lineFeed()
	}
	s.cells[s.row][s.col] = r
	s.col++
	return n
}

func (s *Screen) lineFeed() {
	if s.row++; s.row == s.rows {
		s.row--
		s.history = append(s.history, strings.TrimRight(string(s.cells[0]), " "))
		s.cells = append(s.cells[1:], blank(s.cols))
	}
}

// sequence carries out ESC [ number letter.
func (s *Screen) sequence(b []byte) int {
	end := 2
	for end < len(b) && (b[end] >= '0' && b[end] <= '9' || b[end] == ';') {
		end++
	}
	if end >= len(b) {
		return 0
	}
	number, _ := strconv.Atoi(string(b[2:end]))
	switch b[end] {
	case 'A':
		s.row = max(0, s.row-max(1, number))
	case 'H':
		s.col, s.row = 0, 0
	case 'J':
		from := s.row + 1
		if number == 2 {
			from = 0
		} else {
			s.eraseLine()
		}
		for row := from; row < s.rows; row++ {
			s.cells[row] = blank(s.cols)
		}
	case 'K':
		s.eraseLine()
	case 'm':
	default:
		s.cells[s.row][min(s.col, s.cols-1)] = '!' // not known
	}
	return end + 1
}

// eraseLine erases from the cursor on; where terminals differ, with the last column.
func (s *Screen) eraseLine() {
	for col := min(s.col, s.cols-1); col < s.cols; col++ {
		s.cells[s.row][col] = ' '
	}
}
