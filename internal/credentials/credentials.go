// Package credentials holds the names and keys of the clients that may use the neo
// protocol, read from a file of lines such as
//
//	NAME:KEY
//
// NAME is 1 to 100 bytes of graphic ASCII without colon, KEY 256 hexadecimal digits. White
// space around either is ignored; empty lines are skipped; there are no comments; of
// several lines for a name the last one counts. The rules are those of the neo protocol
// specification neo protocol spec §4.1, the texts of errors those of the operations spec §3.
//
// A [Table] is one state of the file and never changes. The [Store] holds the table in
// force and swaps it for a new one as a whole when the file is reloaded: who authenticates
// meanwhile sees either, and a faulty file changes nothing.
package credentials

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

// File is where a node has its credentials, relative to its working directory.
const File = "etc/credentials"

// Store is the table in force. Any number of goroutines may use it at once; no method but
// Reload blocks.
type Store struct {
	file  string
	table atomic.Pointer[Table]

	reloading sync.Mutex // held from reading the file to the swap, so that an older file never wins
}

// Load reads a credentials file for the first time. The errors are those of [Parse] and
// of reading the file.
func Load(file string) (*Store, error) {
	s := &Store{file: file}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the file again. If that fails, the table in force stays. It affects only
// clients that authenticate from now on.
func (s *Store) Reload() error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	content, err := read(s.file)
	if err != nil {
		return err
	}
	table, err := Parse(s.file, content)
	if err != nil {
		return err
	}
	s.table.Store(table)
	return nil
}

// Key returns the key of the client of that name from the table in force. It does not keep
// name. The key must not be changed.
func (s *Store) Key(name []byte) (key *Key, ok bool) { return s.table.Load().Key(name) }

// Names returns the names of all clients in alphabetical order.
func (s *Store) Names() []string { return s.table.Load().Names() }

// read returns the content of a file of at most [MaxFile] bytes. It never reads more than
// that, whatever the file turns out to be.
func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, unreadable(file, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, unreadable(file, err)
	}
	if info.Size() > MaxFile {
		return nil, tooLarge(file, info.Size())
	}
	content, err := io.ReadAll(io.LimitReader(f, MaxFile+1)) // one more shows that it grew
	if err != nil {
		return nil, unreadable(file, err)
	}
	return content, nil
}

// unreadable words a system error like the original node does, which scripts may match:
// "open: No such file or directory on etc/credentials".
func unreadable(file string, err error) error {
	var path *fs.PathError
	if !errors.As(err, &path) {
		return fmt.Errorf("reading: %w on %s", err, file)
	}
	return fmt.Errorf("%s: %w on %s", path.Op, capitalized{path.Err}, file)
}

// capitalized is an error whose text begins with a capital letter, as the C library's do. The
// texts of system errors are ASCII and not empty.
type capitalized struct{ error }

func (c capitalized) Error() string {
	text := c.error.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

func (c capitalized) Unwrap() error { return c.error }
