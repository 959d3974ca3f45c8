package storage

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// With everything that is done in the background and periodically, and stops of either kind in
// between, each record that was acknowledged is delivered once, and in order.
func TestRestartsWithBackgroundWork(t *testing.T) {
	const lives, channels, records = 4, 3, 300
	options := realOptions(t.TempDir())
	options.RingDir = t.TempDir()
	options.RingSize = func(string) uint64 { return 20_000 }
	options.Sync = time.Millisecond
	var pushed, popped [channels]int // records of each channel, which are numbered
	for life := range lives {
		options.Keep = life%2 == 0
		options.RingInFile = life != 1
		cs := mustLoad(t, options)
		if err := cs.Serve(); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for i := range channels {
			name := fmt.Sprintf("c%d", i)
			group.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(life), uint64(i)))
				for range records {
					c, err := cs.Open([]byte(name))
					if err != nil {
						t.Error(err)
						return
					}
					if err := c.Push(fmt.Appendf(nil, "%d:%s", pushed[i], strings.Repeat("x", rng.IntN(20_000)))); err != nil {
						t.Error(err)
					}
					c.Commit()
					pushed[i]++
				}
			})
			group.Go(func() {
				var held *Run // is settled out of turn
				for n := range records * (life + 1) / 2 {
					run := popOne(t, cs, name)
					if run == nil {
						continue
					}
					var number int
					if fmt.Sscanf(string(run.Payload()), "%d:", &number); number != popped[i] {
						t.Errorf("%s gave record %d, want %d", name, number, popped[i])
					}
					popped[i]++
					switch {
					case n%50 == 0 && held == nil:
						held = run
					case n%50 == 30 && held != nil:
						run.Deliver()
						held.Deliver()
						held = nil
					default:
						run.Deliver()
					}
				}
				if held != nil {
					held.Deliver()
				}
			})
		}
		group.Go(func() {
			for range 20 {
				cs.trim()
				cs.Mark(time.Now())
				cs.Figures()
			}
		})
		wait(t, &group, func() string { return "restarts" })
		if err := cs.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cs := serve(t, options)
	for i := range channels {
		left := 0
		for run := popOne(t, cs, fmt.Sprintf("c%d", i)); run != nil; run = popOne(t, cs, fmt.Sprintf("c%d", i)) {
			run.Deliver()
			left++
		}
		if popped[i]+left != pushed[i] || pushed[i] != lives*records {
			t.Errorf("channel %d: %d records were delivered and %d left, of %d", i, popped[i], left, pushed[i])
		}
	}
}

// popOne takes the oldest record, if there is one.
func popOne(t *testing.T, cs *Channels, channel string) *Run {
	c := cs.Find([]byte(channel))
	if c == nil || !c.Lock() {
		return nil
	}
	defer c.Commit()
	run, err := c.Pop(false)
	if err != nil {
		t.Error(err)
	}
	return run
}
