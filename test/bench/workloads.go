package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// idleConnections is the number of connections of workload idle.
const idleConnections = 4000

// workload is one way to use a target.
type workload struct {
	name    string
	about   string
	metrics []metric
	run     func(*session) ([]float64, error) // one value a metric
}

// metric is something a workload measures.
type metric struct {
	name string // empty if the workload has only one
	unit unit
	goal float64 // that the ratio is to reach, or for a time not to exceed; 0 = there is none
	// what the difference to the ceiling is not to exceed; 0 = that is not said
	above float64
}

// rate is the metric of a workload that counts records.
func rate(goal float64) []metric { return []metric{{unit: perSecond, goal: goal}} }

// times are the metrics of a workload that measures how long something takes.
func times(p50, p99 float64) []metric {
	return []metric{{name: "p50", unit: microseconds, goal: p50}, {name: "p99", unit: microseconds, goal: p99}}
}

// workloads are those of the report, in its order. The two with one push at a time on one
// connection are neighbours because they are to be compared.
var workloads = append([]workload{
	{"push", "Push one at a time, 16 connections", rate(0.9), func(s *session) ([]float64, error) { return s.push(16, 1) }},
	{"push-pipelined", "Push 64 pipelined, 4 connections", rate(0.85), func(s *session) ([]float64, error) { return s.push(4, 64) }},
	{"produce", "Produce, 1 connection", rate(0), (*session).produce},
	{"consume", "Consume of a filled channel", rate(0), (*session).consume},
	{"produce-consume", "Produce and Consume at once", rate(0.9), (*session).produceAndConsume},
	{"latency", "Push to a waiting consumer", times(1.05, 1.1), (*session).latency},
	{"push-single", "Push one at a time, 1 connection", rate(0.9), (*session).pushSingle},
	{"neo-push-single", "neo Push, 1 in flight", rate(0.9), func(s *session) ([]float64, error) { return s.pushNeo(1) }},
	{"neo-push", "neo Push, 64 in flight, 1 connection", rate(0.8), func(s *session) ([]float64, error) { return s.pushNeo(64) }},
	{"neo-pop", "neo Pop, 64 in flight, 1 connection", rate(0.9), func(s *session) ([]float64, error) { return s.popNeo(64) }},
	{"neo-consume", "neo Consume of a filled channel", rate(0), (*session).consumeNeo},
	{"neo-work", "neo Work of a filled channel, a record a batch", rate(0), (*session).workNeo},
	{"neo-latency", "neo Push to a waiting consumer", times(1.05, 1.1), (*session).latencyNeo},
	{"cold-produce", "First fill: Produce, 100 bytes", rate(0), func(s *session) ([]float64, error) { return s.cold(100, (*session).coldProduce) }},
	{"cold-produce-1k", "First fill: Produce, 1,000 bytes", rate(0), func(s *session) ([]float64, error) { return s.cold(1000, (*session).coldProduce) }},
	{"cold-push-1m", "First fill: Push, 1 MB, 4 connections", rate(0), func(s *session) ([]float64, error) { return s.cold(1_000_000, (*session).coldPush) }},
	{"cold-neo-push-64k", "First fill: neo Push, 64 kB, 64 in flight", rate(0), func(s *session) ([]float64, error) { return s.cold(64_000, (*session).coldPushNeo) }},
	{"cold-push-10m", "First fill: Push, 10 MB, 4 connections", rate(0), func(s *session) ([]float64, error) { return s.cold(10_000_000, (*session).coldPush) }},
	{"cold-neo-push-50m", "First fill: neo Push, 50 MB, 2 in flight", rate(0), func(s *session) ([]float64, error) { return s.cold(50_000_000, (*session).coldPushNeo2) }},
	{"size-10", "Produce and Consume at once, 10 bytes", rate(0), func(s *session) ([]float64, error) { return s.warm(10, (*session).produceAndConsume) }},
	{"size-1k", "Produce and Consume at once, 1,000 bytes", rate(0), func(s *session) ([]float64, error) { return s.warm(1000, (*session).produceAndConsume) }},
	{"size-60k", "Produce and Consume at once, 60,000 bytes", rate(0), func(s *session) ([]float64, error) { return s.warm(60_000, (*session).produceAndConsume) }},
	{"size-neo-10", "neo Push, 64 in flight, 10 bytes", rate(0), func(s *session) ([]float64, error) {
		return s.warm(10, func(s *session) ([]float64, error) { return s.pushNeo(64) })
	}},
	{"size-neo-1k", "neo Push, 64 in flight, 1,000 bytes", rate(0), func(s *session) ([]float64, error) {
		return s.warm(1000, func(s *session) ([]float64, error) { return s.pushNeo(64) })
	}},
	{"size-neo-60k", "neo Push, 64 in flight, 60,000 bytes", rate(0), func(s *session) ([]float64, error) {
		return s.warm(60_000, func(s *session) ([]float64, error) { return s.pushNeo(64) })
	}},
	{"idle", fmt.Sprintf("Memory with %d idle connections", idleConnections), []metric{{unit: megabytes}}, (*session).idle},
}, attackWorkloads()...)

