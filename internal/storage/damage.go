package storage

import (
	"errors"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// A file may turn out to be damaged while it is used: a bit has flipped, a sector can't be read,
// somebody has cut it. That costs the records that lie there. Nothing is pushed to the file any
// more; what is intact in it is handed out; then it is kept under another name. See ring/sums.go
// and ring/fault.go for how damage is found.

// loss is records that were lost at places of one file.
type loss struct {
	told    bool // the first one
	records int
	places  int
}

// isDamage costs nothing without an error: the target of errors.As is a variable of the heap.
func isDamage(err error) bool {
	if err == nil {
		return false
	}
	var damage *ring.DamageError
	return errors.As(err, &damage)
}

// lose drops what waits in a part and can't be handed out: as far as a record is known to begin
// again, else all.
func (s *Storage) lose(p *part, damage error) {
	p.damaged = true
	bytes, n := p.Skip()
	if n == 0 {
		size := p.Size()
		n = p.Abandon()
		s.unread -= n
		s.bytes -= size - p.Size()
		p.abandoned(n)
		s.noteLoss(p, n, damage)
		p.Publish()
		if p.Held() == 0 {
			s.drop(p)
		}
		return
	}
	s.noteLoss(p, n, damage)
	s.loseRun(s.handOut(Run{part: p, bytes: bytes, size: len(bytes), records: n, marked: true}))
}

// loseRun settles a run whose records have reached nobody, and never will.
func (s *Storage) loseRun(r *Run) {
	records, bytes := r.records, r.size-r.records*ring.HeaderSize
	s.deliver(r)
	s.counters.Popped.subtract(records, bytes)
	s.counters.Delivered.subtract(records, bytes)
}

// failed notes that a file can't be written to, or its head.
func (s *Storage) failed(p *part, damage error) {
	if p.damaged {
		return
	}
	p.damaged = true
	s.channel.store.log.Error("a file can't be used any more: records go to another one. Those that it has are served as far as they can be read, "+
		"and may not survive the end of the node",
		zap.String("storage", s.name), zap.Int("records", p.Records()), zap.Error(damage))
}

// dropDamaged loses now what would be lost when it is handed out.
func (s *Storage) dropDamaged() error {
	counters, paused := s.counters, s.paused
	s.paused = false
	err := s.lookThrough(func() bool { return true })
	s.counters, s.paused = counters, paused
	for _, p := range s.parts {
		s.tellLoss(p)
	}
	return err
}

// noteLoss tells of the first loss of a file at once, and of others once a period.
func (s *Storage) noteLoss(p *part, records int, damage error) {
	if p.loss.told {
		p.loss.records += records
		p.loss.places++
		return
	}
	p.loss.told = true
	s.channel.store.log.Error("records are lost because their file is damaged: the rest of it is served, then it is kept under another name",
		zap.String("storage", s.name), zap.Int("records", records), zap.Error(damage))
}

// tellLoss tells of what was lost since the log was last told.
func (s *Storage) tellLoss(p *part) {
	if p.loss.places == 0 {
		return
	}
	s.channel.store.log.Error("more records of a damaged file are lost",
		zap.String("storage", s.name), zap.Int("records", p.loss.records), zap.Int("places", p.loss.places), zap.String("file", p.Path()))
	p.loss.records, p.loss.places = 0, 0
}
