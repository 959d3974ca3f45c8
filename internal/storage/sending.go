package storage

import "slices"

// Sending is runs whose records are in the output of a connection and count as delivered
// once they are sent. The zero value is empty. It belongs to one goroutine.
type Sending struct {
	runs []sendingRun // by end
}

type sendingRun struct {
	run *Run
	end uint64 // position in the output behind the last byte of the reply
}

// Add adds a run whose records end at that position of the output.
func (s *Sending) Add(r *Run, end uint64) {
	s.runs = append(s.runs, sendingRun{r, end})
	if n := len(s.runs); n > 1 && end < s.runs[n-2].end {
		slices.SortStableFunc(s.runs, func(a, b sendingRun) int { return int(int64(a.end - b.end)) })
	}
}

// Empty reports that there are no runs.
func (s *Sending) Empty() bool { return len(s.runs) == 0 }

// Sent settles the runs that end within the first sent bytes of the output. Consecutive
// ones of a channel take its lock, and what has to survive a crash is stored, once.
func (s *Sending) Sent(sent uint64) {
	n := 0
	for n < len(s.runs) && s.runs[n].end <= sent {
		n += settleFirst(s.runs[n:], sent)
	}
	if n > 0 {
		s.runs = s.runs[:copy(s.runs, s.runs[n:])]
	}
}

// settleFirst settles the first of the runs, and those behind it that are of the same
// storage and sent too. It returns how many these are.
func settleFirst(runs []sendingRun, sent uint64) (n int) {
	storage := runs[0].run.storage
	storage.channel.mu.Lock()
	defer storage.channel.mu.Unlock()
	for n < len(runs) && runs[n].end <= sent && runs[n].run.storage == storage {
		storage.settle(runs[n].run)
		n++
	}
	storage.publishFreed()
	return n
}

// Broken settles all runs after the output has ended behind sent bytes: what was not
// sent goes back to its storage. Of what was sent in part the delivery has failed.
func (s *Sending) Broken(sent uint64) {
	s.Sent(sent)
	for _, r := range s.runs {
		if r.end-uint64(r.run.size) < sent {
			r.run.Fail(0)
		} else {
			r.run.GiveBack(0)
		}
	}
	s.runs = s.runs[:0]
}
