package main

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// interruptedQueue has records, and Ctrl-C comes while one of them is on its way.
type interruptedQueue struct {
	queue.Queue
	interrupt context.CancelFunc
}

func (q interruptedQueue) Pop(ctx context.Context, _ string) ([]byte, error) {
	q.interrupt()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return []byte("a record"), nil
}

func (q interruptedQueue) pop(ctx context.Context) ([]byte, error) { return q.Pop(ctx, "jobs") }

// What a node has given away is printed.
func TestInterruptedPopLosesNothing(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var out bytes.Buffer
	tool := &tool{settings: settings{timeout: time.Minute}, stdout: &out, stderr: io.Discard}
	err := tool.pop(ctx, interruptedQueue{interrupt: interrupt}.pop, 0, tool.newPrinter(recordFormat{}))
	if exitStatus(err) != exitInterrupted || out.String() != "a record\n" {
		t.Errorf("printed %q, ended with %v; want the record, and interrupted", out.String(), err)
	}
}
