package neo

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/storagetest"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
)

func (c client) work(channel, subscriber string, records, bytes, batches uint64) *neoclient.Worker {
	c.t.Helper()
	w, err := c.Work(channel, subscriber, records, bytes, batches)
	c.must(err)
	return w
}

// wantJob takes a batch.
func (c client) wantJob(from *neoclient.Worker, number, tries uint64, want ...string) {
	c.t.Helper()
	job, err := from.Job()
	var got []string
	for _, r := range job.Records {
		got = append(got, string(r))
	}
	if err != nil || job.Number != number || job.Tries != tries || !slices.Equal(got, want) {
		c.t.Fatalf("got batch %d, tried %d times, %q, error %v, want %d, %d, %q", job.Number, job.Tries, got, err, number, tries, want)
	}
}

func (c client) wantEnd(from *neoclient.Worker, want byte) {
	c.t.Helper()
	if got, job, err := from.Next(); err != nil || got != want {
		c.t.Fatalf("got message %d with %+v, error %v, want %d", got, job, err, want)
	}
}

// wantNothing checks that the node has nothing to say: what it says next is the answer to a question.
func (c client) wantNothing() {
	c.t.Helper()
	c.push("x", "nothing")
	if parked := c.Parked(); len(parked) > 0 {
		c.t.Fatalf("got %v, want nothing", parked)
	}
}

func TestWork(t *testing.T) {
	n := start(t, nil)
	c, producer := n.connect(), n.connect()
	for i := range 7 {
		producer.push(fmt.Sprint(i), "jobs")
	}
	w := c.work("jobs", "", 2, 0, 2)
	c.wantJob(w, 1, 0, "0", "1")
	c.wantJob(w, 2, 0, "2", "3")
	c.wantNothing()
	c.must(w.Settle(neoclient.Confirm, 2)) // in any order
	c.wantJob(w, 3, 0, "4", "5")
	c.must(w.Settle(neoclient.Return, 1, 0))
	c.wantJob(w, 4, 1, "0", "1") // before what is newer
	c.must(w.Settle(neoclient.Release, 3))
	c.wantJob(w, 5, 0, "4", "5")
	c.must(w.Settle(neoclient.Confirm, 3)) // is not its any more
	c.must(w.Settle(neoclient.Confirm, 77))
	c.wantNothing()
	c.must(w.Settle(neoclient.Confirm, 4))
	c.wantJob(w, 6, 0, "6")
	c.must(w.Stop())
	c.wantNothing() // it still has two
	c.must(w.Settle(neoclient.Confirm, 5))
	c.must(w.Settle(neoclient.Return, 6, 1<<60))
	c.wantEnd(w, neoclient.Stopped)
	c.must(w.Settle(neoclient.Confirm, 6)) // too late
	c.wantNothing()
	if f := n.channels.Figures()[0]; f.Delivered.Records != 6 || f.Delayed.Records != 1 || f.Consumers != 0 {
		t.Errorf("got figures %+v, want 6 delivered, 1 delayed, no consumer", f)
	}
}

// A batch ends with the record that makes it long enough.
func TestWorkByBytes(t *testing.T) {
	n := start(t, nil)
	c := n.connect()
	for range 5 {
		c.push("22 bytes with a length", "jobs") // 30 of them
	}
	w := c.work("jobs", "", 0, 31, 1)
	c.wantJob(w, 1, 0, "22 bytes with a length", "22 bytes with a length")
	c.must(w.Settle(neoclient.Confirm, 1))
	c.wantJob(w, 2, 0, "22 bytes with a length", "22 bytes with a length")
	c.must(w.Settle(neoclient.Confirm, 2))
	c.wantJob(w, 3, 0, "22 bytes with a length")
}

// Three consumers with one job at a time have a third of the jobs each, if all take equally long.
func TestWorkersShare(t *testing.T) {
	n := start(t, nil)
	producer := n.connect()
	for i := range 1000 {
		producer.push(fmt.Sprint(i), "jobs")
	}
	clients := []client{n.connect(), n.connect(), n.connect()}
	var workers []*neoclient.Worker
	for _, c := range clients {
		workers = append(workers, c.work("jobs", "", 1, 0, 1))
	}
	var got [3]int
	for range 333 {
		for i, w := range workers {
			job, err := w.Job()
			clients[i].must(err)
			got[i]++
			clients[i].must(w.Settle(neoclient.Confirm, job.Number))
		}
	}
	if got[0] != 333 || got[1] != 333 || got[2] != 333 {
		t.Errorf("got %v jobs, want a third each", got)
	}
	n.until("all but one to be delivered", func() bool { return n.stored("jobs") == 1 })
}