// errUnknown is the result of a workload that can't look into its target.
var errUnknown = errors.New("not known of a target that was not started here")

// starter starts a target for records of that size, with these settings if it is a node; errUnknown
// if it can't.
type starter func(size int, settings ...string) (*target, error)

// session is one round of one workload on one target.
type session struct {
	load     *load
	target   *target
	fresh    starter
	duration time.Duration

	records int64 // measured so far, in elapsed and with cpu
	elapsed time.Duration
	cpu     time.Duration
}

// stretch runs work, which returns its number of records: measured or not.
type stretch func(work func() (int64, error)) error

// measured is the stretch that counts.
func (s *session) measured(work func() (int64, error)) error {
	cpu, err := s.cpuTime()
	if err != nil {
		return err
	}
	start := time.Now()
	n, err := work()
	if err != nil {
		return err
	}
	s.elapsed += time.Since(start)
	s.records += n
	after, err := s.cpuTime()
	s.cpu += after - cpu
	return err
}

func (s *session) cpuTime() (time.Duration, error) {
	if s.target.process == nil {
		return 0, nil
	}
	return s.target.cpuTime()
}

// cpuPerMillion is the target's use of CPU, in seconds a million records; 0: not known.
func (s *session) cpuPerMillion() float64 {
	if s.records == 0 {
		return 0
	}
	return s.cpu.Seconds() / float64(s.records) * 1e6
}

func (s *session) perSecond() []float64 {
	return []float64{float64(s.records) / s.elapsed.Seconds()}
}

// cycles repeats cycle until it has measured for the duration. Each cycle fills the
// channel at most to the bound it is given, and leaves it empty.
func (s *session) cycles(backlog int64, cycle func(bound) error) ([]float64, error) {
	for s.elapsed < s.duration {
		if err := cycle(bound{backlog, time.Now().Add(s.duration)}); err != nil {
			return nil, err
		}
	}
	return s.perSecond(), nil
}

