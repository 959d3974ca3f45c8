package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
)

// ErrUnreached means that there is no connection to any node.
var ErrUnreached = errors.New("no node is connected")

// settle waits until each node is connected or has failed to, so that a channel is called
// empty only by all that can be asked. It fails if none is connected.
func settle(ctx context.Context, options Options, states func() []dmq.NodeState) error {
	ctx, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		connected, pending := 0, 0
		var failed []error
		for _, node := range states() {
			switch {
			case node.State == dmq.Connected:
				connected++
				continue
			case node.Err == nil:
				pending++
				node.Err = errNoAnswer
			}
			failed = append(failed, fmt.Errorf("%s: %w", node.Address, node.Err))
		}
		over := ctx.Err()
		switch {
		case errors.Is(over, context.Canceled):
			return over
		case pending > 0 && over == nil:
		case connected == 0:
			return fmt.Errorf("%w: %w", ErrUnreached, errors.Join(failed...))
		default:
			for _, err := range failed {
				options.Logger.Warn("not connected to " + err.Error())
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

var errNoAnswer = fmt.Errorf("no answer: %w", context.DeadlineExceeded)
