package storage

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// client is the owner of a Consumer. It writes what happens to it to a log that it
// shares with others: "NAME!" when it is woken.
type client struct {
	Consumer
	name string
	log  *[]string
	runs []*Run
}

func (c *client) Wake() { *c.log = append(*c.log, c.name+"!") }

// attach attaches clients of these names, in this order, and lets them come once.
func attach(t testing.TB, s *Storage, log *[]string, clients ...string) []*client {
	t.Helper()
	var all []*client
	for _, name := range clients {
		c := &client{name: name, log: log}
		s.channel.Lock()
		c.Attach(s, c)
		s.channel.Commit()
		all = append(all, c)
		c.take(t)
	}
	return all
}

// take settles what the client had and returns the payloads of the next records.
func (c *client) take(t testing.TB) []string {
	t.Helper()
	runs, removed, err := c.Next(c.runs, everything, false)
	if err != nil || removed {
		t.Fatalf("%s: Next: removed %v, error %v", c.name, removed, err)
	}
	c.runs = runs
	return payloads(runs)
}

func payloads(runs []*Run) (all []string) {
	for _, r := range runs {
		for rest := r.Bytes(); len(rest) > 0; {
			record, _ := ring.Cut(rest, 1, 1)
			all = append(all, string(record[ring.HeaderSize:]))
			rest = rest[len(record):]
		}
	}
	return all
}

// wantLog compares the log with the words of want, and clears it.
func wantLog(t testing.TB, log *[]string, want string) {
	t.Helper()
	if got := strings.Join(*log, " "); got != want {
		t.Errorf("woken: got %q, want %q", got, want)
	}
	*log = nil
}

func wantRecords(t testing.TB, who string, got []string, want string) {
	t.Helper()
	if s := strings.Join(got, " "); s != want {
		t.Errorf("%s: got records %q, want %q", who, s, want)
	}
}

func TestOneConsumerIsWokenPerRecordTheLongestWaitingFirst(t *testing.T) {
	cs := newTestChannels(t, 1000)
	s := subscribe(t, cs, "c", "")
	var log []string
	clients := attach(t, s, &log, "a", "b", "c")
	wantLog(t, &log, "")
	push(t, cs, "c", "1")
	wantLog(t, &log, "a!")
	push(t, cs, "c", "2")
	wantLog(t, &log, "b!")

	wantRecords(t, "a", clients[0].take(t), "1")
	wantRecords(t, "a, done with 1 before b has come", clients[0].take(t), "2")
	wantRecords(t, "b, too late", clients[1].take(t), "")
	wantRecords(t, "a, done with 2", clients[0].take(t), "")
	push(t, cs, "c", "3", "4")
	wantLog(t, &log, "c! b!")
	push(t, cs, "c", "5", "6", "7")
	wantLog(t, &log, "a!")
}

func TestSinglePushesGoToIdleConsumersInTurn(t *testing.T) {
	cs := newTestChannels(t, 1000)
	s := subscribe(t, cs, "c", "")
	var log []string
	clients := attach(t, s, &log, "a", "b", "c")
	for i := range 9 {
		record := fmt.Sprint(i)
		push(t, cs, "c", record)
		next := clients[i%3]
		wantLog(t, &log, next.name+"!")
		wantRecords(t, next.name, next.take(t), record)
		wantRecords(t, next.name, next.take(t), "")
	}
}

func TestIdleConsumersShareABurst(t *testing.T) {
	for _, c := range []struct{ records, idle, least int }{
		{40, 1, 40},
		{40, 2, 20},
		{40, 3, 13},
		{5, 4, 1},
		{2, 5, 0},
	} {
		t.Run(fmt.Sprintf("%d records, %d idle", c.records, c.idle), func(t *testing.T) {
			cs := newTestChannels(t, 100) // most of the records overflow
			s := subscribe(t, cs, "c", "")
			var log, names, records []string
			for i := range c.idle {
				names = append(names, fmt.Sprintf("client%d", i))
			}
			clients := attach(t, s, &log, names...)
			for i := range c.records {
				records = append(records, fmt.Sprint(i))
			}
			push(t, cs, "c", records...)
			if got, want := len(log), min(c.records, c.idle); got != want {
				t.Errorf("%d clients woken, want %d", got, want)
			}
			var all []string
			for _, client := range clients {
				got := client.take(t)
				if len(got) < c.least {
					t.Errorf("%s got %d records, want %d or more", client.name, len(got), c.least)
				}
				all = append(all, got...)
			}
			wantRecords(t, "all together", all, strings.Join(records, " "))
		})
	}
}

