package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
)

// start answers a Consume of jobs as a node does.
func (c *stubConn) start() (id uint64, ok bool) {
	if id, ok = c.expect(consJobs); ok {
		c.send(id, "fd", "01")
	}
	return id, ok
}

// consumeStub returns a consumer of a stub.
func consumeStub(t testing.TB, serve func(*stubConn)) client.Consumer {
	t.Helper()
	c := newClient(t, client.Options{Nodes: []string{consumers(t, serve).address}})
	consumer, err := c.Consume(context.Background(), "jobs", client.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return consumer
}

// consumers starts a stub of which serve sees only the connections of consumers, numbered
// from 0: the client's own stays silent.
func consumers(t testing.TB, serve func(*stubConn)) *stub {
	numbers := make(chan int, 1)
	numbers <- 0
	return startStub(t, func(c *stubConn) {
		for len(c.in) == 0 {
			if !c.more() {
				return
			}
		}
		c.n = <-numbers
		numbers <- c.n + 1
		serve(c)
	})
}

const (
	goOn = "01" // Continue
	stop = "02"
)

// A batch is acknowledged when all its records are handled, and not before.
func TestAcknowledgement(t *testing.T) {
	inHand, silent := make(chan struct{}), make(chan struct{})
	consumer := consumeStub(t, func(c *stubConn) {
		id, _ := c.start()
		c.records(id, "a", "b")
		<-inHand
		c.expectSilence()
		close(silent)
		c.expect(goOn)
		c.records(id, "c")
		c.expect(stop)
		c.send(id, "04")
	})
	for record, err := range consumer.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{"a": 1, "b": 0, "c": 0}[string(record.Value)]; record.Left != want {
			t.Errorf("record %s: %d left of its batch, want %d", record.Value, record.Left, want)
		}
		switch string(record.Value) {
		case "b":
			close(inHand)
			<-silent
		case "c":
			consumer.Stop()
		}
	}
}

// Stop takes the place of Continue while records are in hand; the rest is still yielded.
func TestStopWithRecordsInHand(t *testing.T) {
	stopped, silent := make(chan struct{}), make(chan struct{})
	consumer := consumeStub(t, func(c *stubConn) {
		id, _ := c.start()
		c.records(id, "a", "b", "c")
		<-stopped
		c.expectSilence()
		close(silent)
		c.expect(stop)
		c.send(id, "04")
		c.expectEnd()
	})
	collect(t, consumer, 1)
	consumer.Stop()
	consumer.Stop()
	close(stopped)
	<-silent
	wantValues(t, rest(t, consumer), []string{"b", "c"})
}

// Records that cross Stop are yielded, and no Continue follows.
func TestRecordsCrossStop(t *testing.T) {
	consumer := consumeStub(t, func(c *stubConn) {
		id, _ := c.start()
		c.expect(stop)
		c.records(id, "a", "b")
		c.send(id, "04")
		c.expectEnd()
	})
	if err := consumer.WaitStarted(patient(t), 0); err != nil {
		t.Fatal(err)
	}
	consumer.Stop()
	wantValues(t, rest(t, consumer), []string{"a", "b"})
}

// Stop before Started is put off until then.
func TestStopBeforeStarted(t *testing.T) {
	asked, stopped := make(chan struct{}), make(chan struct{})
	consumer := consumeStub(t, func(c *stubConn) {
		id, _ := c.expect(consJobs)
		close(asked)
		<-stopped
		c.send(id, "fd")
		c.expectSilence()
		c.send(id, "01")
		c.expect(stop)
		c.send(id, "04")
		c.expectEnd()
	})
	<-asked
	consumer.Stop()
	close(stopped)
	wantValues(t, rest(t, consumer), nil)
}

