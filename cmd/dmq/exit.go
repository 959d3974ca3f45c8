package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// Exit statuses, described in the help.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNoRecord    = 3
	exitUnreached   = 4
	exitUncertain   = 5
	exitInterrupted = 130
)

var (
	errTooFew    = errors.New("no more records")
	errUnreached = errors.New("not all nodes could be reached")
)

// usageError is a command line, or settings, that can't be meant.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%v\nType '%s --help' for help.", e.err, e.command)
}

func (e *usageError) Unwrap() error { return e.err }

// statuses are the exit statuses of errors; the first that applies is used.
var statuses = []struct {
	err    error
	status int
}{
	{errUnchecked, exitUsage},
	{client.ErrBadName, exitUsage},
	{legacy.ErrBadChannelName, exitUsage},
	{queue.ErrNeedsNeo, exitUsage},
	{client.ErrUncertain, exitUncertain},
	{legacy.ErrUncertain, exitUncertain},
	{errTooFew, exitNoRecord},
	{client.ErrEmpty, exitNoRecord},
	{legacy.ErrEmpty, exitNoRecord},
	{client.ErrNotConnected, exitUnreached},
	{legacy.ErrNotConnected, exitUnreached},
	{queue.ErrUnreached, exitUnreached},
	{client.ErrRejected, exitUnreached},
	{errUnreached, exitUnreached},
	{context.Canceled, exitInterrupted},
}

// partlyError is the failure of something that has been done in part, or perhaps: to do it
// again as it is would do that twice.
type partlyError struct{ error }

func (e *partlyError) Unwrap() error { return e.error }

func exitStatus(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*partlyError](err); ok {
		if status := exitStatus(e.error); status != exitUnreached {
			return status
		}
		return exitUncertain
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.status
		}
	}
	return exitError
}

// unlessInterrupted returns err, but not an interrupt if that is how it is meant to end.
func unlessInterrupted(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// hints tell what to do about an error; the first that applies is used.
var hints = []struct {
	err  error
	hint string
}{
	{legacy.ErrUncertain, "a node may have done it or not; look before doing it again"},
	{client.ErrUncertain, "a node may have done it or not; look before doing it again"},
	{client.ErrHasSubscribers, "it has or had consumers: use 'dmq consume'"},
	{legacy.ErrNoSuchChannelOrSubscribed, "nothing was pushed to it yet, or it has consumers: then use 'dmq consume'"},
	{legacy.ErrOutOfMemory, "see the log of the node, and try again later"},
	{client.ErrNodeError, "see the log of the node"},
	{client.ErrRejected, "is the client's name:key in etc/credentials of the node, and were these reloaded? do the clocks agree?"},
	{syscall.ECONNREFUSED, "nothing listens there; start the node, or name others with --address or DMQ_ADDRESS"},
	{context.DeadlineExceeded, "no answer in time; is the protocol that of the port? --timeout allows more time"},
	{io.ErrUnexpectedEOF, "the node stopped, has too many connections, or this is not the port of that protocol; see its log"},
}

// describe adds what to do to an error.
func describe(err error) string {
	if exitStatus(err) == exitInterrupted {
		return "interrupted"
	}
	for _, h := range hints {
		if errors.Is(err, h.err) {
			return fmt.Sprintf("%s\n     %s", indented(err), h.hint)
		}
	}
	return indented(err)
}

// indented returns the text of an error, further lines below the first.
func indented(err error) string {
	if _, ok := errors.AsType[*usageError](err); ok {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), "\n", "\n     ")
}

// Errors of check; the report tells more.
var (
	errFaults    = errors.New("there are faults")
	errUnchecked = errors.New("not everything could be checked")
)