// dial opens connections, which closeAll closes.
func (s *session) dial(count int) (conns []conn, err error) {
	for range count {
		c, err := dial(s.target.legacy)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}

func closeAll(conns []conn) {
	for _, c := range conns {
		c.close()
	}
}

// drain consumes the count records that are in the channel, and proves that these are all.
func (s *session) drain(count int64, run stretch) error {
	c, err := dial(s.target.legacy)
	if err != nil {
		return err
	}
	err = run(func() (int64, error) { return count, s.load.consumeAll(c, count) })
	if err != nil {
		c.close()
		return err
	}
	return c.leave()
}

// unmeasured is the stretch that only prepares or cleans up.
func unmeasured(work func() (int64, error)) error {
	_, err := work()
	return err
}

func (s *session) push(connections, depth int) ([]float64, error) {
	conns, err := s.dial(connections)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	return s.pushAndDrain(func(end bound) (int64, error) { return s.load.pushAll(conns, depth, end) })
}

func (s *session) pushSingle() ([]float64, error) {
	conns, err := s.dial(1)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	return s.pushAndDrain(func(end bound) (int64, error) { return s.load.pushOneByOne(conns[0], end) })
}

// pushAndDrain measures push, which returns how many records it has pushed.
func (s *session) pushAndDrain(push func(bound) (int64, error)) ([]float64, error) {
	return s.cycles(s.load.backlog, func(end bound) error {
		var pushed int64
		err := s.measured(func() (n int64, err error) {
			pushed, err = push(end)
			return pushed, err
		})
		if err != nil {
			return err
		}
		return s.drain(pushed, unmeasured)
	})
}

func (s *session) produce() ([]float64, error) {
	return s.fillAndEmpty(s.load.produce, s.load.backlog, s.measured, func(count int64) error {
		return s.drain(count, unmeasured)
	})
}

func (s *session) consume() ([]float64, error) {
	return s.fillAndEmpty(s.load.produce, s.load.backlog, unmeasured, func(count int64) error {
		return s.drain(count, s.measured)
	})
}

// fillAndEmpty produces a backlog, with the request given and through the stretch given,
// and lets empty take all its records out again.
func (s *session) fillAndEmpty(request []byte, backlog int64, fill stretch, empty func(count int64) error) ([]float64, error) {
	conns, err := s.dial(1)
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	return s.cycles(backlog, func(end bound) error {
		var produced int64
		err := fill(func() (n int64, err error) {
			produced, err = s.load.produceAll(conns[0], request, end)
			return produced, err
		})
		if err != nil {
			return err
		}
		return empty(produced)
	})
}

func (s *session) produceAndConsume() ([]float64, error) {
	conns, err := s.dial(2)
	if err != nil {
		return nil, err
	}
	producer, consumer := conns[0], conns[1]
	defer producer.close()
	err = s.measured(func() (int64, error) {
		return s.load.through(producer, consumer, time.Now().Add(s.duration))
	})
	if err != nil {
		consumer.close()
		return nil, err
	}
	return s.perSecond(), consumer.leave()
}

func (s *session) latency() ([]float64, error) {
	conns, err := s.dial(2)
	if err != nil {
		return nil, err
	}
	producer, consumer := conns[0], conns[1]
	defer producer.close()
	if err := consumer.request(s.load.consume, statusOk); err != nil {
		consumer.close()
		return nil, fmt.Errorf("consume: %w", err)
	}
	values, err := s.latencies(func() (time.Duration, error) { return s.load.roundTrip(producer, consumer) })
	if err != nil {
		consumer.close()
		return nil, err
	}
	return values, consumer.leave()
}

// latencies repeats a round trip for the duration and returns p50 and p99.
func (s *session) latencies(roundTrip func() (time.Duration, error)) ([]float64, error) {
	times := hdrhistogram.New(1, ioTimeout.Nanoseconds(), 3)
	err := s.measured(func() (int64, error) {
		for end := time.Now().Add(s.duration); time.Now().Before(end); {
			taken, err := roundTrip()
			if err != nil {
				return 0, err
			}
			if err := times.RecordValue(taken.Nanoseconds()); err != nil {
				return 0, err
			}
		}
		return times.TotalCount(), nil
	})
	p50, p99 := times.ValueAtQuantile(50), times.ValueAtQuantile(99)
	return []float64{float64(p50) / 1e3, float64(p99) / 1e3}, err
}

// idle measures a target of its own, in which nothing else has happened. Each connection
// runs one request first: connections that have been used are what a node has.
func (s *session) idle() (values []float64, err error) {
	fresh, err := s.fresh(s.load.size)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fresh.stop()) }()
	var conns []conn
	defer func() { closeAll(conns) }()
	for range idleConnections {
		c, err := dial(fresh.legacy)
		if err != nil {
			return nil, err
		}
		conns = append(conns, c)
		if err := c.request(s.load.count, statusNotSupported); err != nil {
			return nil, err
		}
	}
	resident, err := fresh.residentBytes()
	return []float64{float64(resident) / 1e6}, err
}
