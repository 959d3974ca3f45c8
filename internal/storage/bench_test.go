package storage

import (
	"fmt"
	"testing"
)

type silent struct{}

func (silent) Wake() {}

// pushPop returns a function that pushes, pops and delivers one record.
func pushPop(t testing.TB) func() {
	batch := NewBatch(newTestChannels(t, 1<<20))
	name, payload := []byte("channel"), make([]byte, 100)
	return func() {
		c, err := batch.Open(name)
		if err == nil {
			err = c.Push(payload)
		}
		batch.End()
		if err != nil {
			t.Fatal(err)
		}
		run, err := batch.Find(name).Pop(true)
		batch.End()
		if err != nil || run == nil {
			t.Fatalf("Pop: %v, %v", run, err)
		}
		run.Deliver()
	}
}

// pushNext returns a function that pushes records at once, which a waiting consumer then
// takes and settles.
func pushNext(t testing.TB, records int) (do func(), size int) {
	channels := newTestChannels(t, 1<<20)
	batch := NewBatch(channels)
	name := []byte("channel")
	var run []byte
	for range records {
		run = appendRecord(run, make([]byte, 100))
	}
	var consumer Consumer
	s := subscribe(t, channels, string(name), "")
	s.channel.Lock()
	consumer.Attach(s, silent{})
	s.channel.Commit()
	var runs []*Run
	return func() {
		c, err := batch.Open(name)
		if err == nil {
			err = c.PushRun(run, records)
		}
		batch.End()
		if err != nil {
			t.Fatal(err)
		}
		taken := 0
		for more := true; more; {
			if runs, _, err = consumer.Next(runs, len(run), true); err != nil {
				t.Fatal(err)
			}
			for _, r := range runs {
				taken += r.Records()
			}
			more = len(runs) > 0
		}
		if taken != records {
			t.Fatalf("%d records taken, want %d", taken, records)
		}
	}, len(run)
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	next, _ := pushNext(t, 600)
	for what, do := range map[string]func(){"push and pop": pushPop(t), "push run and next": next} {
		if n := testing.AllocsPerRun(100, do); n > 0 {
			t.Errorf("%s: %v allocations, want 0", what, n)
		}
	}
}

func BenchmarkPushPop(b *testing.B) {
	do := pushPop(b)
	do()
	b.ReportAllocs()
	for b.Loop() {
		do()
	}
}

func BenchmarkPushRunNext(b *testing.B) {
	const records = 600
	do, size := pushNext(b, records)
	do()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		do()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
}

// Records that are delivered behind older ones, as with several readers of a queue: of every
// two runs the later one first. With others outstanding, a thousand readers hold back one each.
func BenchmarkDeliverOutOfTurn(b *testing.B) {
	for _, overflow := range []bool{false, true} {
		for _, outstanding := range []int{0, 1000} {
			place := "ring"
			if overflow {
				place = "overflow"
			}
			b.Run(fmt.Sprintf("%s/outstanding=%d", place, outstanding), func(b *testing.B) {
				deliverOutOfTurn(b, overflow, outstanding)
			})
		}
	}
}

func deliverOutOfTurn(b *testing.B, inOverflow bool, outstanding int) {
	const each = 100 // records in a run
	options := realOptions(b.TempDir())
	options.RingSize = func(string) uint64 {
		if inOverflow {
			return 0
		}
		return 8 << 20
	}
	channels := serve(b, options)
	c, err := channels.Open([]byte("channel"))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Commit()
	var run []byte
	for range each {
		run = appendRecord(run, make([]byte, 100))
	}
	s := c.storages[0]
	take := func(enough int) *Run {
		if err := c.PushRun(run, each); err != nil {
			b.Fatal(err)
		}
		s.commit()
		r, err := s.take(enough, everything, false)
		if r == nil {
			b.Fatalf("take: no run, %v", err)
		}
		return r
	}
	var held []*Run
	for range outstanding {
		held = append(held, take(1))
	}
	for b.Loop() {
		older, newer := take(len(run)), take(len(run))
		s.deliver(newer)
		s.deliver(older)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*2*each), "ns/record")
	for _, r := range held {
		s.deliver(r)
	}
}
