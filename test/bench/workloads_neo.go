package main

import "time"

// dialNeo opens connections, which closeAll closes.
func (s *session) dialNeo(count int) (conns []conn, err error) {
	if s.target.neo == nil {
		return nil, errUnknown
	}
	for range count {
		c, err := dialNeo(s.target.neo)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}

func (s *session) pushNeo(depth int) ([]float64, error) {
	conns, err := s.dialNeo(1)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	n := s.load.neo(depth)
	return s.pushAndDrain(func(end bound) (int64, error) { return s.load.pushAllNeo(conns[0], n, end) })
}

func (s *session) popNeo(depth int) ([]float64, error) {
	conns, err := s.dialNeo(1)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	n := s.load.neo(depth)
	return s.fillAndEmpty(s.load.producePop, s.load.popBacklog, unmeasured, func(count int64) error {
		return s.measured(func() (int64, error) { return count, s.load.popAllNeo(conns[0], n, count) })
	})
}

func (s *session) consumeNeo() ([]float64, error) { return s.takeNeo((*load).consumeAllNeo) }

func (s *session) workNeo() ([]float64, error) { return s.takeNeo((*load).workAllNeo) }

// takeNeo fills a channel and lets take take all of it.
func (s *session) takeNeo(take func(*load, conn, *neoLoad, int64) error) ([]float64, error) {
	conns, err := s.dialNeo(1)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	n := s.load.neo(1)
	return s.fillAndEmpty(s.load.produce, s.load.backlog, unmeasured, func(count int64) error {
		return s.measured(func() (int64, error) { return count, take(s.load, conns[0], n, count) })
	})
}

func (s *session) latencyNeo() ([]float64, error) {
	conns, err := s.dialNeo(2)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	producer, consumer, n := conns[0], conns[1], s.load.neo(1)
	if err := startConsumeNeo(consumer, n); err != nil {
		return nil, err
	}
	values, err := s.latencies(func() (time.Duration, error) { return s.load.roundTripNeo(producer, consumer, n) })
	if err != nil {
		return nil, err
	}
	return values, leaveNeo(consumer, n)
}
