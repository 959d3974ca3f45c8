package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/sociomantic-tsunami/dmqnode/client/legacy"
)

// Exit statuses, described in the help.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNoRecord    = 3
	exitInterrupted = 130
)

var errTooFew = errors.New("no more records")

// usageError is a command line that can't be meant.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%v\nType '%s --help' for help.", e.err, e.command)
}

func exitStatus(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage), errors.Is(err, errUnchecked):
		return exitUsage
	case errors.Is(err, errTooFew), errors.Is(err, legacy.ErrEmpty):
		return exitNoRecord
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitError
}

// hints tell what to do about an error; the first that applies is used.
var hints = []struct {
	err  error
	hint string
}{
	{legacy.ErrUncertain, "the node may have done it or not; look before doing it again"},
	{legacy.ErrNoSuchChannelOrSubscribed, "nothing was pushed to it yet, or it has consumers: then use 'dmq consume'"},
	{legacy.ErrOutOfMemory, "see the log of the node, and try again later"},
	{syscall.ECONNREFUSED, "nothing listens there; start the node, or name another with --address or " + addressEnv},
	{context.DeadlineExceeded, "no answer in time; is this the legacy port of a node? --timeout allows more time"},
	{io.ErrUnexpectedEOF, "the node stopped, has too many connections, or this is not its legacy port; see its log"},
}

// describe adds what to do to an error.
func describe(err error) string {
	if errors.Is(err, context.Canceled) && !errors.Is(err, legacy.ErrUncertain) {
		return "interrupted"
	}
	for _, h := range hints {
		if errors.Is(err, h.err) {
			return fmt.Sprintf("%v\n     %s", err, h.hint)
		}
	}
	return err.Error()
}
