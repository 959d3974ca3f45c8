package client_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// jobs gets n records of a Work, whose loop settles nothing.
func jobs(t testing.TB, consumer client.Consumer, n int) (all []client.Record) {
	t.Helper()
	stop := context.AfterFunc(patient(t), func() { consumer.Close() })
	defer stop()
	for record, err := range consumer.Records() {
		if err != nil {
			t.Fatalf("after %d of %d records: %v", len(all), n, err)
		}
		if all = append(all, record); len(all) == n {
			return all
		}
	}
	t.Fatalf("the loop ends after %d of %d records", len(all), n)
	return nil
}

func told(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// Records are settled one by one and in any order; what is returned comes again.
func TestJobs(t *testing.T) {
	c := connect(t, nodetest.Start(t))
	pushAll(t, c, "jobs", "0", "1", "2", "3")
	consumer := consume(t, c, "jobs", client.ConsumeOptions{MaxBatch: 1, Unsettled: 2, Explicit: true})
	got := jobs(t, consumer, 2)
	told(t, got[1].Done())
	third := jobs(t, consumer, 1)[0]
	told(t, got[0].Return(0))
	told(t, got[0].Done()) // too late
	again := jobs(t, consumer, 1)[0]
	if string(again.Value) != "0" || again.Tries != 1 || string(third.Value) != "2" || third.Tries != 0 {
		t.Errorf("got %q, tried %d times, and %q, tried %d times; want 0, 1 and 2, 0", again.Value, again.Tries, third.Value, third.Tries)
	}
	told(t, third.Release())
	released := jobs(t, consumer, 1)[0]
	if string(released.Value) != "2" || released.Tries != 0 {
		t.Errorf("got %q, tried %d times, want 2, which is as if it had not been delivered", released.Value, released.Tries)
	}
	consumer.Stop()
	told(t, again.Done())
	told(t, released.Done())
	wantValues(t, rest(t, consumer), nil)
	wantValues(t, drain(t, c, "jobs"), []string{"3"})
}

// drain gets what a channel has left.
func drain(t testing.TB, c *client.Client, channel string) (values []string) {
	t.Helper()
	pushAll(t, c, channel, "the end")
	consumer := consume(t, c, channel, client.ConsumeOptions{MaxBatch: 1})
	for record, err := range consumer.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if string(record.Value) == "the end" {
			consumer.Stop()
			continue
		}
		values = append(values, string(record.Value))
	}
	return values
}

// A loop that asks for the next record is done with the one before, as always.
func TestSmallBatchesOfALoop(t *testing.T) {
	c := connect(t, startNodes(t, 2)...)
	values := numbered(500)
	pushAll(t, c, "jobs", values...)
	consumer := consume(t, c, "jobs", client.ConsumeOptions{MaxBatch: 3, Unsettled: 4})
	got := collect(t, consumer, 500)
	consumer.Stop()
	got = append(got, rest(t, consumer)...)
	slices.Sort(got)
	wantValues(t, got, values)
	wantValues(t, drain(t, c, "jobs"), nil)
}

// Several workers share a consumer, and each settles what it has got.
func TestWorkerPool(t *testing.T) {
	c := connect(t, nodetest.Start(t))
	values := numbered(400)
	pushAll(t, c, "jobs", values...)
	consumer := consume(t, c, "jobs", client.ConsumeOptions{MaxBatch: 1, Unsettled: 8, Explicit: true})
	work := make(chan client.Record)
	var mu sync.Mutex
	var got []string
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for record := range work {
				if record.Tries == 0 && record.Value[len(record.Value)-1] == '7' {
					told(t, record.Return(time.Millisecond))
					continue
				}
				told(t, record.Done())
				mu.Lock()
				got = append(got, string(record.Value))
				if len(got) == len(values) {
					consumer.Stop()
				}
				mu.Unlock()
			}
		})
	}
	stop := context.AfterFunc(patient(t), func() { consumer.Close() })
	defer stop()
	for record, err := range consumer.Records() {
		if err != nil {
			t.Fatal(err)
		}
		work <- record
	}
	close(work)
	workers.Wait()
	slices.Sort(got)
	wantValues(t, got, values)
}

