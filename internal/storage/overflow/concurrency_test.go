package overflow

import (
	"fmt"
	"sync"
	"testing"
)

// Several owners push, take and publish at once while the head is cut off and the index is
// written, on files of the operating system.
func TestQueuesMayBeUsedConcurrently(t *testing.T) {
	dir, _ := realDir(t, "")
	owner := newPublished()
	f, _ := owner.mustOpen(t, dir)
	f.canCut = probeFile(dir) == nil
	const owners = 4
	records := int(rounds(20_000))
	var wg sync.WaitGroup
	var mu sync.Mutex // guards owner.states
	queues := make([]*Queue, owners)
	for i := range queues {
		q, err := f.Create(fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		queues[i] = q
		wg.Go(func() {
			if err := useQueue(q, records, func() {
				mu.Lock()
				owner.states[q.name] = q.State()
				mu.Unlock()
				q.Published()
			}); err != nil {
				t.Error(err)
			}
		})
	}
	stop := make(chan struct{})
	var ticker sync.WaitGroup
	ticker.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := f.CutHead(); err != nil {
				t.Error(err)
			}
			mu.Lock()
			entries := owner.entries()
			mu.Unlock()
			if err := f.WriteIndex(entries); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	close(stop)
	ticker.Wait()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if entries, err := Recover(dir, silent); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// useQueue passes records through a queue and checks their order. Every now and then the
// queue becomes empty.
func useQueue(q *Queue, records int, publish func()) error {
	pushed, popped := 0, 0
	payload := func(n int) string { return fmt.Sprintf("%s-%d-%0*d", q.name, n, n%700, 0) }
	for popped < records {
		for range 1 + pushed%50 {
			if pushed < records {
				if err := q.Push([]byte(payload(pushed))); err != nil {
					return err
				}
				pushed++
			}
		}
		publish()
		want := pushed % 3 * 20
		if pushed == records {
			want = 0
		}
		for q.Held() > want {
			run, n, err := q.Take(10_000, 100)
			if err != nil {
				return err
			}
			for _, got := range payloads(run) {
				if got != payload(popped) {
					return fmt.Errorf("got %.40q, want %.40q", got, payload(popped))
				}
				popped++
			}
			q.Free(len(run), n)
		}
		publish()
	}
	return nil
}
