package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/recordfile"
)

// memoryQueue is a channel. Each Pop calls popping.
type memoryQueue struct {
	queue.Queue
	records []string
	popping func()
}

func (q *memoryQueue) Pop(context.Context, string) ([]byte, error) {
	q.popping()
	if len(q.records) == 0 {
		return nil, client.ErrEmpty
	}
	record := []byte(q.records[0])
	q.records = q.records[1:]
	return record, nil
}

func (q *memoryQueue) Push(_ context.Context, record []byte, _ ...string) error {
	q.records = append(q.records, string(record))
	return nil
}

// A record that was popped and can't be written goes back.
func TestDrainToAFullDisk(t *testing.T) {
	file, _, err := recordfile.Append(filepath.Join(t.TempDir(), "records"))
	if err != nil {
		t.Fatal(err)
	}
	q := &memoryQueue{records: []string{"a", "b", "c"}}
	pops := 0
	q.popping = func() {
		if pops++; pops == 2 {
			file.Close() // as good as full
		}
	}
	tool := &tool{settings: settings{timeout: time.Minute}, stderr: io.Discard}
	d := draining{tool: tool, dmq: q, channel: "jobs", end: ending{idle: time.Second}, file: file, bar: &progress{}}
	err = d.pop(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the last record went back") || d.safe != 1 || strings.Join(q.records, "") != "cb" {
		t.Errorf("ended with %v, %d in the file and %q in the queue; want a in the file and c, b in the queue", err, d.safe, q.records)
	}
}

// The record that is on its way when Ctrl-C comes is in the file.
func TestInterruptedDrainLosesNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "records")
	ctx, interrupt := context.WithCancel(t.Context())
	q := &memoryQueue{records: []string{"a", "b"}, popping: interrupt}
	var out bytes.Buffer
	tool := &tool{settings: settings{timeout: time.Minute, protocol: "neo", json: true}, stdout: &out, stderr: io.Discard}
	d := draining{tool: tool, dmq: q, channel: "jobs", end: ending{idle: time.Second}}
	err := d.run(ctx, name, false)
	if !errors.Is(err, context.Canceled) || !strings.HasPrefix(out.String(), `{"drained":1,`) {
		t.Errorf("ended with %v and %s, want interrupted and one record", err, out.String())
	}
	if records := recordsIn(t, name); len(records) != 1 || records[0] != "a" {
		t.Errorf("got %q in the file, want a", records)
	}
}
