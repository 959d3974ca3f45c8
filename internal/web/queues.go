package web

import (
	"bufio"
	"strconv"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
)

// Metrics of queues, of which there may be many thousand. A registry of the Prometheus library
// makes, checks and sorts each metric by itself, which took seconds and a GB of memory, for as long
// as a slow peer takes to read them; here each is a line that is written and forgotten. That they
// are right by themselves is clear: names and labels are constants, and no two queues have the same
// names.

// queueMetric is one metric of a queue.
type queueMetric struct {
	name, help string
	place      string // a label, if it is not ""
	counts     bool   // a counter, else a gauge
	value      func(*storageReading) float64
}

// writeQueues writes the metrics of all queues in the text format of Prometheus, until that fails.
// Metrics of one name are neighbours in queueMetrics.
func writeQueues(out *bufio.Writer, r *stats.Reading) {
	if len(r.Storages) == 0 {
		return // a family has to have a metric
	}
	var line []byte
	of := &storageReading{of: r}
	for i := range queueMetrics {
		m := &queueMetrics[i]
		if i == 0 || m.name != queueMetrics[i-1].name {
			line = m.appendHeader(line[:0])
			out.Write(line)
		}
		for j := range r.Storages {
			of.Figures = &r.Storages[j]
			line = m.appendLine(line[:0], of)
			if _, err := out.Write(line); err != nil {
				return
			}
		}
	}
}

func (m *queueMetric) appendHeader(b []byte) []byte {
	kind := "gauge"
	if m.counts {
		kind = "counter"
	}
	name := "dmqnode_" + m.name
	return append(b, "# HELP "+name+" "+m.help+"\n# TYPE "+name+" "+kind+"\n"...)
}

func (m *queueMetric) appendLine(b []byte, s *storageReading) []byte {
	b = append(append(append(b, "dmqnode_"...), m.name...), '{')
	b = appendLabel(b, "channel", s.Channel) // in the order of their names
	if m.place != "" {
		b = appendLabel(append(b, ','), "place", m.place)
	}
	b = appendLabel(append(b, ','), "subscriber", s.Subscriber)
	return append(strconv.AppendFloat(append(b, "} "...), m.value(s), 'g', -1, 64), '\n')
}

func appendLabel(b []byte, name, value string) []byte {
	b = append(append(b, name...), `="`...)
	return append(append(b, escaped.Replace(value)...), '"')
}

var escaped = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