// What a connection that ends leaves unsettled was tried once more, and comes again in its order.
func TestWorkRedelivery(t *testing.T) {
	n := start(t, nil)
	c, other := n.connect(), n.connect()
	for i := range 5 {
		other.push(fmt.Sprint(i), "jobs")
	}
	w := c.work("jobs", "s", 1, 0, 3)
	for i := range 3 {
		c.wantJob(w, uint64(i+1), 0, fmt.Sprint(i))
	}
	c.must(w.Settle(neoclient.Confirm, 2))
	c.wantJob(w, 4, 0, "3")
	c.Close()
	n.until("the records to be back", func() bool { return n.channels.Figures()[0].Redelivered.Records == 3 })
	again := other.work("jobs", "s", 9, 0, 3)
	other.wantJob(again, 1, 1, "0")
	other.wantJob(again, 2, 1, "2") // what lies apart is not in one batch
	other.wantJob(again, 3, 1, "3")
	other.must(again.Settle(neoclient.Confirm, 1))
	other.wantJob(again, 4, 0, "4")
}

func TestWorkOfARemovedChannel(t *testing.T) {
	n := start(t, nil)
	c, other := n.connect(), n.connect()
	waiting, busy, stopping := c.work("empty", "", 1, 0, 1), c.work("jobs", "", 1, 0, 1), c.work("more", "", 1, 0, 5)
	other.push("record", "jobs")
	other.push("record", "more")
	c.wantJob(busy, 1, 0, "record")
	c.wantJob(stopping, 1, 0, "record")
	c.must(stopping.Stop())
	c.wantNothing()
	for _, name := range []string{"empty", "jobs", "more"} {
		n.channels.Remove([]byte(name))
	}
	for _, w := range []*neoclient.Worker{waiting, busy, stopping} {
		c.wantEnd(w, neoclient.ChannelRemoved)
	}
	c.must(busy.Settle(neoclient.Confirm, 1))
	c.must(busy.Stop())
	c.wantEnd(busy, neoclient.Stopped)
	c.wantNothing()
}

// What can't be understood is refused, and costs nothing else.
func TestRequestsOfOursThatAreRefused(t *testing.T) {
	n := start(t, nil)
	c := n.connect()
	other := c.consume("other", "")
	for rule, r := range map[string]struct {
		payload []byte
		want    byte
	}{
		"Work without numbers":         {neoclient.Ours(139, "jobs", ""), 3},
		"Work with a number too many":  {neoclient.Ours(139, "jobs", "", 1, 2, 3, 4), 3},
		"Work of no channel":           {neoclient.Ours(139, "", "", 1, 2, 3), 2},
		"Work of a bad subscriber":     {neoclient.Ours(139, "jobs", "a@b", 1, 2, 3), 2},
		"Work of long names":           {neoclient.Ours(139, strings.Repeat("c", 251), "s", 1, 2, 3), 2},
		"PopWait without a time":       {neoclient.Ours(138, "jobs", ""), 5},
		"PopWait without a subscriber": {append([]byte{138, 1}, neoclient.Array("jobs")...), 5},
		"PopWait of a bad channel":     {neoclient.Ours(138, "a b", "", 1), 3},
		"PopWait of a bad subscriber":  {neoclient.Ours(138, "jobs", "*", 1), 3},
	} {
		id := c.NextID()
		c.must(c.Start(id, r.payload))
		if status, err := c.ReadByteFor(id); err != nil || status != r.want {
			t.Errorf("%s: got status %d, error %v, want %d", rule, status, err, r.want)
		}
	}
	c.push("record", "other")
	c.wantBatch(other, "record")
}

// A client that has much unsettled has to settle some before it gets more.
func TestWorkIsBounded(t *testing.T) {
	n := start(t, func(o *Options) { o.MaxUnconfirmed = 3 * batchCost })
	c := n.connect()
	for i := range 8 {
		c.push(fmt.Sprint(i), "jobs")
	}
	w := c.work("jobs", "", 1, 0, 100)
	for i := range 3 {
		c.wantJob(w, uint64(i+1), 0, fmt.Sprint(i))
	}
	c.wantNothing()
	c.must(w.Settle(neoclient.Confirm, 1))
	c.wantJob(w, 4, 0, "3")
	c.wantNothing()
}

