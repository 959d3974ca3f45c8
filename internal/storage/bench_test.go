package storage

import "testing"

type silent struct{}

func (silent) Wake() {}

// pushPop returns a function that pushes, pops and delivers one record.
func pushPop(t testing.TB) func() {
	batch := NewBatch(newTestChannels(1 << 20))
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
	channels := newTestChannels(1 << 20)
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
	s.channel.Unlock()
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
