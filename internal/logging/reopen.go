package logging

import (
	"errors"
	"fmt"
	"syscall"
)

// ReopenError says which log file could not be reopened.
type ReopenError struct {
	Path string
	Err  error // ErrUnknownFile, or the failure
}

// ErrUnknownFile is the reason for a path that is not one of the log files.
var ErrUnknownFile = errors.New("not one of the log files")

func (e *ReopenError) Error() string {
	return fmt.Sprintf("could not reopen log file %q: %v", e.Path, e.Err)
}

// Unwrap gives the reason.
func (e *ReopenError) Unwrap() error { return e.Err }

// Reopen opens every log file again by its path, so that a renamed file is followed by a
// new one (SIGHUP, operations spec §5.1). A file that can't be opened goes on being
// written to where it was; all such failures, each a *ReopenError, are returned joined.
func (l *Logs) Reopen() error {
	l.Flush() // lines from before belong to the old files
	l.mu.Lock()
	defer l.mu.Unlock()
	var failures []error
	for _, f := range l.files {
		if err := f.reopen(); err != nil {
			failures = append(failures, &ReopenError{f.path, err})
		}
	}
	return errors.Join(failures...)
}

// ReopenFiles opens the named log files again (`reopen_files`, operations spec §6.2). A
// path is the configured text, or the working directory, a slash, and that text. It stops
// at the first path that is unknown or can't be opened; the error is a *ReopenError.
func (l *Logs) ReopenFiles(paths []string) error {
	l.Flush()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, path := range paths {
		f := l.find(path)
		if f == nil {
			return &ReopenError{path, ErrUnknownFile}
		}
		if err := f.reopen(); err != nil {
			return &ReopenError{path, err}
		}
	}
	return nil
}

// find needs l.mu.
func (l *Logs) find(path string) *appendFile {
	for _, f := range l.files {
		if f.path == path {
			return f
		}
	}
	// Not os.Getwd: $PWD may name the directory by another path than the kernel, and the
	// original goes by the kernel's.
	directory, err := syscall.Getwd()
	if err != nil {
		return nil
	}
	for _, f := range l.files {
		if directory+"/"+f.path == path {
			return f
		}
	}
	return nil
}
