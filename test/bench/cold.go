package main

import (
	"errors"
	"time"
)

// The cold workloads fill a ring for the first time: each turn is one of a target of its own, of
// which nobody has used any memory or disk space, and ends when the ring is nearly full. What they
// measure is what a user sees after a start, and whenever a queue grows beyond what it ever had.

// coldBytes is how much is stored, lengths included: nearly the ring of the node.
const coldBytes = 1_900_000_000

// cold measures fill on a target of its own, with records of that size.
func (s *session) cold(size int, fill func(*session, bound) (int64, error)) (values []float64, err error) {
	return s.elsewhere(size, func(cold *session) ([]float64, error) {
		end := bound{int64(recordsIn(coldBytes, size)), time.Now().Add(4 * s.duration)}
		if err := cold.measured(func() (int64, error) { return fill(cold, end) }); err != nil {
			return nil, err
		}
		return cold.perSecond(), nil
	})
}

// warm measures a workload with records of that size on a target of its own, the second time that
// it runs there.
func (s *session) warm(size int, run func(*session) ([]float64, error)) ([]float64, error) {
	return s.elsewhere(size, func(other *session) ([]float64, error) {
		first := *other
		if _, err := run(&first); err != nil {
			return nil, err
		}
		return run(other)
	})
}

// elsewhere runs a workload with records of that size on a target of its own, which has these
// settings if it is a node.
func (s *session) elsewhere(size int, run func(*session) ([]float64, error), settings ...string) (values []float64, err error) {
	fresh, err := s.fresh(size, settings...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fresh.kill()) }()
	other := &session{load: newLoad(size), target: fresh, fresh: s.fresh, duration: s.duration}
	values, err = run(other)
	s.records, s.elapsed, s.cpu = s.records+other.records, s.elapsed+other.elapsed, s.cpu+other.cpu
	return values, err
}

func (s *session) coldProduce(end bound) (int64, error) {
	conns, err := s.dial(1)
	if err != nil {
		return 0, err
	}
	defer closeAll(conns)
	return s.load.produceAll(conns[0], s.load.produce, end)
}

func (s *session) coldPush(end bound) (int64, error) {
	conns, err := s.dial(4)
	if err != nil {
		return 0, err
	}
	defer closeAll(conns)
	return s.load.pushAll(conns, 1, end)
}

func (s *session) coldPushNeo(end bound) (int64, error) { return s.fillNeo(64, end) }

// coldPushNeo2 has few in flight, for very large records.
func (s *session) coldPushNeo2(end bound) (int64, error) { return s.fillNeo(2, end) }

func (s *session) fillNeo(depth int, end bound) (int64, error) {
	c, err := dialNeo(s.target.neo)
	if err != nil {
		return 0, err
	}
	defer c.close()
	return s.load.pushAllNeo(c, s.load.neo(depth), end)
}
