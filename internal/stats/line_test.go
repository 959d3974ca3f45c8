package stats

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// The line of operations spec §8.2 for known figures: order, names and formats.
func TestLine(t *testing.T) {
	push, consume := new(Requests), new(Requests)
	requests := []named{{"request", "Push", push, true, false}, {"neo_request", "consume", consume, false, true}}
	start := time.Unix(1000, 0)
	before := snapshot{
		Reading: Reading{
			At:       start,
			Process:  Process{User: time.Second, System: time.Second, Machine: 2000, Limit: 1000},
			Received: 10, Sent: 20,
			Refused:  Refused{RefusedDisk: 4},
			Counters: storage.Counters{Pushed: storage.Moved{Records: 5, Bytes: 50}, Popped: storage.Moved{Records: 1, Bytes: 10}},
		},
		requests: []counted{push.read(), consume.read()},
		logged:   logging.Counts{Info: 3},
	}
	push.Begin()
	push.End(3, 50*time.Microsecond)
	consume.Begin()
	now := snapshot{
		Reading: Reading{
			At:       start.Add(2 * time.Second),
			Process:  Process{User: 1500 * time.Millisecond, System: time.Second, Virtual: 4096, RSS: 250, Machine: 2000, Limit: 1000},
			Received: 110, Sent: 70,
			Legacy: Connections{Open: 2, Limit: 3},
			Neo:    Connections{Open: 7},
			Storages: []storage.Figures{
				{Channel: "orders", Subscribed: true, Capacity: 1000, MemoryRecords: 4, MemoryBytes: 432, OverflowRecords: 26, OverflowBytes: 2600},
				{Channel: "orders", Subscriber: "s", Subscribed: true, Capacity: 0},
				{Channel: "plain", Capacity: 500, MemoryRecords: 1, MemoryBytes: 432},
			},
			Refused:  Refused{RefusedDisk: 7, RefusedOther: 1},
			Counters: storage.Counters{Pushed: storage.Moved{Records: 35, Bytes: 3050}, Popped: storage.Moved{Records: 1, Bytes: 10}},
		},
		requests: []counted{push.read(), consume.read()},
		most:     []int64{1, 1},
		logged:   logging.Counts{Info: 4, Error: 2},
	}
	want := strings.Fields(`
		cpu_user:25.00 cpu_system:0.00 cpu_total:25.00 vsz:4096 rss:250 mem_percentage:25.00
		bytes_sent:50 bytes_received:100
		handling_connections:2 handling_connections_pcnt:66 handling_neo_connections:7 handling_neo_connections_pcnt:0
		total_bytes:3464 total_records:31
		channel/orders/bytes:3032 channel/orders/records:30 channel/plain/bytes:432 channel/plain/records:1
		old_request_versions_in_use:0
		request/Push/max_active:1 request/Push/handled:3 request/Push/mean_handled_time_micros:50.00
		request/Push/handled_10_micros:0 request/Push/handled_100_micros:3 request/Push/handled_1_ms:0
		request/Push/handled_10_ms:0 request/Push/handled_100_ms:0 request/Push/handled_over_100_ms:0
		neo_request/consume/max_active:1 neo_request/consume/handled:0
		action/pushed/records:30 action/pushed/bytes:3000 action/popped/records:0 action/popped/bytes:0
		channel/orders/bytes_memory:432 channel/orders/bytes_overflow:2600 channel/orders/records_memory:4
		channel/orders/records_overflow:26 channel/orders/percent_memory:43
		channel/s@orders/bytes_memory:0 channel/s@orders/bytes_overflow:0 channel/s@orders/records_memory:0
		channel/s@orders/records_overflow:0 channel/s@orders/percent_memory:100
		channel/plain/bytes_memory:432 channel/plain/bytes_overflow:0 channel/plain/records_memory:1
		channel/plain/records_overflow:0 channel/plain/percent_memory:86
		logged_debug:0 logged_trace:0 logged_verbose:0 logged_info:1 logged_warn:0 logged_error:2 logged_fatal:0
		refused_pushes_disk:3 refused_pushes_queue:0 refused_pushes_channels:0 refused_pushes_copies:0 refused_pushes_other:1`)
	if got := string(now.line(&before, requests).text); got != strings.Join(want, " ") {
		t.Errorf("got\n%s\nwant\n%s", strings.ReplaceAll(got, " ", "\n"), strings.Join(want, "\n"))
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		value float64
		want  string
	}{
		{0, "k:0.00"}, {1.005, "k:1.00"}, {99.999, "k:100.00"}, {-1.5, "k:-1.50"},
		{9999999999, "k:9999999999.00"}, {1e10, "k:1.00e+10"}, {math.NaN(), "k:nan"},
	} {
		var l line
		if l.float("k", c.value); string(l.text) != c.want {
			t.Errorf("%v: got %s, want %s", c.value, l.text, c.want)
		}
	}
}

func TestBuckets(t *testing.T) {
	for d, want := range map[time.Duration]int{
		0: 0, 10 * time.Microsecond: 0, 10*time.Microsecond + 1: 1, 100 * time.Microsecond: 1,
		time.Millisecond: 2, 10 * time.Millisecond: 3, 100 * time.Millisecond: 4, time.Second: 5,
	} {
		if got := bucket(d); got != want {
			t.Errorf("%v: got bucket %d, want %d", d, got, want)
		}
	}
}

func TestMostActiveStartsAgainAtWhatIsActive(t *testing.T) {
	var r Requests
	r.Begin()
	r.Begin()
	r.EndUntimed()
	for i, want := range []int64{2, 1, 1} {
		if got := r.takeMost(); got != want {
			t.Errorf("line %d: got %d, want %d", i, got, want)
		}
	}
}

func TestLinesAreDueAtMultiplesOfTheInterval(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(0, int64(s*1e9)) }
	for _, c := range []struct {
		now  float64
		want time.Duration
	}{
		{60, 30 * time.Second}, {60.5, 29500 * time.Millisecond}, {89.5, 500 * time.Millisecond},
		{89.95, 30050 * time.Millisecond}, // that was the line of 90, the clock being set back
	} {
		if got := untilNext(at(c.now), 30*time.Second); got != c.want {
			t.Errorf("at %v: next line in %v, want %v", c.now, got, c.want)
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	var r Requests
	batch := Of(&r)
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		for range 64 {
			batch.Add()
		}
		batch.End(began)
	}
}
