package overflow

import (
	"fmt"
	"testing"
)

// benchQueues returns some queues in a directory of the operating system.
func benchQueues(b *testing.B, n int) (*File, []*Queue) {
	dir, _ := realDir(b, "")
	f, err := Open(dir, silent, Global{}, func(Global) {})
	if err != nil {
		b.Fatal(err)
	}
	queues := make([]*Queue, n)
	for i := range queues {
		if queues[i], err = f.Create(fmt.Sprintf("q%d", i)); err != nil {
			b.Fatal(err)
		}
	}
	b.Cleanup(func() { f.Abandon() })
	return f, queues
}

// drainBench takes and frees all records in runs as a consumer does.
func drainBench(b *testing.B, q *Queue) (records int) {
	for q.Waiting() > 0 {
		run, n, err := q.Take(100_000, 1<<20)
		if err != nil || n == 0 {
			b.Fatal(n, err)
		}
		q.Free(len(run), n)
		records += n
	}
	return records
}

// The benchmarks work through rounds of 300,000 records, so that the file stays at 40 MB.
const benchRecords = 300_000

func BenchmarkPush(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("queues=%d", n), func(b *testing.B) {
			_, queues := benchQueues(b, n)
			payload := make([]byte, 100)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := queues[i%n].Push(payload); err != nil {
					b.Fatal(err)
				}
				if i%benchRecords == benchRecords-1 {
					b.StopTimer()
					for _, q := range queues {
						drainBench(b, q)
						q.Published()
					}
					b.StartTimer()
				}
			}
		})
	}
}

func BenchmarkPushRun(b *testing.B) {
	_, queues := benchQueues(b, 1)
	const records = 64
	var run []byte
	for range records {
		run = append(run, makeRun(string(make([]byte, 100)))...)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := queues[0].PushRun(run, records); err != nil {
			b.Fatal(err)
		}
		if i%(benchRecords/records) == 0 {
			b.StopTimer()
			drainBench(b, queues[0])
			queues[0].Published()
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
}

func BenchmarkTake(b *testing.B) {
	for _, n := range []int{1, 100} {
		for _, most := range []int{1, 1 << 20} {
			b.Run(fmt.Sprintf("queues=%d/most=%d", n, most), func(b *testing.B) {
				_, queues := benchQueues(b, n)
				payload := make([]byte, 100)
				b.ReportAllocs()
				done := 0
				for i := 0; done < b.N; i++ {
					q := queues[i%n]
					if q.Waiting() == 0 {
						b.StopTimer()
						for _, q := range queues {
							drainBench(b, q)
							q.Published()
						}
						for i := range benchRecords {
							if err := queues[i%n].Push(payload); err != nil {
								b.Fatal(err)
							}
						}
						b.StartTimer()
					}
					run, records, err := q.Take(100_000, most)
					if err != nil {
						b.Fatal(err)
					}
					q.Free(len(run), records)
					done += records
				}
			})
		}
	}
}

// BenchmarkRecover goes through the files of a clean stop.
func BenchmarkRecover(b *testing.B) {
	const records = 1_000_000
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("queues=%d", n), func(b *testing.B) {
			dir, _ := realDir(b, "")
			f, _ := newPublished().mustOpen(b, dir)
			queues := make([]*Queue, n)
			for i := range queues {
				queues[i], _ = f.Create(fmt.Sprintf("q%d", i))
			}
			payload := make([]byte, 100)
			for i := range records {
				if err := queues[i%n].Push(payload); err != nil {
					b.Fatal(err)
				}
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Recover(dir, silent); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
		})
	}
}
