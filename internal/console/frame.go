package console

import (
	"fmt"
	"math"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
)

// frame lays the view out in at most height lines of at most width columns:
//
//	memory 123 MiB (1.5 %)  connections 12 legacy, 3 neo, limit 5,000 each
//	records/s 12,345 in, 12,300 out  stored 1,235,801 records, 118 MiB
//
//	CHANNEL          FULL                           RECORDS       BYTES    OVERFLOW
//	orders           87 %  ██████████████▊··      1,234,567     118 MiB           -
//	reports@orders    3 %  ▌················          1,234    121 KiB           -
//	… 17 more
func frame(v *view, s style, width, height int) (lines []string) {
	lines = header(v.segments(), width, min(4, max(1, height/2)))
	if height >= 12 {
		lines = append(lines, "")
	}
	room := height - len(lines)
	if len(v.queues) == 0 && room > 0 {
		return append(lines, cut("no channels", width))
	}
	heading := room >= 5
	if heading {
		room--
	}
	shown := v.queues[:max(0, min(room, len(v.queues)))]
	if len(shown) < len(v.queues) && room > 1 {
		shown = shown[:room-1]
	}
	t := newTable(shown, width)
	if heading {
		lines = append(lines, s.bold(t.heading()))
	}
	for i := range shown {
		lines = append(lines, t.line(&shown[i], s))
	}
	if more := len(v.queues) - len(shown); more > 0 && room > 1 {
		lines = append(lines, cut(fmt.Sprintf("%s %s more", s.ellipsis, figures.Count(uint64(more))), width))
	}
	return lines
}

// segment is a figure of the whole node: in full, shorter, and for a terminal without room.
type segment [3]string

func (v *view) segments() []segment {
	memory := "memory " + figures.Size(v.Process.RSS)
	if percent := v.Process.MemoryPercent(); !math.IsNaN(percent) {
		memory += fmt.Sprintf(" (%.1f %%", percent)
		if v.Process.Limited() {
			memory += " of " + figures.Size(v.Process.Limit)
		}
		memory += ")"
	}
	connections := fmt.Sprintf("connections %s legacy, %s neo", figures.Count(uint64(v.Legacy.Open)), figures.Count(uint64(v.Neo.Open)))
	limits := ""
	if limit := v.Legacy.Limit; limit > 0 {
		limits = fmt.Sprintf(", limit %s each", figures.Count(uint64(limit)))
	}
	rates := fmt.Sprintf("records/s %s in, %s out", figures.Rate(v.in), figures.Rate(v.out))
	records, bytes := v.Stored()
	stored := fmt.Sprintf("stored %s records, %s", figures.Count(records), figures.Size(bytes))
	return []segment{
		{memory, memory, figures.ShortSize(v.Process.RSS) + " rss"},
		{connections + limits, connections, figures.ShortCount(uint64(v.Legacy.Open+v.Neo.Open)) + " conns"},
		{rates, rates, figures.ShortRate(v.in+v.out) + " rec/s"},
		{stored, stored, figures.ShortCount(records) + " recs " + figures.ShortSize(bytes)},
	}
}

// header puts the segments into at most height lines, in the longest form for which that is
// possible.
func header(segments []segment, width, height int) (lines []string) {
	for form := range len(segment{}) {
		var texts []string
		longest := 0
		for _, s := range segments {
			texts = append(texts, s[form])
			longest = max(longest, len(s[form]))
		}
		if lines = pack(texts, width); longest <= width && len(lines) <= height {
			return lines
		}
	}
	lines = lines[:min(len(lines), height)]
	for i := range lines {
		lines[i] = cut(lines[i], width)
	}
	return lines
}

// pack puts texts into lines, as many as fit into each.
func pack(texts []string, width int) (lines []string) {
	const separator = "  "
	for _, text := range texts {
		last := len(lines) - 1
		if last >= 0 && len(lines[last])+len(separator)+len(text) <= width {
			lines[last] += separator + text
		} else {
			lines = append(lines, text)
		}
	}
	return lines
}

// table is how the queues are laid out.
type table struct {
	name, bar int // columns; no bar if 0
	columns   []column
}

// column is one of those behind the bar, aligned to the right.
type column struct {
	title string
	width int
	text  func(q *queue) string
}

// columns in the order in which they are left out, the last one first.
var columns = []column{
	{"RECORDS", 13, func(q *queue) string { return figures.CountIn(q.MemoryRecords+q.OverflowRecords, 13) }},
	{"BYTES", 10, func(q *queue) string { return figures.Size(q.MemoryBytes + q.OverflowBytes) }},
	{"OVERFLOW", 10, func(q *queue) string {
		if q.OverflowRecords == 0 {
			return "-"
		}
		return figures.Size(q.OverflowBytes)
	}},
	{"IN/S      OUT/S", 20, func(q *queue) string {
		return fmt.Sprintf("%9s  %9s", figures.RateIn(q.in, 9), figures.RateIn(q.out, 9))
	}},
	{"UNCONFIRMED", 13, func(q *queue) string {
		switch {
		case q.Unsettled.Records == 0:
			return "-"
		case q.unconfirmed == 0:
			return figures.CountIn(q.Unsettled.Records, 13)
		}
		return figures.ShortCount(q.Unsettled.Records) + ", " + figures.ShortAge(q.unconfirmed)
	}},
}

const (
	gap      = 2  // columns between columns
	fullness = 5  // columns of "100 %"
	leastBar = 10 // a shorter one says nothing
	mostBar  = 40
	someName = 16 // columns that names get before anything else does
)

// newTable fits the columns to the width.
func newTable(queues []queue, width int) (t table) {
	longest := len("CHANNEL")
	for i := range queues {
		longest = max(longest, len(queues[i].name))
	}
	t.name = max(1, min(longest, someName, width-gap-fullness))
	room := width - t.name - gap - fullness
	if room >= gap+leastBar {
		t.bar = leastBar
		room -= gap + leastBar
		for _, c := range columns {
			if room < gap+c.width {
				break
			}
			t.columns = append(t.columns, c)
			room -= gap + c.width
		}
	}
	more := max(0, min(room, longest-t.name))
	t.name += more
	if t.bar > 0 {
		t.bar = min(mostBar, t.bar+room-more)
	}
	return t
}

func (t *table) heading() string {
	line := fmt.Sprintf("%-*s%*s", t.name, cut("CHANNEL", t.name), gap+fullness, "FULL")
	if t.bar > 0 {
		line += strings.Repeat(" ", gap+t.bar)
	}
	for _, c := range t.columns {
		line += fmt.Sprintf("%*s", gap+c.width, c.title)
	}
	return strings.TrimRight(line, " ")
}

func (t *table) line(q *queue, s style) string {
	percent := fmt.Sprintf("%*s", gap+fullness, figures.Percent(q.fullness()))
	if t.bar > 0 {
		percent += strings.Repeat(" ", gap) + s.bar(q.fullness(), t.bar)
	}
	line := fmt.Sprintf("%-*s", t.name, s.cut(q.name, t.name)) + s.alarming(percent, q)
	for _, c := range t.columns {
		line += fmt.Sprintf("%*s", gap+c.width, c.text(q))
	}
	return line
}

// cut cuts ASCII text to a width.
func cut(text string, width int) string { return text[:min(len(text), max(0, width))] }
