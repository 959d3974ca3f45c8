package storage

import "time"

// How long records take from push to delivery is measured for one record at a time of each queue,
// and for no more than one between two calls of Mark. So it costs others nothing but a comparison,
// and without Mark it is not measured.

// probe is a record whose delivery is awaited.
type probe struct {
	part   *part     // nil = there is none
	number int64     // of the record in its part, from 0 on
	pushed time.Time // when it was
	clock  int64     // of Mark, then
}

// watch makes the last record that was pushed the one that is awaited, if there is none and Mark
// was called since the last one.
func (s *Storage) watch(p *part) {
	clock := s.channel.shared.clock.Load()
	if s.probe.part == nil && clock != s.probe.clock {
		s.probe = probe{p, p.pushed - 1, time.Now(), clock}
	}
}

// watched looks whether the awaited record has been delivered, or dropped. It counts as delivered
// when those before it are, too.
func (s *Storage) watched() {
	p := s.probe.part
	switch {
	case p == nil:
	case s.probe.number >= p.pushed:
		s.probe.part = nil
	case s.probe.number < p.pushed-int64(p.Held()):
		s.latency = time.Since(s.probe.pushed)
		s.probe.part = nil
	}
}
