package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
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

// printsToPipe tells whether what is printed is read by another program.
func printsToPipe(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isPipe(file)
}

// awaitReader waits until what was written to a pipe is read: what the reader leaves in it when it
// goes was not printed.
func awaitReader(ctx context.Context, w io.Writer) error {
	file, ok := w.(*os.File)
	if !ok || !isPipe(file) {
		return nil
	}
	for looks := 0; ; looks++ {
		left, err := unread(file)
		switch {
		case err != nil:
			return fmt.Errorf("standard output: %w", err)
		case left == 0:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case looks < quickLooks:
			runtime.Gosched()
		default:
			time.Sleep(lookPeriod)
		}
	}
}

const (
	quickLooks = 50 // that cost less than to sleep
	lookPeriod = 100 * time.Microsecond
)
