package storage

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// mark lets some time pass and marks, every few steps.
func (w *world) mark() {
	if w.step%3 > 0 {
		return
	}
	now := time.Unix(int64(w.step), 0)
	w.channels.Mark(now)
	for _, q := range w.queues {
		for _, r := range q.records {
			if r.seen.IsZero() {
				r.seen = now
			}
		}
	}
}

// checkFigures compares what is counted, and the age of the oldest record.
func (w *world) checkFigures(q *queue) {
	if q.removed {
		return
	}
	f := q.real.figures()
	f.Popped = Moved{}
	if f.Counters != q.counters {
		w.fatalf("%s: counted %+v, want %+v", q.name, f.Counters, q.counters)
	}
	if f.Consumers != len(q.readers) || f.Waiting != len(q.idle) {
		w.fatalf("%s: %d consumers, %d waiting, want %d, %d", q.name, f.Consumers, f.Waiting, len(q.readers), len(q.idle))
	}
	// Records that are delivered never count, those that are on their way have a figure of their own.
	waiting, out := q.count(recordWaits), q.count(recordOut)
	if f.Unsettled != out || f.UnsettledSince.IsZero() == (out.Records > 0) {
		w.fatalf("%s: unsettled %+v since %v, want %+v", q.name, f.Unsettled, f.UnsettledSince, out)
	}
	later := q.count(recordDelayed)
	if f.Delayed != later {
		w.fatalf("%s: delayed %+v, want %+v", q.name, f.Delayed, later)
	}
	all := waiting.plus(out).plus(later)
	if got := (Moved{f.MemoryRecords + f.OverflowRecords, f.MemoryBytes - 8*f.MemoryRecords + f.OverflowBytes}); got != all {
		w.fatalf("%s: figures of %+v, want %+v", q.name, got, all)
	}
	if got, want := uint64(q.real.bytes), all.Bytes+ring.HeaderSize*all.Records; got != want {
		w.fatalf("%s: %d bytes count for its bound, want %d", q.name, got, want)
	}
	var want time.Time
	if len(q.records) > 0 {
		want = q.records[0].seen
	}
	if !f.Oldest.Equal(want) {
		w.fatalf("%s: the oldest record is from %v, want %v", q.name, f.Oldest, want)
	}
}

// A removed channel goes on to count in the totals.
func TestCountersOfRemovedChannels(t *testing.T) {
	cs := newTestChannels(t, 100)
	push(t, cs, "c", "one", "two")
	remove(t, cs, "c")
	push(t, cs, "c", "three")
	if got, want := cs.Removed().Pushed, (Moved{2, 6}); got != want {
		t.Errorf("removed: got %+v, want %+v", got, want)
	}
	if got, want := cs.Figures()[0].Pushed, (Moved{1, 5}); got != want {
		t.Errorf("the new channel of that name: got %+v, want %+v", got, want)
	}
}

// However long a backlog grows, and whenever it is looked at while it drains, the age of its
// oldest record is not too low and only a little too high.
func TestAgesOfALongBacklog(t *testing.T) {
	const second = int64(time.Second)
	for _, span := range []int64{1000, 100_000, 1_000_000} { // seconds
		t.Run(fmt.Sprint(span), func(t *testing.T) {
			var m marks
			now, pushed := int64(0), []int64{}
			at := func(seconds int64) time.Time { return time.Unix(0, seconds*second) }
			for now < span {
				now += 1 + rand.Int64N(1+span/1000)
				pushed = append(pushed, now)
				m.note(at(now), int64(len(pushed)), 0)
			}
			if len(m) > mostMarks {
				t.Fatalf("%d marks, want at most %d", len(m), mostMarks)
			}
			worst := 0.0
			for i, p := range pushed {
				age, got := now-p, now-m.seen(int64(i)).Unix()
				if got < age {
					t.Fatalf("a record of age %d s is said to be %d s old", age, got)
				}
				worst = max(worst, float64(got-age)/float64(age+span/1000))
			}
			if worst > 0.25 {
				t.Errorf("an age is %.0f %% too high", 100*worst)
			}
			t.Logf("%d marks, the worst age is %.1f %% too high", len(m), 100*worst)
		})
	}
}