func TestAWokenConsumerThatDoesNotTakePassesItsWakeUpOn(t *testing.T) {
	for _, c := range []struct {
		what string
		do   func(*client, *disktest.Dir)
	}{
		{"leaves", func(c *client, _ *disktest.Dir) { c.Leave(c.runs, 0) }},
		{"pauses", func(c *client, _ *disktest.Dir) { c.runs = c.Pause(c.runs) }},
		{"gets an error", func(c *client, d *disktest.Dir) {
			d.Before = func(disktest.Call) error { return unix.EIO }
			if _, _, err := c.Next(c.runs, everything, false); err == nil {
				t.Error("Next: no error")
			}
			d.Before = nil
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			n := newTrial(t)
			n.start()
			n.subscribe("c", "")
			n.push("c", false, 10)
			n.crash() // nothing is mapped after a start
			n.start()
			var log []string
			s := subscribe(t, n.channels, "c", "")
			clients := []*client{{name: "a", log: &log}, {name: "b", log: &log}}
			for _, client := range clients {
				s.channel.Lock()
				client.Attach(s, client)
				client.state = waiting
				s.waiting.add(&client.Consumer)
				s.channel.mu.Unlock()
			}
			s.channel.Lock()
			s.channel.Commit()
			wantLog(t, &log, "a!")
			c.do(clients[0], n.dir)
			wantLog(t, &log, "b!")
			if got := clients[1].take(t); len(got) != 1 {
				t.Errorf("b got %q, want the record", got)
			}
		})
	}
}

func TestABusyConsumerIsNotWaitedFor(t *testing.T) {
	cs := newTestChannels(t, 1000)
	s := subscribe(t, cs, "c", "")
	var log []string
	clients := attach(t, s, &log, "a", "b")
	push(t, cs, "c", "1")
	wantRecords(t, "a", clients[0].take(t), "1")
	wantLog(t, &log, "a!")
	for _, record := range []string{"2", "3", "4"} {
		push(t, cs, "c", record)
		wantLog(t, &log, "b!")
		wantRecords(t, "b", clients[1].take(t), record)
		wantRecords(t, "b", clients[1].take(t), "")
	}
	wantRecords(t, "a, busy until now", clients[0].take(t), "")
}

func TestRecordsGivenBackWakeAnother(t *testing.T) {
	cs := newTestChannels(t, 1000)
	s := subscribe(t, cs, "c", "")
	var log []string
	clients := attach(t, s, &log, "a")
	push(t, cs, "c", "one", "two", "three")
	wantLog(t, &log, "a!")
	wantRecords(t, "a", clients[0].take(t), "one two three")
	others := attach(t, s, &log, "b", "c", "d")
	push(t, cs, "c", "four")
	wantLog(t, &log, "b!")

	// Sent is the first record and a part of the second.
	clients[0].Leave(clients[0].runs, ring.HeaderSize+3+ring.HeaderSize+2)
	wantLog(t, &log, "c! d!")
	wantRecords(t, "d", others[2].take(t), "two") // a third of three
	wantRecords(t, "c", others[1].take(t), "three")
	wantRecords(t, "b", others[0].take(t), "four")
}

func TestConsumersAreWokenWhenTheBatchOfPushesEnds(t *testing.T) {
	cs := newTestChannels(t, 1000)
	s := subscribe(t, cs, "c", "")
	var log []string
	attach(t, s, &log, "a")
	batch := NewBatch(cs)
	for range 3 {
		c, err := batch.Open([]byte("c"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Push([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	wantLog(t, &log, "")
	batch.End()
	wantLog(t, &log, "a!")
	batch.End()
	wantLog(t, &log, "")
}

func TestRemovalWakesConsumersInEveryState(t *testing.T) {
	cs := newTestChannels(t, 1000)
	s := subscribe(t, cs, "c", "")
	var log []string
	clients := attach(t, s, &log, "busy", "woken", "waiting")
	push(t, cs, "c", "1")
	wantRecords(t, "busy", clients[0].take(t), "1")
	push(t, cs, "c", "2")
	wantLog(t, &log, "busy! woken!")

	remove(t, cs, "c")
	wantLog(t, &log, "busy! woken! waiting!")
	if got := string(clients[0].runs[0].Payload()); got != "1" {
		t.Errorf("a run taken before the removal: got %q, want %q", got, "1")
	}
	for _, c := range clients {
		runs, removed, err := c.Next(c.runs, everything, false)
		if len(runs) > 0 || !removed || err != nil || !c.Removed() {
			t.Errorf("%s: Next: %d runs, removed %v, error %v, want none, true, nil", c.name, len(runs), removed, err)
		}
	}
	push(t, cs, "c", "of a new channel")
	for _, c := range clients {
		c.Leave(nil, 0)
	}
	wantLog(t, &log, "")
}

func TestOnlyTheConsumersOfASubscriberWithRecordsAreWoken(t *testing.T) {
	cs := newTestChannels(t, 1000)
	var log []string
	attach(t, subscribe(t, cs, "c", "s"), &log, "s")
	attach(t, subscribe(t, cs, "c", "t"), &log, "t")
	attach(t, subscribe(t, cs, "other", ""), &log, "other")
	push(t, cs, "c", "1")
	wantLog(t, &log, "s! t!")
}
