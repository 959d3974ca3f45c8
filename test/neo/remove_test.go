package neo

import (
	"fmt"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
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
	remover, producer := clients.Legacy(t, node), clients.Neo(t, node)
	conns := []*clients.NeoClient{clients.Neo(t, node), clients.Neo(t, node), clients.Neo(t, node)}
	other := conns[0].MustConsume("other", "")
	for range 3 {
		var all []*clients.NeoConsumer
		for i := range 12 {
			all = append(all, conns[i%3].MustConsume("removed", []string{"", "one", "two", "three"}[i%4]))
		}
		producer.MustPush("value", "removed") // one consumer of each subscriber has it in flight
		for i := range 3 {
			conns[i].Alive()
		}
		producer.MustPush("waits", "removed")
		remover.MustRemove("removed")
		batches := 0
		for _, k := range all {
			message, records, err := k.Next()
			k.Client.Must(err)
			if message == neoclient.Records {
				batches += len(records)
				message, _, err = k.Next()
				k.Client.Must(err)
			}
			if message != neoclient.ChannelRemoved {
				t.Errorf("got message %02x, want ChannelRemoved", message)
			}
		}
		if batches < 4 || batches > 8 {
			t.Errorf("got %d records, want the first of each of the 4 subscribers, at most the second too", batches)
		}
		producer.WantPopStatus("removed", clients.PopEmpty)
		producer.MustPush("new", "removed")
		for _, c := range conns {
			c.WantNothing() // is behind ChannelRemoved
		}
		conns[1].MustConsume("removed", "new").WantBatch("new")
		remover.MustRemove("removed")
		remover.MustRemove("removed") // there is no such channel
		_, err := conns[1].Read()
		producer.Must(err)
	}
	producer.MustPush("value", "other")
	other.WantRecords("value")
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
			c, remover := clients.Neo(t, node), clients.Legacy(t, node)
			other := c.MustConsume("other", "")
			k := c.MustConsume("removed", "")
			if test.inFlight {
				remover.MustPush("removed", "value")
				k.WantBatch("value")
			}
			remover.MustRemove("removed")
			k.WantEnd(neoclient.ChannelRemoved)
			for _, message := range test.feedback {
				k.Send(message)
				if message == neoclient.Stop {
					k.WantEnd(neoclient.Stopped)
				}
			}
			c.WantNothing()
			remover.MustPush("other", "value")
			other.WantRecords("value")
			c.MustConsume("removed", "").Stop()
		})
	}
}

// The removal and the client's feedback at the same time: whichever comes first, the
// client can tell how its request ended, and the connection goes on.
func TestNeoRemovalAndFeedbackAtOnce(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"), nodetest.Set("Server.channel_size_limit", "1000"))
	c, remover := clients.Neo(t, node), clients.Legacy(t, node)
	removed := 0
	for round := range 300 {
		k := c.MustConsume("race", "")
		if round%3 > 0 {
			remover.MustPush("race", "value")
			k.WantBatch("value")
		}
		remover.MustSend(legacyclient.Request(legacyclient.RemoveChannel, "race"))
		if round%3 == 2 {
			k.Send(neoclient.Continue)
		}
		k.Send(neoclient.Stop)
		message, _, err := k.Next()
		c.Must(err)
		if message == neoclient.ChannelRemoved {
			removed++
			message, _, err = k.Next() // the answer to the Stop
			c.Must(err)
		}
		if message != neoclient.Stopped {
			t.Fatalf("round %d: got message %02x, want Stopped", round, message)
		}
		remover.WantStatus(legacyclient.Ok)
	}
	c.WantNothing()
	t.Logf("ChannelRemoved before Stop in %d of 300 rounds", removed)
}

// Records of a removed channel don't come back when the connection that has them ends.
func TestNeoRemovedRecordsDoNotComeBack(t *testing.T) {
	for _, way := range clients.NeoLeaving {
		t.Run(way.Name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			gone, remover, next := clients.Neo(t, node), clients.Legacy(t, node), clients.Neo(t, node)
			next.Alive()
			remover.ProduceRecords("removed", 0, 300, 1000)
			k := gone.MustConsume("removed", "")
			k.Batch()
			remover.MustRemove("removed")
			k.WantEnd(neoclient.ChannelRemoved)
			k = next.MustConsume("removed", "")
			next.MustPush("new", "removed")
			clients.LeaveNeo(t, node, gone, way.Leave)
			k.WantRecords("new")
			next.WantNothing()
		})
	}
}

// The removal does not wait for a client that does not read. What was begun arrives whole,
// whatever has happened to the memory since, and ChannelRemoved behind it.
func TestNeoRemovalWithBlockedConsumer(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "20000000"))
	blocked, other, remover := clients.Neo(t, node, clients.SmallWindow), clients.Neo(t, node), clients.Legacy(t, node)
	large := clients.Record(1, size)
	inLine := blocked.MustConsume("inline", "")
	stopped := blocked.MustConsume("stopped", "")
	k := blocked.MustConsume("blocked", "")
	other.MustPush(large, "blocked")
	other.Alive()
	other.MustPush("in line", "inline") // these two now wait for room in the output
	other.MustPush("stopped", "stopped")
	other.Alive()

	remover.MustRemove("blocked")
	other.MustPush(clients.Record(2, size), "blocked") // of the new channel
	other.MustPush(clients.Record(3, size), "foreign")
	remover.MustRemove("inline")
	other.MustPush("new", "inline")
	stopped.Send(neoclient.Stop)
	k.Send(neoclient.Continue) // is late

	k.WantBatch(large)
	k.WantEnd(neoclient.ChannelRemoved)
	inLine.WantEnd(neoclient.ChannelRemoved)
	if records, err := drainStopped(stopped); err != nil || len(records) > 1 {
		t.Errorf("got %q, error %v; want the record or none, then Stopped", records, err)
	} else if len(records) == 0 {
		other.MustConsume("stopped", "").WantRecords("stopped")
	}
	blocked.WantNothing()
	other.WantPop("blocked", clients.Record(2, size))
	other.WantPop("foreign", clients.Record(3, size))
	other.WantPop("inline", "new")
}

// drainStopped takes what comes behind a Stop that was sent.
func drainStopped(k *clients.NeoConsumer) (records [][]byte, err error) {
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
	remover, first := clients.Legacy(t, node), clients.Legacy(t, node)
	stop := make(chan struct{})
	produced := make(chan error, 1)
	producer, err := neoclient.Connect(node.Neo(), clients.TestLogin())
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
			if status, err := producer.Push([]byte(clients.Record(number, 500)), "load"); status != clients.Pushed {
				produced <- fmt.Errorf("Push: got status %02x, error %v", status, err)
				return
			}
		}
	}()
	conns := make([]*neoclient.Client, consumers)
	for i := range conns {
		if conns[i], err = neoclient.Connect(node.Neo(), clients.TestLogin()); err != nil {
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
		remover.MustRemove("load")
		for range consumers {
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
		}
		first.Alive()
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
			if status, err := c.Push(nil); status != clients.Pushed || len(c.Parked()) > 0 {
				return fmt.Errorf("behind ChannelRemoved: got status %02x, error %v, frames %v", status, err, c.Parked())
			}
			return nil
		}
		for _, r := range records {
			number, err := clients.RecordNumber(string(r), 500)
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