func TestPopWait(t *testing.T) {
	n := start(t, nil)
	c, producer := n.connect(), n.connect()
	popped := func(c client, id uint64, want byte, value string) {
		t.Helper()
		if status, got, err := c.Popped(id); err != nil || status != want || string(got) != value {
			t.Errorf("got status %d, %q, error %v, want %d, %q", status, got, err, want, value)
		}
	}
	wait := func(c client, channel, subscriber string, milliseconds uint64) uint64 {
		t.Helper()
		id, err := c.PopWait(channel, subscriber, milliseconds)
		c.must(err)
		return id
	}
	const long = 1 << 50

	producer.push("there", "a")
	popped(c, wait(c, "a", "", long), 1, "there")
	popped(c, wait(c, "a", "", 0), 2, "")
	popped(c, wait(c, "a", "", 1), 2, "")

	// Served in the order of arrival, on one connection or several, also the empty record.
	first, second, third := wait(c, "a", "", long), wait(producer, "a", "", long), wait(c, "a", "", long)
	for _, value := range []string{"1", "", "3"} {
		producer.push(value, "a")
	}
	popped(c, first, 1, "1")
	popped(producer, second, 1, "")
	popped(c, third, 1, "3")

	// One that is cancelled takes nothing.
	first, second = wait(c, "a", "", long), wait(c, "a", "", long)
	c.must(c.Send(first, []byte{neoclient.Cancel}))
	c.must(c.Send(first, []byte{neoclient.Cancel})) // too late, which costs nothing
	popped(c, first, 2, "")
	producer.push("4", "a")
	popped(c, second, 1, "4")
	n.until("all to be delivered", func() bool { return n.stored("a") == 0 })

	// A Consume as somebody ends it; as nobody it shares.
	first = wait(c, "a", "", long)
	c.consume("a", "s")
	popped(c, first, 4, "")
	popped(c, wait(c, "a", "", long), 4, "")
	first = wait(c, "b", "", long)
	w := c.work("b", "", 1, 0, 1)
	producer.push("1", "b")
	producer.push("2", "b")
	popped(c, first, 1, "1")
	c.wantJob(w, 1, 0, "2")

	// A named subscriber gets its queue, as with Consume.
	first = wait(c, "b", "t", long)
	producer.push("3", "b")
	popped(c, first, 1, "3")

	first = wait(c, "gone", "", long)
	n.channels.Remove([]byte("gone"))
	popped(c, first, 2, "")

	// Nothing is left of those whose connection ends.
	wait(c, "c", "", long)
	c.Close()
	n.until("it to be gone", func() bool {
		for _, f := range n.channels.Figures() {
			if f.Channel == "c" {
				return f.Consumers == 0
			}
		}
		return false
	})
	producer.push("kept", "c")
	producer.wantPop("c", 1, "kept")
}

// Whatever ends a delivery without confirmation counts, and after the last one the record goes to
// the failed channel.
func TestFailedDeliveries(t *testing.T) {
	options := storagetest.Options(t, 1<<20)
	options.MaxDeliveries, options.FailedChannel = 2, "{channel}-failed"
	n := startWith(t, storagetest.Start(t, options), nil)
	producer := n.connect()
	producer.push("1", "jobs")
	producer.push("2", "jobs")
	back := func(records uint64) {
		t.Helper()
		n.until("the records to be back", func() bool { return figures(n, "jobs").Redelivered.Records == records })
	}
	c := n.connect()
	c.wantBatch(c.consume("jobs", ""), "1", "2")
	c.Close()
	back(2)

	c = n.connect()
	w := c.work("jobs", "", 1, 0, 2)
	c.wantJob(w, 1, 1, "1")
	c.wantJob(w, 2, 1, "2")
	c.must(w.Settle(neoclient.Release, 2)) // counts as nothing
	c.wantJob(w, 3, 1, "2")
	c.must(w.Settle(neoclient.Return, 3, 0))
	n.until("2 to be moved", func() bool { return n.stored("jobs-failed") == 1 })
	c.Close()
	n.until("1 to be moved", func() bool { return n.stored("jobs-failed") == 2 })
	if got := figures(n, "jobs"); got.Failed.Records != 2 || got.MemoryRecords != 0 {
		t.Errorf("got %+v, want 2 failed", got)
	}
	producer.wantPop("jobs-failed", 1, "2")
	producer.wantPop("jobs-failed", 1, "1")
}

func figures(n *node, channel string) (f storage.Figures) {
	for _, f := range n.channels.Figures() {
		if f.Channel == channel {
			return f
		}
	}
	return f
}
