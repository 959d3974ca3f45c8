package top

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// column is a column of a table.
type column struct {
	title string
	width int // 0: what is left
}

// The columns of queues, for screens of that width and more.
var layouts = []struct {
	width   int
	columns []column
}{
	{100, []column{{"QUEUE", 0}, {"RECORDS", 8}, {"DISK", 7}, {"BYTES", 7}, {"FULL", 5}, {"IN/S", 7}, {"OUT/S", 7}, {"AGE", 6}, {"UNCONF", 7}, {"FOR", 6}, {"CONS", 5}}},
	{78, []column{{"QUEUE", 0}, {"RECORDS", 8}, {"DISK", 7}, {"BYTES", 7}, {"FULL", 5}, {"IN/S", 7}, {"OUT/S", 7}, {"AGE", 6}, {"UNCONF", 7}, {"CONS", 5}}},
	{70, []column{{"QUEUE", 0}, {"RECORDS", 8}, {"DISK", 7}, {"BYTES", 7}, {"FULL", 5}, {"IN/S", 7}, {"OUT/S", 7}, {"AGE", 6}, {"CONS", 5}}},
	{44, []column{{"QUEUE", 0}, {"RECORDS", 8}, {"FULL", 5}, {"IN/S", 7}, {"OUT/S", 7}}},
	{0, []column{{"QUEUE", 0}, {"RECORDS", 8}}},
}

// minName is the width that names get at least.
const minName = 8

func layout(width int) []column {
	for _, l := range layouts {
		if width >= l.width {
			return l.columns
		}
	}
	return nil // not reached: the last one fits all
}

// line puts what belongs into each column side by side. Names are cut if they must.
func line(width int, cell func(title string) string) string {
	columns := layout(width)
	name := width
	for _, c := range columns {
		name -= c.width
	}
	name = max(name, minName)
	var b strings.Builder
	for _, c := range columns {
		if c.width == 0 {
			b.WriteString(pad(cell(c.title), name))
		} else {
			fmt.Fprintf(&b, "%*s", c.width, cell(c.title))
		}
	}
	return b.String()
}

// pad makes a name that wide; what is cut off shows.
func pad(name string, width int) string {
	runes := []rune(name)
	if len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return name + strings.Repeat(" ", width-len(runes))
}

// head is the line above the queues.
func head(width int) string {
	return line(width, func(title string) string { return title })
}

// row is the line of a queue.
func (q *Queue) row(width int) string {
	return line(width, q.cell)
}

func (q *Queue) cell(title string) string {
	switch title {
	case "RECORDS":
		return number(q.Records)
	case "DISK":
		return number(q.Overflow)
	case "BYTES":
		return number(q.Bytes)
	case "FULL":
		return fmt.Sprintf("%.0f%%", q.Fullness*100)
	case "IN/S":
		return rate(q.In)
	case "OUT/S":
		return rate(q.Out)
	case "AGE":
		return age(q.Age)
	case "UNCONF":
		return number(q.Unconfirmed)
	case "FOR":
		return age(q.UnconfirmedAge)
	case "CONS":
		return number(q.Consumers)
	}
	return printable(q.name())
}

// line is the line of a node.
func (n *Node) line() string {
	if n.Error != "" {
		return n.Node + "  " + printable(n.Error)
	}
	return fmt.Sprintf("%s  %s records, in %s/s, out %s/s, %s connections",
		n.Node, number(n.Records), rate(n.In), rate(n.Out), number(n.Connections))
}

// Write prints the state as a table of that width.
func (s State) Write(out io.Writer, width int) error {
	var b strings.Builder
	for i := range s.Nodes {
		b.WriteString(s.Nodes[i].line() + "\n")
	}
	b.WriteString("\n" + head(width) + "\n")
	for i := range s.Queues {
		b.WriteString(s.Queues[i].row(width) + "\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// number prints a number with three digits at least and its power of 1000.
func number(v float64) string {
	const units = " kMGTP"
	i := 0
	for v >= 9999.5 && i < len(units)-1 {
		v /= 1000
		i++
	}
	switch {
	case i == 0:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v < 99.95:
		return fmt.Sprintf("%.1f%c", v, units[i])
	}
	return fmt.Sprintf("%.0f%c", v, units[i])
}

func rate(v *float64) string {
	if v == nil {
		return "-"
	}
	return number(*v)
}

// age prints seconds in the largest unit of which there is one.
func age(seconds float64) string {
	for _, unit := range []struct {
		seconds float64
		name    string
	}{{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}} {
		if seconds >= unit.seconds {
			return fmt.Sprintf("%.0f%s", seconds/unit.seconds, unit.name)
		}
	}
	if seconds == 0 {
		return "-"
	}
	return (time.Duration(seconds*1000) * time.Millisecond).String()
}

// printable escapes what a terminal would obey: names come from the network.
func printable(name string) string {
	quoted := strconv.QuoteToGraphic(name)
	return quoted[1 : len(quoted)-1]
}
