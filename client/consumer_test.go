package client_test

import (
	"context"
	"slices"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
)

// consume starts a Consume and waits until it runs on all nodes.
func consume(t testing.TB, c *client.Client, channel string, options client.ConsumeOptions) client.Consumer {
	t.Helper()
	consumer, err := c.Consume(context.Background(), channel, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { consumer.Close() })
	if err := consumer.WaitStarted(patient(t), 0); err != nil {
		t.Fatal(err)
	}
	return consumer
}

// collect gets n records, and leaves the loop at the last one.
func collect(t testing.TB, consumer client.Consumer, n int) (values []string) {
	t.Helper()
	stop := context.AfterFunc(patient(t), func() { consumer.Close() })
	defer stop()
	for record, err := range consumer.Records() {
		if err != nil {
			t.Fatalf("after %d of %d records: %v", len(values), n, err)
		}
		if values = append(values, string(record.Value)); len(values) == n {
			return values
		}
	}
	t.Fatalf("the loop ends after %d of %d records", len(values), n)
	return nil
}

// rest gets records until the loop ends.
func rest(t testing.TB, consumer client.Consumer) (values []string) {
	t.Helper()
	stop := context.AfterFunc(patient(t), func() { consumer.Close() })
	defer stop()
	for record, err := range consumer.Records() {
		if err != nil {
			t.Fatalf("after %d records: %v", len(values), err)
		}
		values = append(values, string(record.Value))
	}
	return values
}

func TestConsume(t *testing.T) {
	c := connect(t, startNodes(t, 3)...)
	values := numbered(3000)
	pushAll(t, c, "jobs", values[:2000]...)
	consumer := consume(t, c, "jobs", client.ConsumeOptions{})
	got := collect(t, consumer, 2000)
	pushAll(t, c, "jobs", values[2000:]...)
	got = append(got, collect(t, consumer, 1000)...)
	consumer.Stop()
	got = append(got, rest(t, consumer)...)
	slices.Sort(got)
	wantValues(t, got, values)
}
