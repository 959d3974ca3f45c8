package dformat

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// entry is a line of the overflow index (storage spec §3.5). Positions are offsets in the data
// file.
type entry struct {
	name        string
	records     uint64
	bytes       uint64 // of the payloads
	first, last int64
}

func (e entry) String() string {
	return fmt.Sprintf("%d records, %d bytes, offsets %d to %d", e.records, e.bytes, e.first, e.last)
}

// append appends the line.
func (e entry) append(text []byte) []byte {
	text = append(append(text, e.name...), ' ')
	text = append(strconv.AppendUint(text, e.records, 10), ' ')
	text = append(strconv.AppendUint(text, e.bytes, 10), ' ')
	text = append(strconv.AppendInt(text, e.first, 10), ' ')
	return append(strconv.AppendInt(text, e.last, 10), '\n')
}

// longestName bounds what a corrupt index can make the parser collect; a longer name can't
// be part of a file name.
const longestName = 255

// readIndex reads an index file; a missing one is empty. bad is what is wrong with it behind
// the entries.
func readIndex(dir disk.Dir, name string) (entries []entry, bad, err error) {
	file, err := disk.OpenToRead(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, nil, err
	}
	return parseIndex(io.NewSectionReader(file, 0, size))
}

// parseIndex reads an index by the rules of the D node: five tokens an entry, separated by
// white space, of which newlines are just some, and P1 to P6 of storage spec §3.10.
func parseIndex(r io.Reader) (entries []entry, bad, err error) {
	p := indexParser{r: bufio.NewReader(r)}
	for bad == nil && p.err == nil {
		p.space()
		if p.peek() < 0 {
			break
		}
		var e entry
		if e, bad = p.entry(); bad == nil {
			entries = append(entries, e)
		} else {
			bad = fmt.Errorf("entry %d: %w", len(entries)+1, bad)
		}
	}
	return entries, bad, p.err
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

func (p *indexParser) entry() (e entry, err error) {
	if e.name, err = p.name(); err != nil {
		return e, err
	}
	for i, what := range [...]string{"number of records", "number of bytes", "first offset", "last offset"} {
		n, err := p.number(i >= 2)
		if err != nil {
			return e, fmt.Errorf("%s of storage %q: %w", what, e.name, err)
		}
		switch i {
		case 0:
			e.records = n
		case 1:
			e.bytes = n
		case 2:
			e.first = int64(n)
		case 3:
			e.last = int64(n)
		}
	}
	return e, e.check()
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
func (e entry) check() error {
	bad := func(what string) error { return fmt.Errorf("storage %q (%v): %s", e.name, e, what) }
	switch _, _, _, ok := names.ParseStorage(e.name); {
	case !ok:
		return fmt.Errorf("storage name %q: at most one @, and not at the end", e.name)
	case e.records == 0 && (e.first != 0 || e.last != 0 || e.bytes != 0):
		return bad("no records, but bytes or offsets")
	case e.records == 1 && e.first != e.last:
		return bad("one record, but different first and last offsets")
	case e.records >= 2 && e.first >= e.last:
		return bad("the last record is not behind the first")
	case e.first < magicSize:
		return bad(fmt.Sprintf("the first offset is less than %d", magicSize))
	}
	return nil
}
