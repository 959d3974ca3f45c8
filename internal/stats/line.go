package stats

import (
	"math"
	"strconv"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// line is a line of stats.log as it grows: KEY:VALUE, separated by blanks. Keys come in
// groups; those of a group with a category begin with category/instance/.
type line struct {
	text   []byte
	prefix string // of the keys of the group that is being appended
	groups []group
}

// group is some neighbours in a line.
type group struct {
	category, instance string // both empty, or none
	start              int    // in the text of the line
}

// group starts a group.
func (l *line) group(category, instance string) {
	l.prefix = ""
	if category != "" {
		l.prefix = category + "/" + instance + "/"
	}
	l.groups = append(l.groups, group{category, instance, len(l.text)})
}

func (l *line) key(name string) {
	if len(l.text) > 0 {
		l.text = append(l.text, ' ')
	}
	l.text = append(l.text, l.prefix...)
	l.text = append(l.text, name...)
	l.text = append(l.text, ':')
}

func (l *line) uint(name string, value uint64) {
	l.key(name)
	l.text = strconv.AppendUint(l.text, value, 10)
}

// float appends a number with two decimals, from 10¹⁰ on in scientific notation.
func (l *line) float(name string, value float64) {
	l.key(name)
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
	Reading
	requests []counted // as in Log.requests
	most     []int64
	logged   logging.Counts
}

// line is the line for the time between two snapshots (operations spec §8.2).
func (now *snapshot) line(before *snapshot, requests []named) *line {
	l := new(line)
	now.Process.append(l, before.Process, now.At.Sub(before.At))
	l.group("", "")
	l.uint("bytes_sent", now.Sent-before.Sent)
	l.uint("bytes_received", now.Received-before.Received)
	now.Legacy.append(l, "handling_connections")
	now.Neo.append(l, "handling_neo_connections")
	now.appendChannels(l)
	l.group("", "")
	l.uint("old_request_versions_in_use", 0)
	for i, r := range requests {
		r.append(l, now.most[i], now.requests[i], before.requests[i])
	}
	appendMoved(l, "pushed", now.Pushed, before.Pushed)
	appendMoved(l, "popped", now.Popped, before.Popped)
	now.appendStorages(l)
	now.appendLogged(l, before.logged)
	now.appendRefused(l, before.Refused)
	return l
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
	for _, f := range now.Storages {
		bytes += f.MemoryBytes + f.OverflowBytes
		records += f.MemoryRecords + f.OverflowRecords
	}
	l.group("", "")
	l.uint("total_bytes", bytes)
	l.uint("total_records", records)
	for i := 0; i < len(now.Storages); {
		channel := now.Storages[i].Channel
		bytes, records = 0, 0
		for ; i < len(now.Storages) && now.Storages[i].Channel == channel; i++ {
			f := now.Storages[i]
			bytes += f.MemoryBytes + f.OverflowBytes
			records += f.MemoryRecords + f.OverflowRecords
		}
		l.group("channel", channel)
		l.uint("bytes", bytes)
		l.uint("records", records)
	}
}

func appendMoved(l *line, instance string, now, before storage.Moved) {
	l.group("action", instance)
	l.uint("records", now.Records-before.Records)
	l.uint("bytes", now.Bytes-before.Bytes)
}

func (now *snapshot) appendStorages(l *line) {
	for _, f := range now.Storages {
		name := f.Channel
		if f.Subscriber != "" {
			name = f.Subscriber + "@" + f.Channel
		}
		l.group("channel", name)
		l.uint("bytes_memory", f.MemoryBytes)
		l.uint("bytes_overflow", f.OverflowBytes)
		l.uint("records_memory", f.MemoryRecords)
		l.uint("records_overflow", f.OverflowRecords)
		percent := uint64(100)
		if f.Capacity > 0 {
			percent = f.MemoryBytes * 100 / f.Capacity
		}
		l.uint("percent_memory", percent)
	}
}

func (now *snapshot) appendLogged(l *line, before logging.Counts) {
	l.group("", "")
	l.uint("logged_debug", 0)
	l.uint("logged_trace", now.logged.Trace-before.Trace)
	l.uint("logged_verbose", 0)
	l.uint("logged_info", now.logged.Info-before.Info)
	l.uint("logged_warn", now.logged.Warn-before.Warn)
	l.uint("logged_error", now.logged.Error-before.Error)
	l.uint("logged_fatal", now.logged.Fatal-before.Fatal)
}

// appendRefused appends what the original does not have: a group of its own at the end, so that no
// other changes.
func (now *snapshot) appendRefused(l *line, before Refused) {
	l.group("", "")
	for why, n := range now.Refused {
		l.uint("refused_pushes_"+Refusal(why).String(), n-before[why])
	}
}

func (r named) append(l *line, most int64, now, before counted) {
	l.group(r.category, r.name)
	l.uint("max_active", uint64(most))
	handled := now.handled - before.handled
	l.uint("handled", handled)
	if !r.timed {
		return
	}
	if handled == 0 {
		l.key("mean_handled_time_micros")
		l.text = append(l.text, "-nan"...) // 0/0 as the original prints it
	} else {
		l.float("mean_handled_time_micros", float64(now.nanos-before.nanos)/float64(handled)/1000)
	}
	for i, name := range [buckets]string{"10_micros", "100_micros", "1_ms", "10_ms", "100_ms", "over_100_ms"} {
		l.uint("handled_"+name, now.timed[i]-before.timed[i])
	}
}
