package neo

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Requests of ours and those of D clients share a connection, wherever their bytes are split.
func TestNeoWorkAmongOtherRequests(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := clients.Neo(t, node)
	jobs, err := c.Work("jobs", "", 1, 0, 2)
	c.Must(err)
	k := c.MustConsume("batches", "")

	pop, push, late := c.NextID(), c.NextID(), c.NextID()
	stream := bytes.Join([][]byte{
		neoclient.RequestFrame(pop, neoclient.Ours(138, "waited", "", 1<<40)),
		neoclient.RequestFrame(push, neoclient.PushPayload([]byte("v"), "jobs", "batches", "waited")),
		neoclient.RequestFrame(jobs.ID, append([]byte{neoclient.Return, 99}, make([]byte, 15)...)), // has no such batch
		neoclient.RequestFrame(pop, []byte{neoclient.Cancel}),
		neoclient.RequestFrame(late, append([]byte{neoclient.Confirm, 1}, make([]byte, 7)...)), // of a Work that is over
	}, nil)
	for _, size := range []int{1, 2, 7, 19, len(stream)} {
		for part := range slices.Chunk(stream, size) {
			c.Must(c.Write(part))
		}
		c.Must(c.Supported(pop))
		c.Must(c.Supported(push))
		if status, err := c.ReadByteFor(push); err != nil || status != clients.Pushed {
			t.Fatalf("parts of %d bytes: got Push status %02x, %v", size, status, err)
		}
		// The Cancel may have been faster than the record.
		switch status, value, err := c.Popped(pop); {
		case err != nil:
			t.Fatal(err)
		case status == clients.PopEmpty:
			c.WantPop("waited", "v")
		case string(value) != "v":
			t.Fatalf("parts of %d bytes: got %q", size, value)
		}
		job, err := jobs.Job()
		c.Must(err)
		if len(job.Records) != 1 || string(job.Records[0]) != "v" || job.Tries != 0 {
			t.Fatalf("parts of %d bytes: got %+v", size, job)
		}
		c.Must(jobs.Settle(neoclient.Confirm, job.Number))
		k.WantBatch("v")
		k.Send(neoclient.Continue)
	}
	c.Alive()
}

// Three consumers that take jobs one by one get a third each, though all of a thousand are there when
// the first one comes. Each has done its job when the test says so.
func TestNeoWorkersShareFairly(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	producer := clients.Neo(t, node)
	for number := range 1000 {
		producer.MustPush(clients.Record(number, 100), "jobs")
	}
	var conns [3]*clients.NeoClient
	var workers [3]*neoclient.Worker
	for i := range workers {
		conns[i] = clients.Neo(t, node)
		var err error
		workers[i], err = conns[i].Work("jobs", "", 1, 0, 1)
		conns[i].Must(err)
	}
	seen := map[string]bool{}
	for range 333 { // in each of which every one gets a job, or the test does not end
		for i, w := range workers {
			job, err := w.Job()
			conns[i].Must(err)
			if len(job.Records) != 1 || seen[string(job.Records[0])] {
				t.Fatalf("got %+v, want a new record", job)
			}
			seen[string(job.Records[0])] = true
			conns[i].Must(w.Settle(neoclient.Confirm, job.Number))
		}
	}
}

// Whenever the node is killed while records move to the failed channel, none of them is lost.
func TestNeoKilledWhileRecordsMove(t *testing.T) {
	t.Parallel()
	const count = 2000
	random := nodetest.Random(t)
	node := nodetest.Start(t, nodetest.Set("Consume.max_deliveries", "1"))
	producer := clients.Neo(t, node)
	for number := range count {
		producer.MustPush(clients.Record(number, 40), "jobs")
	}
	for range 3 {
		killed := make(chan struct{})
		time.AfterFunc(time.Duration(random.Intn(int(20*time.Millisecond))), func() {
			node.Kill()
			close(killed)
		})
		failAll(node)
		<-killed
		node.Restart()
	}
	seen := make(map[string]bool)
	for _, channel := range []string{"jobs", "jobs-failed"} {
		c := clients.Neo(t, node)
		c.MustPush("the end", channel)
		w, err := c.Work(channel, "", 0, 0, 1)
		c.Must(err)
		for last := ""; last != "the end"; {
			job, err := w.Job()
			c.Must(err)
			for _, r := range job.Records {
				last = string(r)
				seen[last] = true
			}
			c.Must(w.Settle(neoclient.Confirm, job.Number))
		}
	}
	for number := range count {
		if !seen[clients.Record(number, 40)] {
			t.Fatalf("record %d is in neither channel", number)
		}
	}
}

// failAll lets deliveries fail until the node is gone.
func failAll(node *nodetest.Node) {
	c, err := neoclient.Connect(node.Neo(), clients.TestLogin())
	if err != nil {
		return
	}
	defer c.Close()
	c.Timeout = nodetest.Patience
	w, err := c.Work("jobs", "", 1, 0, 10)
	for err == nil {
		var job neoclient.Job
		if job, err = w.Job(); err == nil {
			err = w.Settle(neoclient.Return, job.Number, 0)
		}
	}
}

// A record that was returned and delayed is still there after a kill, and so is one in the hands of
// a client; the count of tries begins anew.
func TestNeoReturnedRecordsSurviveAKill(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := clients.Neo(t, node)
	for number := range 4 {
		c.MustPush(fmt.Sprint(number), "jobs")
	}
	w, err := c.Work("jobs", "", 1, 0, 3)
	c.Must(err)
	for range 3 {
		_, err := w.Job()
		c.Must(err)
	}
	c.Must(w.Settle(neoclient.Return, 1, 1<<40))
	c.Must(w.Settle(neoclient.Confirm, 2))
	_, err = w.Job() // 3 of the queue: what was said before is done
	c.Must(err)
	node.Kill()
	node.Restart()
	c = clients.Neo(t, node)
	w, err = c.Work("jobs", "", 1, 0, 3)
	c.Must(err)
	for _, want := range []string{"0", "2", "3"} {
		job, err := w.Job()
		c.Must(err)
		if len(job.Records) != 1 || string(job.Records[0]) != want || job.Tries != 0 {
			t.Errorf("got %+v, want %s", job, want)
		}
	}
}
