package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets startCeiling and startAttack run the test binary as the ceiling, and as attackers.
func TestMain(m *testing.M) {
	if slices.ContainsFunc(os.Args, func(word string) bool { return word == "--ceiling" || strings.HasPrefix(word, "--attack=") }) {
		main()
		return
	}
	os.Exit(m.Run())
}

// newSession starts a ceiling for records of size bytes and a session on it.
func newSession(t *testing.T, size int) *session {
	t.Helper()
	fresh := startCeiling
	ceiling, err := fresh(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ceiling.stop(); err != nil {
			t.Error(err)
		}
	})
	return &session{load: newLoad(size), target: ceiling, fresh: fresh, duration: 10 * time.Millisecond}
}

func TestEveryWorkloadRunsOnTheCeiling(t *testing.T) {
	for _, size := range []int{1, 100, maxSize} {
		shared := newSession(t, size)
		shared.load.backlog, shared.load.popBacklog = min(shared.load.backlog, 1000), min(shared.load.popBacklog, 1000)
		for _, w := range workloads {
			s := *shared
			values, err := w.run(&s)
			if strings.HasSuffix(w.name, "m") && errors.Is(err, errUnknown) {
				continue // its records are larger than those that the ceiling knows
			}
			if err != nil {
				t.Errorf("%s, records of %d bytes: %v", w.name, size, err)
				continue
			}
			if len(values) != len(w.metrics) || slices.Min(values) <= 0 {
				t.Errorf("%s, records of %d bytes: values %v, want %d positive ones", w.name, size, values, len(w.metrics))
			}
			if w.name != "idle" && s.cpuPerMillion() <= 0 {
				t.Errorf("%s, records of %d bytes: no CPU time", w.name, size)
			}
		}
	}
}

func TestRecordsTooManyAreNoticed(t *testing.T) {
	s := newSession(t, 100)
	conns, err := s.dial(1)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(conns)
	pushed, err := s.load.pushAll(conns, 10, bound{10, time.Now().Add(time.Minute)})
	if err != nil || pushed != 10 {
		t.Fatalf("pushed %d, %v; want 10", pushed, err)
	}
	err = s.drain(pushed-1, unmeasured)
	if want := "consume: 10 records received, 9 stored"; err == nil || err.Error() != want {
		t.Errorf("drain of one record too few: error %v, want %s", err, want)
	}
}

func TestRecordsOfAnotherSizeAreNoticed(t *testing.T) {
	s := newSession(t, 100)
	other := newSession(t, 99)
	conns, err := s.dial(1)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(conns)
	s.load = other.load
	pushed, err := s.load.pushAll(conns, 1, bound{1, time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	err = s.drain(pushed, unmeasured)
	if want := "record 1 has 100 bytes, want 99"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("drain: error %v, want %s", err, want)
	}
}

// fill stores records.
func fill(t *testing.T, s *session, records int64) {
	t.Helper()
	conns, err := s.dial(1)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(conns)
	s.load.batch, s.load.records = records, appendRecords(nil, s.load.size, int(records))
	produced, err := s.load.produceAll(conns[0], s.load.producePop, bound{records, time.Now().Add(time.Minute)})
	if err != nil || produced != records {
		t.Fatalf("produced %d, %v; want %d", produced, err, records)
	}
}

func TestNeoRecordsTooManyOrTooFewAreNoticed(t *testing.T) {
	full := int64(batchRecords(100))
	s := newSession(t, 100) // which every case leaves empty
	for _, c := range []struct {
		what             string
		stored, expected int64
		take             func(*load, conn, *neoLoad, int64) error
		want             string
	}{
		{"Pop", 10, 9, (*load).popAllNeo, "neo pop: 10 records received, 9 stored"},
		{"Pop", 10, 11, (*load).popAllNeo, "neo pop: 10 records received, 11 stored"},
		{"Consume", 10, 9, (*load).consumeAllNeo, "neo consume: 10 records received, 9 stored"},
		{"Consume", full + 1, full, (*load).consumeAllNeo, "leaving a neo Consume: answer 01 7d"},
	} {
		fill(t, s, c.stored)
		conns, err := s.dialNeo(1)
		if err != nil {
			t.Fatal(err)
		}
		err = c.take(s.load, conns[0], s.load.neo(4), c.expected)
		closeAll(conns)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s of %d records, %d expected: error %v, want %s", c.what, c.stored, c.expected, err, c.want)
		}
	}
}

func TestNeoRecordsOfAnotherSizeAreNoticed(t *testing.T) {
	for _, c := range []struct {
		what string
		take func(*load, conn, *neoLoad, int64) error
		want string
	}{
		{"Pop", (*load).popAllNeo, "on id 1, want"},
		{"Consume", (*load).consumeAllNeo, "record 1 has 100 bytes, want 99"},
	} {
		s := newSession(t, 100)
		fill(t, s, 10)
		conns, err := s.dialNeo(1)
		if err != nil {
			t.Fatal(err)
		}
		other := newLoad(99)
		err = c.take(other, conns[0], other.neo(4), 10)
		closeAll(conns)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.what, err, c.want)
		}
	}
}

func TestNeoWorkloadsNeedAnAddress(t *testing.T) {
	s := newSession(t, 100)
	s.target = &target{legacy: s.target.legacy}
	for _, w := range workloads {
		if strings.HasPrefix(w.name, "neo-") {
			if _, err := w.run(s); err != errUnknown {
				t.Errorf("%s: error %v, want %v", w.name, err, errUnknown)
			}
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--rounds=0", "--rounds 0: want at least 1"},
		{"--duration=0s", "--duration 0s: want more than 0 and at most 1m"},
		{"--size=0", "--size 0: want 1 to 65536"},
		{"--size=65537", "--size 65537: want 1 to 65536"},
		{"--only=pop", "--only pop: want one of push, push-pipelined, produce, consume, produce-consume, latency, " +
			"push-single, neo-push-single, neo-push, neo-pop, neo-consume, neo-work, neo-latency, cold-produce, cold-produce-1k, cold-push-1m, cold-neo-push-64k, cold-push-10m, cold-neo-push-50m, size-10, size-1k, size-60k, size-neo-10, size-neo-1k, size-neo-60k, idle, attack-swallow, attack-names, attack-unfinished, attack-requests, attack-large, attack-unread, attack-spill, attack-multi, attack-same, attack-same-stream, attack-new, attack-too-many, attack-churn"},
		{"--neo-addr=127.0.0.1:2", "--neo-addr 127.0.0.1:2: want --addr of the same node, too"},
		{"extra", `unexpected argument "extra"`},
	} {
		if _, err := parseOptions([]string{c.args}); err == nil || err.Error() != c.want {
			t.Errorf("%s: error %v, want %s", c.args, err, c.want)
		}
	}
	o, err := parseOptions([]string{"--only=push,idle", "--addr=127.0.0.1:1"})
	if err != nil || len(o.only) != 2 || o.node != "build/dmqnode" || o.rounds != 3 || o.size != 100 || o.duration != 1500*time.Millisecond {
		t.Errorf("options %+v, %v", o, err)
	}
}
