package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// 4 says that nothing was done, so it is not for what was done in part.
func TestExitStatus(t *testing.T) {
	for _, tc := range []struct {
		err            error
		status, partly int
	}{
		{errors.New("any"), 1, 1},
		{queue.ErrUnreached, 4, 5},
		{client.ErrNotConnected, 4, 5},
		{&legacy.Error{Err: legacy.ErrNotConnected}, 4, 5},
		{client.ErrRejected, 4, 5},
		{legacy.ErrUncertain, 5, 5},
		{fmt.Errorf("%w: %w", context.Canceled, client.ErrUncertain), 5, 5},
		{context.Canceled, 130, 130},
		{legacy.ErrEmpty, 3, 3},
		{client.ErrBadName, 2, 2},
		{errors.Join(fmt.Errorf("a: %w: %w", legacy.ErrNotConnected, syscall.ECONNREFUSED), legacy.ErrNotConnected), 4, 5},
		{errors.Join(fmt.Errorf("a: %w: %w", legacy.ErrNotConnected, syscall.ECONNREFUSED), legacy.ErrOutOfMemory), 1, 1},
		{unreached(3, 3, client.ErrRejected), 4, 5},
		{unreached(1, 3, client.ErrRejected), 1, 1},
	} {
		if got := exitStatus(tc.err); got != tc.status {
			t.Errorf("%v: got %d, want %d", tc.err, got, tc.status)
		}
		if got := exitStatus(fmt.Errorf("file: %w", &partlyError{tc.err})); got != tc.partly {
			t.Errorf("%v, in part: got %d, want %d", tc.err, got, tc.partly)
		}
	}
}
