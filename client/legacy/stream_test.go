package legacy_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
)

// As the dialogue of V21, with the confirmation of legacy protocol spec §11.1 behind it.
const produceOne = `
	1> 0a000000 0200000000000000 7031
	1< c8000000
	1> 0200000000000000 7231
	1> 0000000000000000 08000000
	1< 96010000
`

func TestProduceIsConfirmedByTheRequestBehindIt(t *testing.T) {
	client, _ := dial(t, produceOne+`
		1> 02000000 0200000000000000 7031
		1< c8000000 0200000000000000 7231`)
	ctx := t.Context()
	p := client.Producer(legacy.ProducerOptions{})
	if err := p.Push(ctx, []byte("r1"), "p1"); err != nil {
		t.Error(err)
	}
	if err := p.Push(ctx, nil, "p1"); !errors.Is(err, legacy.ErrEmptyRecord) {
		t.Errorf("Push of an empty record, which would end the stream: got %v, want %v", err, legacy.ErrEmptyRecord)
	}
	if err := p.Push(ctx, make([]byte, legacy.MaxValue+1), "p1"); !errors.Is(err, legacy.ErrTooLarge) {
		t.Errorf("Push of 10 MiB + 1: got %v, want %v", err, legacy.ErrTooLarge)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := p.Close(ctx); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := p.Push(ctx, []byte("r3"), "p1"); !errors.Is(err, legacy.ErrClosed) {
		t.Errorf("Push after Close: got %v, want %v", err, legacy.ErrClosed)
	}
	if got, err := client.Pop(ctx, "p1"); string(got) != "r1" {
		t.Errorf("Pop over the same connection: got %q, %v, want \"r1\"", got, err)
	}
}

// What is pushed is sent at once, without a Flush, and confirmed soon.
func TestProduceSendsWithoutFlush(t *testing.T) {
	client, node := dial(t, `
		1> 0a000000 0200000000000000 7031
		1< c8000000
		1> 0200000000000000 7231
		1> 0000000000000000 08000000
		1< 96010000`)
	p := client.Producer(legacy.ProducerOptions{})
	if err := p.Push(t.Context(), []byte("r1"), "p1"); err != nil {
		t.Error(err)
	}
	<-node.Done
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestProduceRefused(t *testing.T) {
	client, _ := dial(t, `
		1> 0a000000 0200000000000000 7031
		1< 99010000`)
	p := client.Producer(legacy.ProducerOptions{})
	p.Push(t.Context(), []byte("r1"), "p1")
	if err := p.Close(t.Context()); !errors.Is(err, legacy.ErrBadChannelName) || !errors.Is(err, legacy.ErrBadName) {
		t.Errorf("got %v, want %v", err, legacy.ErrBadChannelName)
	}
}

func TestProduceUnconfirmedIsUncertain(t *testing.T) {
	client, _ := dial(t, `
		1> 0a000000 0200000000000000 7031
		1< c8000000
		1> 0200000000000000 7231 0000000000000000 08000000
		1<EOF`)
	var told error
	p := client.Producer(legacy.ProducerOptions{OnError: func(value []byte, channels []string, err error) {
		if string(value) == "r1" && slices.Equal(channels, []string{"p1"}) {
			told = err
		}
	}})
	p.Push(t.Context(), []byte("r1"), "p1")
	closed := p.Close(t.Context())
	if !errors.Is(closed, legacy.ErrUncertain) || !errors.Is(told, legacy.ErrUncertain) {
		t.Errorf("Close: got %v, OnError: %v, want %v", closed, told, legacy.ErrUncertain)
	}
	if s := p.State(); s.Failed != 1 || s.Stored != 0 || s.Pending != 0 {
		t.Errorf("got %+v, want one record failed", s)
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
		"a":    func() error { return client.Push(ctx, []byte("rec1"), "c1") },
		"rec1": func() error { return client.RemoveChannel(ctx, "c1") },
	}
	var got []string
	var end error
	c, err := client.Consume(ctx, "c1", legacy.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for record, err := range c.Records() {
		if err != nil {
			end = err
			break
		}
		got = append(got, string(record.Value))
		if err := onRecord[string(record.Value)](); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"a", "rec1"}; !slices.Equal(got, want) {
		t.Errorf("records: got %q, want %q", got, want)
	}
	if !errors.Is(end, legacy.ErrChannelRemoved) {
		t.Errorf("end: got %v, want %v", end, legacy.ErrChannelRemoved)
	}
	if n := client.Nodes()[0]; n.Idle != 2 || n.InFlight != 0 || n.Consumed != 2 {
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
	c, err := client.Consume(ctx, "c1", legacy.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for record, err := range c.Records() {
		if err != nil {
			end = err
			break
		}
		got = append(got, string(record.Value))
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
	c, err := client.Consume(t.Context(), "c1", legacy.ConsumeOptions{Once: true})
	if err != nil {
		t.Fatal(err)
	}
	for record, err := range c.Records() {
		if record.Value != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("half a record: got %q, %v, want none, %v", record.Value, err, io.ErrUnexpectedEOF)
		}
	}
}