// Stop while nothing is connected ends the consumer, and it does not connect again.
func TestStopWhileNotConnected(t *testing.T) {
	c := newClient(t, client.Options{Nodes: []string{"127.0.0.1:1"}})
	consumer, err := c.Consume(context.Background(), "jobs", client.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	consumer.Stop()
	wantValues(t, rest(t, consumer), nil)
}

// A Stop that the node did not get before the connection broke is not forgotten (Q21).
func TestStopAndDisconnect(t *testing.T) {
	consumer := consumeStub(t, func(c *stubConn) {
		if c.n > 0 {
			t.Error("the consumer connects again")
			return
		}
		id, _ := c.start()
		c.expect(stop)
		c.records(id, "a") // confirmed by Stop, if the node got that far
	})
	if err := consumer.WaitStarted(patient(t), 0); err != nil {
		t.Fatal(err)
	}
	consumer.Stop()
	wantValues(t, rest(t, consumer), []string{"a"})
}

// One batch can cross Stop. A node that sends more is not listened to.
func TestRecordsAfterStop(t *testing.T) {
	consumer := consumeStub(t, func(c *stubConn) {
		id, _ := c.start()
		c.expect(stop)
		for range 100 {
			c.records(id, "a")
		}
		c.drain()
	})
	if err := consumer.WaitStarted(patient(t), 0); err != nil {
		t.Fatal(err)
	}
	consumer.Stop()
	wantValues(t, rest(t, consumer), []string{"a"})
}

// After a disconnect the Consume starts again, and what was not yielded of a batch is left
// to the node to send again.
func TestReconnect(t *testing.T) {
	for name, end := range map[string]func(*stubConn){"FIN": func(c *stubConn) {}, "RST": (*stubConn).reset} {
		t.Run(name, func(t *testing.T) {
			received, again := make(chan struct{}), make(chan struct{})
			consumer := consumeStub(t, func(c *stubConn) {
				id, _ := c.start()
				if c.n == 1 {
					close(again)
				}
				c.records(id, "a", "b", "c")
				if c.n == 0 {
					<-received
					end(c)
					return
				}
				c.expect(stop)
				c.send(id, "04")
			})
			collect(t, consumer, 1)
			close(received)
			<-again
			wantValues(t, collect(t, consumer, 3), []string{"a", "b", "c"})
			consumer.Stop()
			wantValues(t, rest(t, consumer), nil)
		})
	}
}

// With KeepBatch, what was received is yielded although the connection is gone.
func TestKeepBatch(t *testing.T) {
	received, again := make(chan struct{}), make(chan struct{})
	stub := consumers(t, func(c *stubConn) {
		id, _ := c.start()
		if c.n == 0 {
			c.records(id, "a", "b", "c")
			<-received
			return
		}
		close(again)
		c.expect(stop)
		c.send(id, "04")
	})
	c := newClient(t, client.Options{Nodes: []string{stub.address}})
	consumer, err := c.Consume(context.Background(), "jobs", client.ConsumeOptions{KeepBatch: true})
	if err != nil {
		t.Fatal(err)
	}
	collect(t, consumer, 1)
	close(received)
	<-again
	wantValues(t, collect(t, consumer, 2), []string{"b", "c"})
	consumer.Stop()
	wantValues(t, rest(t, consumer), nil)
}

// Messages that break the protocol make the consumer drop the connection and come again.
func TestConsumeProtocolErrors(t *testing.T) {
	tests := map[string]func(c *stubConn){
		"inconsistent batch":         func(c *stubConn) { id, _ := c.start(); c.send(id, "03 0900000000000000 0500000000000000 68") },
		"empty batch":                func(c *stubConn) { id, _ := c.start(); c.send(id, "03 0000000000000000") },
		"unknown message":            func(c *stubConn) { id, _ := c.start(); c.send(id, "07") },
		"Stopped without Stop":       func(c *stubConn) { id, _ := c.start(); c.send(id, "04") },
		"records without Continue":   func(c *stubConn) { id, _ := c.start(); c.records(id, "x"); c.records(id, "x") },
		"status with something more": func(c *stubConn) { id, _ := c.expect(consJobs); c.send(id, "fd", "01 01") },
		"malformed header":           func(c *stubConn) { c.start(); c.conn.Write(make([]byte, 10)) },
		"a message that is not all":  func(c *stubConn) { c.start(); c.conn.Write([]byte{1, 9, 0}) },
	}
	for name, breach := range tests {
		t.Run(name, func(t *testing.T) {
			again := make(chan struct{})
			consumer := consumeStub(t, func(c *stubConn) {
				if c.n == 0 {
					breach(c)
					if name != "a message that is not all" {
						c.drain()
					}
					return
				}
				id, _ := c.start()
				close(again)
				c.records(id, "a")
				c.expect(stop)
				c.send(id, "04")
			})
			<-again
			wantValues(t, collect(t, consumer, 1), []string{"a"})
			consumer.Stop()
			wantValues(t, rest(t, consumer), nil)
		})
	}
}

// A node that refuses, or removes the channel, has no more part in the Consume; the others
// go on.
func TestPartEnds(t *testing.T) {
	tests := map[string]struct {
		end  func(*stubConn)
		want error
	}{
		"unknown request": {func(c *stubConn) { id, _ := c.expect(consJobs); c.send(id, "ff") }, client.ErrUnsupported},
		"unknown version": {func(c *stubConn) { id, _ := c.expect(consJobs); c.send(id, "fe") }, client.ErrUnsupported},
		"node error":      {func(c *stubConn) { id, _ := c.expect(consJobs); c.send(id, "fd", "02") }, client.ErrNodeError},
		"channel removed": {func(c *stubConn) { id, _ := c.start(); c.send(id, "05") }, client.ErrChannelRemoved},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ending := consumers(t, func(c *stubConn) {
				test.end(c)
				c.expectEnd()
			})
			removed := make(chan struct{})
			other := consumers(t, func(c *stubConn) {
				id, _ := c.start()
				<-removed
				c.records(id, "a")
				c.expect(stop)
				c.send(id, "04")
			})
			c := newClient(t, client.Options{Nodes: []string{ending.address, other.address}})
			consumer, err := c.Consume(context.Background(), "jobs", client.ConsumeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			err = consumer.Each(func(_ context.Context, r client.Record) error { t.Errorf("got record %q", r.Value); return nil })
			wantError(t, err, test.want)
			wantText(t, err, ending.address)
			close(removed)
			wantValues(t, collect(t, consumer, 1), []string{"a"})
			consumer.Stop()
			wantValues(t, rest(t, consumer), nil)
		})
	}
}

