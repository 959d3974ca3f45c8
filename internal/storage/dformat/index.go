package dformat

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"

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

func (e entry) count() Count { return Count{e.records, e.bytes} }

// append appends the line.
func (e entry) append(text []byte) []byte {
	return fmt.Appendf(text, "%s %d %d %d %d\n", e.name, e.records, e.bytes, e.first, e.last)
}

// readIndex reads an index file. bad is what is wrong with it behind the entries.
func readIndex(dir disk.Dir, name string) (entries []entry, bad, err error) {
	file, err := disk.OpenToRead(dir, name)
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
// white space, of which newlines are just some, and P1 to P6 of storage spec §3.10. Unlike that,
// it takes no numbers that are out of range or go over into other characters.
func parseIndex(r io.Reader) (entries []entry, bad, err error) {
	tokens := bufio.NewScanner(r)
	tokens.Split(bufio.ScanWords)
	for tokens.Scan() {
		e, bad := parseEntry(tokens)
		switch {
		case tokens.Err() != nil: // the token may be cut
		case bad != nil:
			return entries, fmt.Errorf("entry %d: %w", len(entries)+1, bad), nil
		default:
			entries = append(entries, e)
		}
	}
	if err := tokens.Err(); errors.Is(err, bufio.ErrTooLong) {
		return entries, fmt.Errorf("entry %d: %w", len(entries)+1, err), nil
	}
	return entries, nil, tokens.Err()
}

// parseEntry reads an entry of which the first token is there.
func parseEntry(tokens *bufio.Scanner) (e entry, err error) {
	e.name = tokens.Text()
	if _, _, _, ok := names.ParseStorage(e.name); !ok || len(e.name) > maxName {
		return e, fmt.Errorf("%.260q is not the name of a storage", e.name)
	}
	var numbers [4]uint64
	for i, what := range [...]string{"number of records", "number of bytes", "first offset", "last offset"} {
		if !tokens.Scan() {
			return e, fmt.Errorf("%s of storage %q: %w", what, e.name, io.ErrUnexpectedEOF)
		}
		bits := 64
		if i >= 2 {
			bits = 63
		}
		if numbers[i], err = strconv.ParseUint(tokens.Text(), 10, bits); err != nil {
			return e, fmt.Errorf("%s of storage %q: %w", what, e.name, err)
		}
	}
	e.records, e.bytes, e.first, e.last = numbers[0], numbers[1], int64(numbers[2]), int64(numbers[3])
	return e, e.check()
}

// check applies the rules P3 to P6.
func (e entry) check() error {
	bad := func(what string) error { return fmt.Errorf("storage %q (%v): %s", e.name, e, what) }
	switch {
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
