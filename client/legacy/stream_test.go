package legacy_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
)

// The dialogue of V21, with the confirmation of §11.1 behind it.
const produceTwo = `
	1> 0a000000 0200000000000000 7031
	1< c8000000
	1> 0200000000000000 7231 0200000000000000 7232
	1> 0000000000000000 08000000
	1< 96010000
`

func TestProduceIsConfirmedByTheRequestBehindIt(t *testing.T) {
	client, _ := dial(t, produceTwo+`
		1> 02000000 0200000000000000 7031
		1< c8000000 0200000000000000 7231`)
	p, err := client.Produce(t.Context(), "p1")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write([]byte("r1")); err != nil {
		t.Error(err)
	}
	if err := p.Write(nil); !errors.Is(err, legacy.ErrEmptyValue) {
		t.Errorf("Write of an empty record, which would end the stream: got %v, want %v", err, legacy.ErrEmptyValue)
	}
	if err := p.Write(make([]byte, legacy.MaxValue+1)); !errors.Is(err, legacy.ErrValueTooBig) {
		t.Errorf("Write of 10 MiB + 1: got %v, want %v", err, legacy.ErrValueTooBig)
	}
	if err := p.Write([]byte("r2")); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := p.Write([]byte("r3")); err == nil {
		t.Error("Write after Close: got no error")
	}
	if got, err := client.Pop(t.Context(), "p1"); string(got) != "r1" {
		t.Errorf("Pop over the same connection: got %q, %v, want \"r1\"", got, err)
	}
}

func TestProduceFlushSendsTheBuffer(t *testing.T) {
	client, node := dial(t, `
		1> 0a000000 0200000000000000 7031
		1< c8000000
		1> 0200000000000000 7231`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p, err := client.Produce(ctx, "p1")
	if err != nil {
		t.Fatal(err)
	}
	p.Write([]byte("r1"))
	if err := p.Flush(); err != nil {
		t.Error(err)
	}
	<-node.Done // it has the record
	cancel()
	if err := p.Close(); !errors.Is(err, legacy.ErrUncertain) || !errors.Is(err, context.Canceled) {
		t.Errorf("Close after its context ended: got %v, want %v and %v", err, legacy.ErrUncertain, context.Canceled)
	}
}

func TestProduceRefused(t *testing.T) {
	client, _ := dial(t, `
		1> 0a000000 0200000000000000 7031
		1< 99010000`)
	if _, err := client.Produce(t.Context(), "p1"); !errors.Is(err, legacy.ErrBadChannelName) {
		t.Errorf("got %v, want %v", err, legacy.ErrBadChannelName)
	}
}

func TestProduceUnconfirmedIsUncertain(t *testing.T) {
	client, _ := dial(t, `
		1> 0a000000 0200000000000000 7031
		1< c8000000
		1> 0200000000000000 7231 0000000000000000 08000000
		1<EOF`)
	p, err := client.Produce(t.Context(), "p1")
	if err != nil {
		t.Fatal(err)
	}
	p.Write([]byte("r1"))
	closed := p.Close()
	if !errors.Is(closed, legacy.ErrUncertain) {
		t.Errorf("Close: got %v, want %v", closed, legacy.ErrUncertain)
	}
	if err := p.Close(); err != closed {
		t.Errorf("second Close: got %v, want the same error, %v", err, closed)
	}
	if err := p.Write([]byte("r2")); err != closed {
		t.Errorf("Write: got %v, want what ended the stream, %v", err, closed)
	}
}

// The dialogue of V35: while connection 1 consumes, requests go over another.
func TestConsumeUntilTheChannelIsRemoved(t *testing.T) {
	client, _ := dial(t, `
		1> 06000000 0200000000000000 6331
		1< c8000000 0100000000000000 61
		2> 01000000 0200000000000000 6331 0400000000000000 72656331
		2< c8000000
		1< 0400000000000000 72656331
		2> 0c000000 0200000000000000 6331
		2< c8000000
		1< 0000000000000000`)
	ctx := t.Context()
	onRecord := map[string]func() error{
		"a":    func() error { return client.Push(ctx, "c1", []byte("rec1")) },
		"rec1": func() error { return client.RemoveChannel(ctx, "c1") },
	}
	var got []string
	var end error
	for record, err := range client.Consume(ctx, "c1") {
		if err != nil {
			end = err
			break
		}
		got = append(got, string(record))
		if err := onRecord[string(record)](); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"a", "rec1"}; !slices.Equal(got, want) {
		t.Errorf("records: got %q, want %q", got, want)
	}
	if !errors.Is(end, legacy.ErrChannelRemoved) {
		t.Errorf("end: got %v, want %v", end, legacy.ErrChannelRemoved)
	}
	if n := client.Nodes()[0]; n.Idle != 2 || n.Busy != 0 || n.Consumed != 2 {
		t.Errorf("connections and records: got %+v, want two of either, all idle", n)
	}
}

func TestConsumeEndsWithItsContext(t *testing.T) {
	client, _ := dial(t, `
		1> 06000000 0200000000000000 6331
		1< c8000000 0100000000000000 61 0100000000000000 62
		1>CLOSE`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	var end error
	for record, err := range client.Consume(ctx, "c1") {
		if err != nil {
			end = err
			break
		}
		got = append(got, string(record))
		if len(got) == 2 {
			cancel()
		}
	}
	if want := []string{"a", "b"}; !slices.Equal(got, want) || !errors.Is(end, context.Canceled) {
		t.Errorf("got %q, %v, want %q, %v", got, end, want, context.Canceled)
	}
}

func TestConsumeNodeStops(t *testing.T) {
	client, _ := dial(t, `
		1> 06000000 0200000000000000 6331
		1< c8000000 0200000000000000 61
		1<EOF`)
	for record, err := range client.Consume(t.Context(), "c1") {
		if record != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("half a record: got %q, %v, want none, %v", record, err, io.ErrUnexpectedEOF)
		}
	}
}
