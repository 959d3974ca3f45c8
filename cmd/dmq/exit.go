package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
	errTooFew      = errors.New("no more records")
	errUnreached   = errors.New("no node could be reached")
	errSomeMissing = errors.New("not all nodes could be reached")
)

// unreached returns the error of something that was asked of so many nodes, of which some
// failed; cause is why one of them did.
func unreached(failed, nodes int, cause error) error {
	switch failed {
	case 0:
		return nil
	case nodes:
		return fmt.Errorf("%w: %w", errUnreached, cause)
	}
	return fmt.Errorf("%w: %d of %d failed, %w", errSomeMissing, failed, nodes, cause)
}

// usageError is a command line, or settings, that can't be meant.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string {
	return strings.ReplaceAll(strings.TrimSpace(e.err.Error()), "\n\n", "\n")
}

func (e *usageError) Unwrap() error { return e.err }

// statuses are the exit statuses of errors; the first that applies is used.
var statuses = []struct {
	err    error
	status int
}{
	{errSomeMissing, exitError},
	{errUnchecked, exitUsage},
	{errNoDataDir, exitUsage},
	{client.ErrBadName, exitUsage},
	{client.ErrMalformed, exitUsage},
	{legacy.ErrBadChannelName, exitUsage},
	{queue.ErrNeedsNeo, exitUsage},
	{client.ErrUncertain, exitUncertain},
	{legacy.ErrUncertain, exitUncertain},
	{errNoEnd, exitUncertain},
	{errTooFew, exitNoRecord},
	{errNoRecords, exitNoRecord},
	{client.ErrEmpty, exitNoRecord},
	{legacy.ErrEmpty, exitNoRecord},
	{legacy.ErrNoSuchChannelOrSubscribed, exitNoRecord}, // so an empty channel is after a restart
}

// unreachables are what an error with exitUnreached says of every node.
var unreachables = []error{client.ErrNotConnected, legacy.ErrNotConnected, queue.ErrUnreached, client.ErrRejected, errUnreached}

// nobodyReached tells whether an error says of every node that it could not be reached. An
// error is of one node, or has those of several.
func nobodyReached(err error) bool {
	if slices.Contains(unreachables, err) {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return nobodyReached(e.Unwrap())
	case interface{ Unwrap() []error }:
		causes := e.Unwrap()
		isSentinel := func(cause error) bool { return slices.Contains(unreachables, cause) }
		return slices.ContainsFunc(causes, isSentinel) || // and what follows tells why
			!slices.ContainsFunc(causes, func(cause error) bool { return !nobodyReached(cause) })
	}
	return false
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
	switch {
	case nobodyReached(err):
		return exitUnreached
	case errors.Is(err, context.Canceled):
		return exitInterrupted
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

// hintedError is an error with a hint of its own.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// hints tell what to do about an error; the first that applies is used.
var hints = []struct {
	err  error
	hint string
}{
	{legacy.ErrUncertain, "a node may have done it or not; look before doing it again"},
	{errNoEnd, "a node may have stored what is not confirmed; look before doing it again"},
	{client.ErrUncertain, "a node may have done it or not; look before doing it again"},
	{client.ErrHasSubscribers, "it has or had consumers: use 'dmq consume'"},
	{legacy.ErrNoSuchChannelOrSubscribed, "it has no records, or it has consumers, then use 'dmq consume'; over neo a node tells which"},
	{legacy.ErrOutOfMemory, "see the log of the node, and try again later"},
	{client.ErrNodeError, "see the log of the node"},
	{client.ErrDenied, "[Admin] clients in etc/config.ini of the node says who may, from its next start on; 'dmq control' on its machine always may"},
	{client.ErrNotFound, "'dmq list' shows which queues there are; that of a subscriber is SUBSCRIBER@CHANNEL"},
	{client.ErrUnsupported, "the D node, and older nodes, can't do this"},
	{client.ErrRejected, "is the client's name:key in etc/credentials of the node, and were these reloaded? do the clocks agree?"},
	{syscall.ECONNREFUSED, "nothing listens there; start the node, or name others with --address or DMQ_ADDRESS"},
	{context.DeadlineExceeded, "no answer in time; is the protocol that of the port? --timeout allows more time"},
	{io.ErrUnexpectedEOF, "the node stopped, has too many connections, or this is not the port of that protocol; see its log"},
}

// explain returns the text of an error, and what to do about it, if there is something to
// say.
func explain(err error) (text, hint string) {
	if exitStatus(err) == exitInterrupted {
		return "interrupted", ""
	}
	if e, ok := errors.AsType[*usageError](err); ok {
		return err.Error(), fmt.Sprintf("Type '%s --help' for help.", e.command)
	}
	if e, ok := errors.AsType[*hintedError](err); ok {
		return err.Error(), e.hint
	}
	for _, h := range hints {
		if errors.Is(err, h.err) {
			return err.Error(), h.hint
		}
	}
	return err.Error(), ""
}

// Errors of check; the report tells more.
var (
	errFaults    = errors.New("there are faults")
	errUnchecked = errors.New("not everything could be checked")
)
