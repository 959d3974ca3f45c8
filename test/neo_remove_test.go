package test

import (
	"fmt"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A legacy RemoveChannel ends every neo consumer of the channel, idle or not, of whichever
// subscriber and connection. The connections stay usable, and a new channel begins without
// subscribers (neo protocol spec §12, §18, point 10).
func TestNeoChannelRemoved(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	remover, producer := dial(t, node), connect(t, node)
	conns := []*neo{connect(t, node), connect(t, node), connect(t, node)}
	other := conns[0].consume("other", "")
	for range 3 {
		var all []*neoConsumer
		for i := range 12 {
			all = append(all, conns[i%3].consume("removed", []string{"", "one", "two", "three"}[i%4]))
		}
		producer.push("value", "removed") // one consumer of each subscriber has it in flight
		for i := range 3 {
			conns[i].alive()
		}
		producer.push("waits", "removed")
		remover.remove("removed")
		batches := 0
		for _, k := range all {
			message, records, err := k.Next()
			k.c.must(err)
			if message == neoclient.Records {
				batches += len(records)
				message, _, err = k.Next()
				k.c.must(err)
			}
			if message != neoclient.ChannelRemoved {
				t.Errorf("got message %02x, want ChannelRemoved", message)
			}
		}
		if batches < 4 || batches > 8 {
			t.Errorf("got %d records, want the first of each of the 4 subscribers, at most the second too", batches)
		}
		producer.wantPopStatus("removed", popEmpty)
		producer.push("new", "removed")
		for _, c := range conns {
			c.wantNothing() // is behind ChannelRemoved
		}
		conns[1].consume("removed", "new").wantBatch("new")
		remover.remove("removed")
		remover.remove("removed") // there is no such channel
		_, err := conns[1].Read()
		producer.must(err)
	}
	producer.push("value", "other")
	other.wantRecords("value")
}

// Feedback that crosses ChannelRemoved comes too late: Continue is discarded and Stop gets
// its answer. The connection and its other requests go on (neo protocol spec §11.5, race 3; neo protocol spec §15).
func TestNeoFeedbackCrossesChannelRemoved(t *testing.T) {
	for _, test := range []struct {
		name     string
		inFlight bool
		feedback []byte
	}{
		{"idle, Stop", false, []byte{neoclient.Stop}},
		{"batch, Continue", true, []byte{neoclient.Continue}},
		{"batch, Stop", true, []byte{neoclient.Stop}},
		{"batch, Continue, Stop", true, []byte{neoclient.Continue, neoclient.Stop}},
		{"batch, Stop, Continue", true, []byte{neoclient.Stop, neoclient.Continue}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			c, remover := connect(t, node), dial(t, node)
			other := c.consume("other", "")
			k := c.consume("removed", "")
			if test.inFlight {
				remover.push("removed", "value")
				k.wantBatch("value")
			}
			remover.remove("removed")
			k.wantEnd(neoclient.ChannelRemoved)
			for _, message := range test.feedback {
				k.send(message)
				if message == neoclient.Stop {
					k.wantEnd(neoclient.Stopped)
				}
			}
			c.wantNothing()
			remover.push("other", "value")
			other.wantRecords("value")
			c.consume("removed", "").stop()
		})
	}
}

// The removal and the client's feedback at the same time: whichever comes first, the
// client can tell how its request ended, and the connection goes on.
func TestNeoRemovalAndFeedbackAtOnce(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"), nodetest.Set("Server.channel_size_limit", "1000"))
	c, remover := connect(t, node), dial(t, node)
	removed := 0
	for round := range 300 {
		k := c.consume("race", "")
		if round%3 > 0 {
			remover.push("race", "value")
			k.wantBatch("value")
		}
		remover.send(legacyclient.Request(legacyclient.RemoveChannel, "race"))
		if round%3 == 2 {
			k.send(neoclient.Continue)
		}
		k.send(neoclient.Stop)
		message, _, err := k.Next()
		c.must(err)
		if message == neoclient.ChannelRemoved {
			removed++
			message, _, err = k.Next() // the answer to the Stop
			c.must(err)
		}
		if message != neoclient.Stopped {
			t.Fatalf("round %d: got message %02x, want Stopped", round, message)
		}
		remover.wantStatus(legacyclient.Ok)
	}
	c.wantNothing()
	t.Logf("ChannelRemoved before Stop in %d of 300 rounds", removed)
}

// Records of a removed channel don't come back when the connection that has them ends.
func TestNeoRemovedRecordsDoNotComeBack(t *testing.T) {
	for _, way := range neoLeaving {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			gone, remover, next := connect(t, node), dial(t, node), connect(t, node)
			next.alive()
			remover.produceRecords("removed", 0, 300, 1000)
			k := gone.consume("removed", "")
			k.batch()
			remover.remove("removed")
			k.wantEnd(neoclient.ChannelRemoved)
			k = next.consume("removed", "")
			next.push("new", "removed")
			leaveNeo(t, node, gone, way.leave)
			k.wantRecords("new")
			next.wantNothing()
		})
	}
}

