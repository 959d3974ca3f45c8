package storage

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// startBound starts a node whose queues may have that many bytes.
func startBound(t *testing.T, bytes uint64) *trial {
	n := newTrial(t)
	n.options.QueueBytes = func(string) uint64 { return bytes }
	n.start()
	return n
}

// refused checks that an error refuses records because of a queue.
func refused(t *testing.T, err error, queue string) {
	t.Helper()
	var bound *BoundError
	if !errors.As(err, &bound) || bound.Queue != queue {
		t.Errorf("got error %v, want one about queue %s", err, queue)
	}
}

// What one of the subscribers may not have, none of them gets. The ring and spill files count
// together, and what is delivered does not.
func TestARecordBeyondTheBoundIsRefusedForAllSubscribers(t *testing.T) {
	n := startBound(t, 300)
	n.subscribe("c", "ahead")
	n.subscribe("c", "behind")
	n.push("c", false, 82, 82) // the second one spills
	ahead := n.attach("c", "ahead")
	n.next(ahead, everything)
	n.next(ahead, everything)
	before := contents(n, n.channels)
	c := n.open("c")
	refused(t, c.Push(make([]byte, 113)), "behind@c")
	refused(t, c.Reserve(Size(113)), "behind@c")
	run := appendRecord(nil, make([]byte, 113))
	refused(t, c.PushRun(run, 1), "behind@c")
	c.Commit()
	if after := contents(n, n.channels); !reflect.DeepEqual(after, before) {
		t.Error("the queues have changed")
	}
	n.push("c", false, 112) // just as many as there may be
	behind := n.attach("c", "behind")
	n.next(behind, 1)
	n.next(behind, 1)
	n.push("c", false, 81)
	n.goHome()
}

// Of a run, as many records are stored as every queue may have.
func TestTheFirstRecordsOfARunAreStoredUpToTheBound(t *testing.T) {
	n := startBound(t, 60)
	var run []byte
	for _, payload := range []string{"1", strings.Repeat("2", 40), "3"} {
		run = appendRecord(run, []byte(payload))
	}
	c := openChannel(t, n.channels, "c")
	if _, err := c.Subscribe("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Subscribe("b"); err != nil {
		t.Fatal(err)
	}
	refused(t, c.PushRun(run, 3), "a@c")
	for _, s := range c.storages {
		if got := s.figures().MemoryRecords; got != 2 {
			t.Errorf("%s has %d records, want 2", s.name, got)
		}
	}
	c.Commit()
}

// What a start finds counts, whether the node was killed or has stopped.
func TestTheBoundHoldsAfterARestart(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func(*trial)
	}{{"crash", (*trial).crash}, {"stop", (*trial).stop}} {
		t.Run(end.name, func(t *testing.T) {
			n := startBound(t, 300)
			n.push("c", false, 50, 60, 70) // of which some spill
			n.pop("c")
			n.deliver(0)
			end.do(n)
			n.start()
			n.push("c", false, 146)
			c := n.open("c")
			refused(t, c.Push(nil), "c")
			c.Commit()
		})
	}
}

func TestQueuesAreCounted(t *testing.T) {
	n := newTrial(t)
	want := func(queues int) {
		t.Helper()
		if got := n.channels.Queues(); got != queues {
			t.Errorf("there are %d queues, want %d", got, queues)
		}
	}
	n.start()
	want(0)
	n.push("plain", false, 1)
	n.subscribe("c", "a")
	n.subscribe("c", "a")
	want(2)
	n.subscribe("c", "b")
	want(3)
	n.stop()
	n.start()
	want(3)
	n.remove("c")
	want(1)
}
