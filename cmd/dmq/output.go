package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Records are only taken when they can be printed: a Pop, and all of legacy, has no way of
// giving them back.

var errClosedOutput = errors.New("it is closed, or it is /dev/null opened for reading, too, which looks the same; use > /dev/null to discard records")

// surviveBrokenPipe makes writing to a pipe that nobody reads an error, which can be told
// apart from success, instead of the end of the process.
func surviveBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }

// checkOutput finds out whether records can be printed, as far as that shows before.
func checkOutput(w io.Writer) error {
	file, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if err := checkDescriptor(file); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}