// The removal does not wait for a client that does not read. What was begun arrives whole,
// whatever has happened to the memory since, and ChannelRemoved behind it.
func TestNeoRemovalWithBlockedConsumer(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "20000000"))
	blocked, other, remover := connect(t, node, smallWindow), connect(t, node), dial(t, node)
	large := record(1, size)
	inLine := blocked.consume("inline", "")
	stopped := blocked.consume("stopped", "")
	k := blocked.consume("blocked", "")
	other.push(large, "blocked")
	other.alive()
	other.push("in line", "inline") // these two now wait for room in the output
	other.push("stopped", "stopped")
	other.alive()

	remover.remove("blocked")
	other.push(record(2, size), "blocked") // of the new channel
	other.push(record(3, size), "foreign")
	remover.remove("inline")
	other.push("new", "inline")
	stopped.send(neoclient.Stop)
	k.send(neoclient.Continue) // is late

	k.wantBatch(large)
	k.wantEnd(neoclient.ChannelRemoved)
	inLine.wantEnd(neoclient.ChannelRemoved)
	if records, err := drainStopped(stopped); err != nil || len(records) > 1 {
		t.Errorf("got %q, error %v; want the record or none, then Stopped", records, err)
	} else if len(records) == 0 {
		other.consume("stopped", "").wantRecords("stopped")
	}
	blocked.wantNothing()
	other.wantPop("blocked", record(2, size))
	other.wantPop("foreign", record(3, size))
	other.wantPop("inline", "new")
}

// drainStopped takes what comes behind a Stop that was sent.
func drainStopped(k *neoConsumer) (records [][]byte, err error) {
	message, records, err := k.Next()
	if err == nil && message == neoclient.Records {
		message, _, err = k.Next()
	}
	if err == nil && message != neoclient.Stopped {
		err = fmt.Errorf("got message %02x, want Stopped", message)
	}
	return records, err
}

// Channels are removed while producers push and consumers take. Every consumer is told,
// once, gets nothing behind that, and its connection goes on.
func TestNeoRemovalUnderLoad(t *testing.T) {
	t.Parallel()
	const rounds, consumers = 30, 4
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"), nodetest.Set("Server.channel_size_limit", "300000"))
	remover, first := dial(t, node), dial(t, node)
	stop := make(chan struct{})
	produced := make(chan error, 1)
	producer, err := neoclient.Connect(node.Neo(), testLogin())
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	go func() {
		for number := 0; ; number++ {
			select {
			case <-stop:
				produced <- nil
				return
			default:
			}
			if status, err := producer.Push([]byte(record(number, 500)), "load"); status != pushed {
				produced <- fmt.Errorf("Push: got status %02x, error %v", status, err)
				return
			}
		}
	}()
	conns := make([]*neoclient.Client, consumers)
	for i := range conns {
		if conns[i], err = neoclient.Connect(node.Neo(), testLogin()); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
	}
	for range rounds {
		subscribed := make(chan struct{}, consumers)
		ended := make(chan error, consumers)
		for i, c := range conns {
			go func() { ended <- consumeUntilRemoved(c, []string{"", "other"}[i%2], subscribed) }()
		}
		for range consumers {
			<-subscribed
		}
		remover.remove("load")
		for range consumers {
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
		}
		first.alive()
	}
	close(stop)
	if err := <-produced; err != nil {
		t.Error(err)
	}
}

// consumeUntilRemoved tells when it has got some batches, and goes on.
func consumeUntilRemoved(c *neoclient.Client, subscriber string, subscribed chan<- struct{}) error {
	k, err := c.Consume("load", subscriber)
	if err != nil {
		return err
	}
	last := -1
	for batches := 0; ; batches++ {
		if batches == 3 {
			subscribed <- struct{}{}
		}
		message, records, err := k.Next()
		if err != nil {
			return err
		}
		if message != neoclient.Records {
			if message != neoclient.ChannelRemoved {
				return fmt.Errorf("got message %02x, want ChannelRemoved", message)
			}
			if status, err := c.Push(nil); status != pushed || len(c.Parked()) > 0 {
				return fmt.Errorf("behind ChannelRemoved: got status %02x, error %v, frames %v", status, err, c.Parked())
			}
			return nil
		}
		for _, r := range records {
			number, err := recordNumber(string(r), 500)
			if err != nil || number <= last {
				return fmt.Errorf("got record %d behind %d, error %v", number, last, err)
			}
			last = number
		}
		if err := k.Feedback(neoclient.Continue); err != nil {
			return err
		}
	}
}
