package storage

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// bound is how long a concurrent test may take before it counts as stuck.
const bound = time.Minute

// wait waits for all of a group, and fails with the stacks of all goroutines if they
// don't end.
func wait(t *testing.T, group *sync.WaitGroup, state func() string) {
	t.Helper()
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(bound):
		stacks := make([]byte, 1<<20)
		t.Fatalf("stuck: %s\n%s", state(), stacks[:runtime.Stack(stacks, true)])
	}
}

// stress is producers and consumers of one subscriber, each a goroutine.
type stress struct {
	t        *testing.T
	channels *Channels
	storage  *Storage

	producers, records, consumers int

	delivered [][]atomic.Int32 // by producer and record, how often
	left      atomic.Int64     // records not delivered
	acks      chan struct{}    // if there is one, producers wait for each record's delivery
}

func newStress(t *testing.T, ringSize uint64, producers, records, consumers int) *stress {
	s := &stress{t: t, channels: newTestChannels(t, ringSize), producers: producers, records: records, consumers: consumers}
	s.storage = subscribe(t, s.channels, "c", "s")
	s.delivered = make([][]atomic.Int32, producers)
	for i := range s.delivered {
		s.delivered[i] = make([]atomic.Int32, records)
	}
	s.left.Store(int64(producers * records))
	return s
}

// run lets all work until every record is delivered. The consumer that delivers the last
// one removes the channel, which sends the others home.
func (s *stress) run(consume func(id int)) {
	s.t.Helper()
	var group sync.WaitGroup
	for id := range s.producers {
		group.Go(func() { s.produce(id) })
	}
	for id := range s.consumers {
		group.Go(func() { consume(id) })
	}
	wait(s.t, &group, s.state)
	for p := range s.delivered {
		for r := range s.delivered[p] {
			if n := s.delivered[p][r].Load(); n != 1 {
				s.t.Errorf("record %d of producer %d: delivered %d times, want once", r, p, n)
			}
		}
	}
	st := s.storage
	if st.out != 0 || st.woken != 0 || st.waiting.len != 0 || len(st.consumers) != 0 || len(st.parts) != 0 {
		s.t.Errorf("at the end: %s, %d parts", s.state(), len(st.parts))
	}
}

func (s *stress) state() string {
	st := s.storage
	st.channel.mu.Lock()
	defer st.channel.mu.Unlock()
	return fmt.Sprintf("%d records not delivered, %d available, %d runs out, consumers: %d, %d wait, %d woken",
		s.left.Load(), st.available(), st.out, len(st.consumers), st.waiting.len, st.woken)
}

// produce pushes numbered records, most of them one by one.
func (s *stress) produce(id int) {
	rng := rand.New(rand.NewPCG(uint64(id), 1))
	for n := 0; n < s.records; {
		c, err := s.channels.Open([]byte("c"))
		if err != nil {
			s.t.Error(err)
			return
		}
		burst := min(1+rng.IntN(3)*rng.IntN(8), s.records-n)
		if s.acks != nil {
			burst = 1
		}
		var run []byte
		for range burst {
			payload := binary.LittleEndian.AppendUint32(nil, uint32(id))
			payload = binary.LittleEndian.AppendUint32(payload, uint32(n))
			run = appendRecord(run, append(payload, make([]byte, rng.IntN(20))...))
			n++
		}
		if burst == 1 {
			err = c.Push(run[ring.HeaderSize:])
		} else {
			err = c.PushRun(run, burst)
		}
		c.Commit()
		if err != nil {
			s.t.Error(err)
			return
		}
		if s.acks != nil {
			<-s.acks
		} else if rng.IntN(4) == 0 {
			runtime.Gosched()
		}
	}
}

func (s *stress) attach(c *Consumer, b bell) bool {
	if !s.storage.channel.Lock() {
		return false
	}
	c.Attach(s.storage, b)
	s.storage.channel.Commit()
	return true
}