// The age of a record that stays the oldest grows as time passes, and no faster.
func TestAgeOfTheRecordThatStaysTheOldest(t *testing.T) {
	cs := newTestChannels(t, 1<<20)
	start := time.Unix(1000, 0)
	for i := range 2 * mostMarks {
		push(t, cs, "c", "record")
		cs.Mark(start.Add(time.Duration(i) * time.Second))
		if got := cs.Figures()[0].Oldest; !got.Equal(start) {
			t.Fatalf("after %d s: the oldest record is from %v, want %v", i, got, start)
		}
	}
}

func TestMarkingAllocatesNothing(t *testing.T) {
	cs := newTestChannels(t, 1000)
	now := time.Unix(0, 0)
	var figures []Figures
	step := func() {
		now = now.Add(time.Second)
		push(t, cs, "c", "a record that makes the ring overflow soon")
		cs.Mark(now)
		figures = cs.AppendFigures(figures[:0])
	}
	for range 2 * mostMarks {
		step()
	}
	perPush := testing.AllocsPerRun(100, func() { push(t, cs, "c", "record") })
	if n := testing.AllocsPerRun(100, step); n > perPush+2 { // the lists of the channels
		t.Errorf("%v allocations, want %v", n, perPush+2)
	}
}

// What a start finds counts as first seen then, and as not pushed.
func TestFiguresAfterARestart(t *testing.T) {
	n := newTrial(t)
	n.sizes["c"] = 100
	n.start()
	n.push("c", false, 40, 40, 40) // two in the ring, one in the overflow
	n.channels.Mark(time.Unix(1, 0))
	n.stop()
	n.start()
	f := n.channels.Figures()[0]
	if f.Counters != (Counters{}) || !f.Oldest.IsZero() || f.MemoryRecords+f.OverflowRecords != 3 {
		t.Fatalf("found: %+v, want 3 records, nothing counted, of unknown age", f)
	}
	restart := time.Unix(100, 0)
	n.channels.Mark(restart)
	n.push("c", false, 1)
	n.channels.Mark(restart.Add(time.Second))
	for left := 4; left > 0; left-- {
		want := restart
		if left == 1 {
			want = restart.Add(time.Second)
		}
		if got := n.channels.Figures()[0].Oldest; !got.Equal(want) {
			t.Errorf("with %d records left: the oldest is from %v, want %v", left, got, want)
		}
		n.pop("c")
		n.deliver(0)
	}
	if got := n.channels.Figures()[0]; !got.Oldest.IsZero() || got.Delivered.Records != 4 {
		t.Errorf("drained: got %+v, want 4 delivered, and no oldest record", got)
	}
}

// A client that does not confirm what it has got does not make a queue look full: what others
// have delivered behind that does not count.
func TestAStalledConsumerDoesNotHideWhatIsDelivered(t *testing.T) {
	for _, size := range []uint64{1 << 20, 1000, 0} {
		n := newTrial(t)
		n.sizes["c"] = size
		n.start()
		n.subscribe("c", "s")
		n.push("c", false, 10)
		n.channels.Mark(time.Unix(100, 0))
		n.next(n.attach("c", "s"), 1) // stalls
		working := n.attach("c", "s")
		n.channels.Mark(time.Unix(200, 0))
		for range 500 {
			n.push("c", false, 20)
			n.next(working, 1)
		}
		n.push("c", false, 30, 30)
		f := n.channels.Figures()[0]
		if got, want := f.MemoryRecords+f.OverflowRecords, uint64(4); got != want {
			t.Errorf("ring of %d: %d records, want %d", size, got, want)
		}
		if got, want := f.MemoryBytes-8*f.MemoryRecords+f.OverflowBytes, uint64(10+20+30+30); got != want {
			t.Errorf("ring of %d: %d bytes, want %d", size, got, want)
		}
		if want := (Moved{2, 10 + 20}); f.Unsettled != want || !f.UnsettledSince.Equal(time.Unix(100, 0)) {
			t.Errorf("ring of %d: unsettled %+v since %v, want %+v since 100 s", size, f.Unsettled, f.UnsettledSince, want)
		}
		if !f.Oldest.Equal(time.Unix(100, 0)) || f.Capacity != size {
			t.Errorf("ring of %d: the oldest is from %v, capacity %d", size, f.Oldest, f.Capacity)
		}
	}
}