// What is not settled when a consumer is closed comes again, and was tried once.
func TestClosedWithJobs(t *testing.T) {
	c := connect(t, nodetest.Start(t, nodetest.Set("Consume.max_deliveries", "2")))
	pushAll(t, c, "jobs", "0", "1")
	for tries := range 2 {
		consumer := consume(t, c, "jobs", client.ConsumeOptions{MaxBatch: 1, Explicit: true})
		record := jobs(t, consumer, 1)[0]
		if string(record.Value) != "0" || record.Tries != tries {
			t.Fatalf("got %q, tried %d times, want 0, %d", record.Value, record.Tries, tries)
		}
		consumer.Close()
		wantError(t, record.Done(), client.ErrDisconnected)
	}
	value, err := c.PopWait(patient(t), "jobs-failed", client.PopOptions{})
	if string(value) != "0" || err != nil {
		t.Errorf("the failed channel: got %q, %v, want 0", value, err)
	}
	wantValues(t, drain(t, c, "jobs"), []string{"1"})
}

// The channel may go while records are in hand.
func TestJobsOfARemovedChannel(t *testing.T) {
	node := nodetest.Start(t)
	c := connect(t, node)
	pushAll(t, c, "jobs", "0")
	consumer := consume(t, c, "jobs", client.ConsumeOptions{Explicit: true})
	record := jobs(t, consumer, 1)[0]
	remover, err := legacy.New(legacy.Options{Nodes: []string{node.Legacy()}})
	if err != nil {
		t.Fatal(err)
	}
	defer remover.Close()
	told(t, remover.RemoveChannel(patient(t), "jobs"))
	for _, err := range consumer.Records() {
		wantError(t, err, client.ErrChannelRemoved)
	}
	wantError(t, record.Done(), client.ErrDisconnected)
}

// A D node does not know the request, and says so.
func TestJobsOfADNode(t *testing.T) {
	stub := answerer(t, "ff")
	c := newClient(t, client.Options{Nodes: []string{stub.address}})
	waitConnected(t, c, 1)
	consumer, err := c.Consume(patient(t), "jobs", client.ConsumeOptions{MaxBatch: 1})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, err := range consumer.Records() {
		wantError(t, err, client.ErrUnsupported)
		failed++
	}
	if failed != 1 {
		t.Errorf("%d errors, want one", failed)
	}
	_, err = c.PopWait(patient(t), "jobs", client.PopOptions{Subscriber: "s"})
	wantError(t, err, client.ErrUnsupported)
}

func TestPopWait(t *testing.T) {
	c := connect(t, startNodes(t, 2)...)
	pushAll(t, c, "jobs", "0", "1", "2")
	var got []string
	for range 3 {
		value, err := c.PopWait(patient(t), "jobs", client.PopOptions{})
		told(t, err)
		got = append(got, string(value))
	}
	slices.Sort(got)
	wantValues(t, got, []string{"0", "1", "2"})

	_, err := c.PopWait(patient(t), "jobs", client.PopOptions{Wait: time.Millisecond})
	wantError(t, err, client.ErrEmpty)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = c.PopWait(ctx, "jobs", client.PopOptions{})
	wantError(t, err, context.Canceled)

	popped := make(chan string)
	for range 3 {
		go func() {
			value, err := c.PopWait(patient(t), "jobs", client.PopOptions{})
			popped <- fmt.Sprint(string(value), err)
		}()
	}
	pushAll(t, c, "jobs", "3", "4", "5")
	got = []string{<-popped, <-popped, <-popped}
	slices.Sort(got)
	wantValues(t, got, []string{"3<nil>", "4<nil>", "5<nil>"})

	value, err := c.PopWait(patient(t), "others", client.PopOptions{Subscriber: "s", Wait: time.Millisecond})
	if value != nil || !errorIs(err, client.ErrEmpty) {
		t.Errorf("got %q, %v, want nothing", value, err)
	}
	_, err = c.PopWait(patient(t), "a b", client.PopOptions{})
	wantError(t, err, client.ErrBadName)
}