// count counts the records in the first sent bytes of runs as delivered.
func (s *stress) count(runs []*Run, sent int, each func(producer, record int)) {
	for _, r := range runs {
		for rest := r.Bytes(); len(rest) > 0; {
			record, _ := ring.Cut(rest, 1, 1)
			rest = rest[len(record):]
			if sent -= len(record); sent < 0 {
				return
			}
			producer := int(binary.LittleEndian.Uint32(record[ring.HeaderSize:]))
			number := int(binary.LittleEndian.Uint32(record[ring.HeaderSize+4:]))
			s.delivered[producer][number].Add(1)
			each(producer, number)
			s.left.Add(-1)
			if s.acks != nil {
				s.acks <- struct{}{}
			}
		}
	}
}

func TestConcurrentConsumersGetEveryRecordOnceInOrder(t *testing.T) {
	for _, ringSize := range []uint64{100, 2000, 1 << 20} {
		t.Run(fmt.Sprintf("ring of %d", ringSize), func(t *testing.T) {
			s := newStress(t, ringSize, 3, 5000, 4)
			s.run(func(int) {
				var c Consumer
				b := make(bell, 1)
				if !s.attach(&c, b) {
					return // the others were done before it came
				}
				last := make([]int, s.producers)
				for runs := []*Run(nil); ; {
					var removed bool
					var err error
					if runs, removed, err = c.Next(runs, 300, false); err != nil {
						t.Error(err)
					}
					if removed {
						c.Leave(nil, 0)
						return
					}
					if len(runs) == 0 {
						<-b
						continue
					}
					s.count(runs, everything, func(producer, record int) {
						if record < last[producer] {
							t.Errorf("record %d of producer %d came after %d", record, producer, last[producer])
						}
						last[producer] = record
					})
					if s.left.Load() == 0 {
						remove(s.t, s.channels, "c")
					}
				}
			})
		})
	}
}

// Consumers that pause, and that leave when a part is sent and come again: what they had
// and did not send goes to others, and they pass on what they were woken for.
func TestConcurrentConsumersThatComeAndGoLoseNothing(t *testing.T) {
	for _, ringSize := range []uint64{100, 2000} {
		t.Run(fmt.Sprintf("ring of %d", ringSize), func(t *testing.T) {
			s := newStress(t, ringSize, 3, 4000, 5)
			s.run(func(id int) {
				rng := rand.New(rand.NewPCG(uint64(id), 2))
				for s.visit(rng) {
				}
			})
		})
	}
}

// No later push makes up for a wake-up that is lost.
func TestConcurrentConsumersAreWokenForEveryRecord(t *testing.T) {
	for _, consumers := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("%d consumers", consumers), func(t *testing.T) {
			s := newStress(t, 1000, 1, 8000, consumers)
			s.acks = make(chan struct{}, 1)
			s.run(func(id int) {
				rng := rand.New(rand.NewPCG(uint64(id), 3))
				for s.visit(rng) {
				}
			})
		})
	}
}

// visit is a consumer from Attach to Leave. It reports whether the channel still exists.
func (s *stress) visit(rng *rand.Rand) bool {
	var c Consumer
	b := make(bell, 1)
	if !s.attach(&c, b) {
		return false
	}
	ignore := func(int, int) {}
	for runs := []*Run(nil); ; {
		if s.left.Load() == 0 {
			remove(s.t, s.channels, "c")
		}
		var removed bool
		var err error
		if runs, removed, err = c.Next(runs, 1+rng.IntN(500), true); err != nil {
			s.t.Error(err)
		}
		if removed {
			c.Leave(nil, 0)
			return false
		}
		if len(runs) == 0 {
			if rng.IntN(3) == 0 && s.left.Load() > 0 {
				c.Leave(nil, 0) // perhaps woken by now
				return true
			}
			<-b
			if rng.IntN(8) == 0 {
				runs = c.Pause(runs)
			}
			continue
		}
		if rng.IntN(6) == 0 {
			size := 0
			for _, r := range runs {
				size += len(r.Bytes())
			}
			sent := rng.IntN(size + 1)
			s.count(runs, sent, ignore)
			c.Leave(runs, sent)
			return true
		}
		s.count(runs, everything, ignore)
	}
}
