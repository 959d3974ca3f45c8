package overflow

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// IndexEntry is a line of the index (storage spec §3.5). Positions are offsets in the
// data file.
type IndexEntry struct {
	Name        string
	Records     uint32
	Bytes       uint64
	First, Last int64
}

// IndexError says what is wrong with an index.
type IndexError struct {
	Entry  int // ordinal, the first is 1
	Reason error
}

func (e *IndexError) Error() string { return fmt.Sprintf("entry %d: %v", e.Entry, e.Reason) }

// Unwrap returns the reason.
func (e *IndexError) Unwrap() error { return e.Reason }

// longestName bounds what a corrupt index can make the parser collect; a longer name can't
// be part of a file name.
const longestName = 255

// ParseIndex reads an index by the rules of the D node: five tokens an entry, separated
// by white space, of which newlines are just some, and P1 to P6 of storage spec §3.10.
// If the index is bad, it returns the entries before the bad one and an *[IndexError];
// other errors are those of r.
func ParseIndex(r io.Reader) ([]IndexEntry, error) {
	p := indexParser{r: bufio.NewReader(r)}
	var entries []IndexEntry
	for {
		p.space()
		if p.peek() < 0 {
			return entries, p.err
		}
		e, err := p.entry()
		if err == nil {
			err = e.check()
		}
		if p.err != nil {
			return entries, p.err
		}
		if err != nil {
			return entries, &IndexError{len(entries) + 1, err}
		}
		entries = append(entries, e)
	}
}

// indexParser reads tokens the way scanf does.
type indexParser struct {
	r   *bufio.Reader
	err error // of reading
}

// peek returns the next byte, or -1 if there is none.
func (p *indexParser) peek() int {
	b, err := p.r.Peek(1)
	if err != nil {
		if err != io.EOF {
			p.err = err
		}
		return -1
	}
	return int(b[0])
}

func (p *indexParser) space() {
	for c := p.peek(); c >= 0 && strings.IndexByte(" \t\n\v\f\r", byte(c)) >= 0; c = p.peek() {
		p.r.Discard(1)
	}
}

func (p *indexParser) entry() (e IndexEntry, err error) {
	if e.Name, err = p.name(); err != nil {
		return e, err
	}
	numbers := [...]struct {
		what   string
		signed bool
		store  func(uint64)
	}{
		{"number of records", false, func(n uint64) { e.Records = uint32(n) }},
		{"number of bytes", false, func(n uint64) { e.Bytes = n }},
		{"first offset", true, func(n uint64) { e.First = int64(n) }},
		{"last offset", true, func(n uint64) { e.Last = int64(n) }},
	}
	for _, number := range numbers {
		n, err := p.number(number.signed)
		if err != nil {
			return e, fmt.Errorf("%s of storage %q: %w", number.what, e.Name, err)
		}
		number.store(n)
	}
	return e, nil
}

func isNameByte(c int) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '_' || c == '-' || c == '@'
}

func (p *indexParser) name() (string, error) {
	var name strings.Builder
	for isNameByte(p.peek()) {
		c, _ := p.r.ReadByte()
		if name.Len() == longestName {
			return "", fmt.Errorf("the storage name is longer than %d bytes", longestName)
		}
		name.WriteByte(c)
	}
	if name.Len() == 0 {
		return "", p.unexpected("a storage name")
	}
	return name.String(), nil
}

// number reads white space and a decimal number with an optional sign. A number that is
// too large becomes the largest; a negative one wraps around if it should be unsigned.
func (p *indexParser) number(signed bool) (uint64, error) {
	p.space()
	negative := p.peek() == '-'
	if negative || p.peek() == '+' {
		p.r.Discard(1)
	}
	limit := uint64(1<<64 - 1)
	if signed {
		limit = 1<<63 - 1
		if negative {
			limit++
		}
	}
	var n uint64
	digits, overflow := 0, false
	for c := p.peek(); '0' <= c && c <= '9'; c = p.peek() {
		p.r.Discard(1)
		digits++
		digit := uint64(c - '0')
		if overflow = overflow || n > (limit-digit)/10; !overflow {
			n = 10*n + digit
		}
	}
	if digits == 0 {
		return 0, p.unexpected("a number")
	}
	if overflow {
		n = limit
	}
	if negative && (signed || !overflow) {
		n = -n
	}
	return n, nil
}

func (p *indexParser) unexpected(wanted string) error {
	c := p.peek()
	if c < 0 {
		return fmt.Errorf("%w instead of %s", io.ErrUnexpectedEOF, wanted)
	}
	return fmt.Errorf("%q instead of %s", byte(c), wanted)
}

// check applies the rules P2 to P6.
func (e IndexEntry) check() error {
	at := strings.IndexByte(e.Name, '@')
	switch {
	case strings.Count(e.Name, "@") > 1 || at == len(e.Name)-1:
		return fmt.Errorf("storage name %q: at most one @, and not at the end", e.Name)
	case e.Records == 0 && (e.First != 0 || e.Last != 0 || e.Bytes != 0):
		return e.bad("no records, but bytes or offsets")
	case e.Records == 1 && e.First != e.Last:
		return e.bad("one record, but different first and last offsets")
	case e.Records >= 2 && e.First >= e.Last:
		return e.bad("the last record is not behind the first")
	case e.First < magicSize:
		return e.bad(fmt.Sprintf("the first offset is less than %d", magicSize))
	}
	return nil
}

func (e IndexEntry) bad(what string) error {
	return fmt.Errorf("storage %q (%d records, %d bytes, offsets %d to %d): %s",
		e.Name, e.Records, e.Bytes, e.First, e.Last, what)
}
