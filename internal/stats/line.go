package stats

import (
	"math"
	"strconv"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/internal/storage"
)

// line is a line of stats.log as it grows: KEY:VALUE, separated by blanks.
type line struct{ text []byte }

func (l *line) key(key string) {
	if len(l.text) > 0 {
		l.text = append(l.text, ' ')
	}
	l.text = append(l.text, key...)
	l.text = append(l.text, ':')
}

func (l *line) uint(key string, value uint64) {
	l.key(key)
	l.text = strconv.AppendUint(l.text, value, 10)
}

// float appends a number with two decimals, from 10¹⁰ on in scientific notation.
func (l *line) float(key string, value float64) {
	l.key(key)
	switch {
	case math.IsNaN(value):
		l.text = append(l.text, "nan"...)
	case math.Abs(value) < 1e10:
		l.text = strconv.AppendFloat(l.text, value, 'f', 2, 64)
	default:
		l.text = strconv.AppendFloat(l.text, value, 'e', 2, 64)
	}
}

// snapshot is all there is to show at a moment.
type snapshot struct {
	at             time.Time
	process        process
	received, sent uint64
	legacy, neo    Connections
	storages       []storage.Figures
	pushed, popped storage.Moved
	requests       []counted // as in Log.requests
	most           []int64
	logged         logging.Counts
}

// text is the line for the time between two snapshots (operations spec §8.2).
func (now *snapshot) text(before *snapshot, requests []named) string {
	var l line
	now.process.append(&l, before.process, now.at.Sub(before.at))
	l.uint("bytes_sent", now.sent-before.sent)
	l.uint("bytes_received", now.received-before.received)
	now.legacy.append(&l, "handling_connections")
	now.neo.append(&l, "handling_neo_connections")
	now.appendChannels(&l)
	l.uint("old_request_versions_in_use", 0)
	for i, r := range requests {
		r.append(&l, now.most[i], now.requests[i], before.requests[i])
	}
	l.uint("action/pushed/records", now.pushed.Records-before.pushed.Records)
	l.uint("action/pushed/bytes", now.pushed.Bytes-before.pushed.Bytes)
	l.uint("action/popped/records", now.popped.Records-before.popped.Records)
	l.uint("action/popped/bytes", now.popped.Bytes-before.popped.Bytes)
	now.appendStorages(&l)
	now.appendLogged(&l, before.logged)
	return string(l.text)
}

// Connections is the state of a listener.
type Connections struct {
	Open  int64
	Limit uint32 // 0 = none
}

func (c Connections) append(l *line, key string) {
	l.uint(key, uint64(c.Open))
	percent := uint64(0)
	if c.Limit > 0 {
		percent = uint64(c.Open) * 100 / uint64(c.Limit)
	}
	l.uint(key+"_pcnt", percent)
}

// appendChannels appends the totals and the sums over the storages of each channel.
func (now *snapshot) appendChannels(l *line) {
	var bytes, records uint64
	for _, f := range now.storages {
		bytes += f.MemoryBytes + f.OverflowBytes
		records += f.MemoryRecords + f.OverflowRecords
	}
	l.uint("total_bytes", bytes)
	l.uint("total_records", records)
	for i := 0; i < len(now.storages); {
		channel := now.storages[i].Channel
		bytes, records = 0, 0
		for ; i < len(now.storages) && now.storages[i].Channel == channel; i++ {
			f := now.storages[i]
			bytes += f.MemoryBytes + f.OverflowBytes
			records += f.MemoryRecords + f.OverflowRecords
		}
		l.uint("channel/"+channel+"/bytes", bytes)
		l.uint("channel/"+channel+"/records", records)
	}
}

func (now *snapshot) appendStorages(l *line) {
	for _, f := range now.storages {
		name := f.Channel
		if f.Subscriber != "" {
			name = f.Subscriber + "@" + f.Channel
		}
		key := "channel/" + name + "/"
		l.uint(key+"bytes_memory", f.MemoryBytes)
		l.uint(key+"bytes_overflow", f.OverflowBytes)
		l.uint(key+"records_memory", f.MemoryRecords)
		l.uint(key+"records_overflow", f.OverflowRecords)
		percent := uint64(100)
		if f.Capacity > 0 {
			percent = f.MemoryBytes * 100 / f.Capacity
		}
		l.uint(key+"percent_memory", percent)
	}
}

func (now *snapshot) appendLogged(l *line, before logging.Counts) {
	l.uint("logged_debug", 0)
	l.uint("logged_trace", now.logged.Trace-before.Trace)
	l.uint("logged_verbose", 0)
	l.uint("logged_info", now.logged.Info-before.Info)
	l.uint("logged_warn", now.logged.Warn-before.Warn)
	l.uint("logged_error", now.logged.Error-before.Error)
	l.uint("logged_fatal", now.logged.Fatal-before.Fatal)
}

// named is a kind of requests in the line.
type named struct {
	key      string // request/NAME, neo_request/NAME
	requests *Requests
	timed    bool // with the keys of durations
}

func (r named) append(l *line, most int64, now, before counted) {
	l.uint(r.key+"/max_active", uint64(most))
	handled := now.handled - before.handled
	l.uint(r.key+"/handled", handled)
	if !r.timed {
		return
	}
	if handled == 0 {
		l.key(r.key + "/mean_handled_time_micros")
		l.text = append(l.text, "-nan"...) // 0/0 as the original prints it
	} else {
		l.float(r.key+"/mean_handled_time_micros", float64(now.nanos-before.nanos)/float64(handled)/1000)
	}
	for i, name := range [buckets]string{"10_micros", "100_micros", "1_ms", "10_ms", "100_ms", "over_100_ms"} {
		l.uint(r.key+"/handled_"+name, now.timed[i]-before.timed[i])
	}
}
