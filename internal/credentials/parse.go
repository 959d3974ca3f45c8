package credentials

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Limits of the format.
const (
	MaxName = 100        // bytes
	KeySize = 128        // bytes, twice as many digits
	MaxFile = 10_000_000 // bytes
)

const keyDigits = 2 * KeySize

// space is the white space that does not belong to a name or key, and nothing else.
const space = " \t\n\v\f\r"

// Key is a client's secret.
type Key = [KeySize]byte

// Table maps client names to keys. It is immutable, so any number of goroutines may use it.
type Table struct {
	keys map[string]*Key
}

// Key returns the key of the client of that name. It does not keep name. The key must not
// be changed.
func (t *Table) Key(name []byte) (key *Key, ok bool) {
	key, ok = t.keys[string(name)]
	return key, ok
}

// Names returns the names of all clients in alphabetical order.
func (t *Table) Names() []string {
	names := make([]string, 0, len(t.keys))
	for name := range t.keys {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Parse turns the content of a credentials file into a table. The first fault is an error
// and there is no table; the error tells file, the name of the file, and the line, counted
// from 1. An empty file is valid, but nobody can authenticate with it.
func Parse(file string, content []byte) (*Table, error) {
	if len(content) > MaxFile {
		return nil, tooLarge(file, int64(len(content)))
	}
	t := &Table{make(map[string]*Key)}
	number := 0
	for line := range bytes.SplitSeq(content, []byte("\n")) {
		number++
		if len(line) == 0 {
			continue // a line of white space is a fault, one without anything is none
		}
		name, key, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("%w in registry file %s at line %d", err, file, number)
		}
		t.keys[name] = key
	}
	return t, nil
}

// parseLine decodes "name:key". Order and texts of the checks are those of the
// specifications, which count positions in names from 0, in keys from 1.
func parseLine(line []byte) (string, *Key, error) {
	name, digits, _ := bytes.Cut(line, []byte(":"))
	name, digits = bytes.Trim(name, space), bytes.Trim(digits, space)
	switch {
	case len(name) == 0:
		return "", nil, errors.New("Empty name")
	case len(name) > MaxName:
		return "", nil, errors.New("Name too long")
	case len(digits) != keyDigits:
		return "", nil, fmt.Errorf("Invalid key length %d (should be %d)", len(digits), keyDigits)
	}
	for i, c := range name {
		if c < 0x21 || c > 0x7e {
			return "", nil, fmt.Errorf("Invalid name letter at position %d", i)
		}
	}
	key := new(Key)
	for i, c := range digits {
		v, ok := nibble(c)
		if !ok {
			return "", nil, fmt.Errorf("Invalid key letter at position %d", i+1)
		}
		key[i/2] = key[i/2]<<4 | v
	}
	return string(name), key, nil
}

// nibble returns the value of a hexadecimal digit.
func nibble(c byte) (v byte, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func tooLarge(file string, size int64) error {
	return fmt.Errorf("Key registry file too large: %d bytes in registry file %s, allowed are %d", size, file, MaxFile)
}
