package logging

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// File is a further log file, such as log/stats.log: the only output of a logger named
// like its path. It is reopened and closed with the others.
type File struct {
	logs   *Logs
	name   string
	output output
}

// OpenFile opens a log file for appending (created 0666 &^ umask, directories are not
// created) and adds it to those that are reopened.
func (l *Logs) OpenFile(path string, layout config.Layout) (*File, error) {
	to, err := l.open(path)
	if err != nil {
		return nil, err
	}
	return &File{logs: l, name: path, output: output{to, layoutOf(layout)}}, nil
}

// WriteLine appends one line with one write. It is an Info message: counted as such
// (operations spec §8.4) and written whatever level is configured.
func (f *File) WriteLine(t time.Time, message string) {
	f.logs.say([]output{f.output}, zapcore.InfoLevel, f.name, t, message)
}

// open opens a path once; loggers that name the same path share the file.
func (l *Logs) open(path string) (*destination, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Load() {
		return nil, fmt.Errorf("open %s: %w", path, os.ErrClosed)
	}
	for _, f := range l.files {
		if f.path == path {
			return f.destination, nil
		}
	}
	file, err := openAppending(path)
	if err != nil {
		return nil, err
	}
	f := &appendFile{path: path, file: file}
	f.destination = &destination{name: path, writer: f}
	l.files = append(l.files, f)
	return f.destination, nil
}

func openAppending(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (the directory of a log file must exist)", err)
	}
	return file, err
}

// appendFile is one open log file.
type appendFile struct {
	path        string
	destination *destination

	mu   sync.Mutex
	file io.WriteCloser // nil = closed for good
	torn bool           // an error cut the last line: the next one must not be glued to it
}

func (f *appendFile) writeLine(_ zapcore.Level, line []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return os.ErrClosed
	}
	if f.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := f.file.Write(line)
	f.torn = err != nil && (f.torn || n > 0)
	return err
}

// reopen exchanges the descriptor only when the new one is there. An error of the old one's
// close is returned although the exchange is done: lines may be missing at its end.
func (f *appendFile) reopen() error {
	file, err := openAppending(f.path)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return file.Close()
	}
	old := f.file
	f.file = file
	return old.Close()
}

func (f *appendFile) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