// What was received before the channel was removed is yielded before the error.
func TestRecordsBeforeChannelRemoved(t *testing.T) {
	consumer := consumeStub(t, func(c *stubConn) {
		id, _ := c.start()
		c.records(id, "a", "b")
		c.send(id, "05")
		c.drain() // a Continue may cross that
	})
	wantValues(t, collect(t, consumer, 2), []string{"a", "b"})
	var errs []error
	for _, err := range consumer.Records() {
		errs = append(errs, err)
	}
	if len(errs) != 1 {
		t.Fatalf("got %v, want one error", errs)
	}
	wantError(t, errs[0], client.ErrChannelRemoved)
}

// Suspend holds back records already received, and Stop waits for Resume.
func TestSuspend(t *testing.T) {
	consumer := consumeStub(t, func(c *stubConn) {
		id, _ := c.start()
		c.records(id, "a", "b", "c")
		c.expect(stop)
		c.send(id, "04")
		c.expectEnd()
	})
	collect(t, consumer, 1)
	consumer.Suspend()
	if !consumer.Suspended() {
		t.Error("not suspended")
	}
	values := make(chan string)
	go func() {
		defer close(values)
		for record := range consumer.Records() {
			values <- string(record.Value)
		}
	}()
	consumer.Stop()
	select {
	case value, ok := <-values:
		t.Errorf("while suspended: got %q, %v", value, ok)
	case <-time.After(20 * time.Millisecond):
	}
	consumer.Resume()
	var got []string
	for value := range values {
		got = append(got, value)
	}
	wantValues(t, got, []string{"b", "c"})
}

// Suspend from inside the loop, Resume from elsewhere: nothing is lost or doubled.
func TestSuspendInTheLoop(t *testing.T) {
	c := connect(t, startNodes(t, 1)...)
	values := numbered(500)
	pushAll(t, c, "jobs", values...)
	consumer := consume(t, c, "jobs", client.ConsumeOptions{})
	var got []string
	for record, err := range consumer.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, string(record.Value)); len(got) == len(values) {
			break
		}
		consumer.Suspend()
		go consumer.Resume()
	}
	wantValues(t, got, values)
}

// Close, and the end of the context, close the connection without Continue or Stop, so that
// the node gives the records to somebody else.
func TestCloseGivesBack(t *testing.T) {
	for _, how := range []string{"Close", "context", "client"} {
		t.Run(how, func(t *testing.T) {
			stub := consumers(t, func(c *stubConn) {
				id, _ := c.start()
				c.records(id, "a", "b")
				c.expectEnd()
			})
			c := newClient(t, client.Options{Nodes: []string{stub.address}})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			consumer, err := c.Consume(ctx, "jobs", client.ConsumeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want := client.ErrClosed
			var errs []error
			for _, err := range consumer.Records() {
				if err != nil {
					errs = append(errs, err)
					continue
				}
				switch how {
				case "Close":
					consumer.Close()
				case "context":
					cancel()
					eventually(t, "WaitStarted sees the end", func() bool {
						return errorIs(consumer.WaitStarted(context.Background(), 1), context.Canceled)
					})
					want = context.Canceled
				case "client":
					c.Close()
				}
			}
			if len(errs) != 1 {
				t.Fatalf("got errors %v, want one", errs)
			}
			wantError(t, errs[0], want)
			consumer.Close()
		})
	}
}

// A real node delivers a batch that was not handled as a whole to the next consumer, all of
// it, in the old order.
func TestUnhandledComesAgain(t *testing.T) {
	c := connect(t, startNodes(t, 1)...)
	values := numbered(100)
	pushAll(t, c, "jobs", values...)
	first := consume(t, c, "jobs", client.ConsumeOptions{})
	wantValues(t, collect(t, first, 60), values[:60])
	first.Close()
	second := consume(t, c, "jobs", client.ConsumeOptions{})
	wantValues(t, collect(t, second, 100), values)
	second.Stop()
	wantValues(t, rest(t, second), nil)
	third := consume(t, c, "jobs", client.ConsumeOptions{})
	third.Stop()
	wantValues(t, rest(t, third), nil)
}
