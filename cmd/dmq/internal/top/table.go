package top

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
)

// column is a column of a table: figures to the right, with a blank before them.
type column struct {
	title string
	width int // 0: what is left, for names
}

// layout is the columns for screens of that width and more.
type layout struct {
	width   int
	columns []column
}

// A narrow screen has fewer columns, so that no figure is cut.
var (
	queueLayouts = []layout{
		{96, []column{{"QUEUE", 0}, {"RECORDS", 10}, {"DISK", 8}, {"BYTES", 9}, {"FULL", 6}, {"IN/S", 8}, {"OUT/S", 8}, {"AGE", 5}, {"UNCONF", 9}, {"FOR", 5}, {"CONS", 6}}},
		{76, []column{{"QUEUE", 0}, {"RECORDS", 10}, {"DISK", 8}, {"BYTES", 9}, {"FULL", 6}, {"IN/S", 8}, {"OUT/S", 8}, {"AGE", 5}, {"CONS", 6}}},
		{50, []column{{"QUEUE", 0}, {"RECORDS", 10}, {"FULL", 6}, {"IN/S", 8}, {"OUT/S", 8}}},
		{28, []column{{"QUEUE", 0}, {"RECORDS", 10}, {"FULL", 6}}},
		{20, []column{{"QUEUE", 0}, {"RECORDS", 10}}},
		{0, []column{{"QUEUE", 0}}},
	}
	nodeLayouts = []layout{
		{60, []column{{"NODE", 0}, {"RECORDS", 10}, {"BYTES", 9}, {"IN/S", 8}, {"OUT/S", 8}, {"CONS", 7}}},
		{44, []column{{"NODE", 0}, {"RECORDS", 10}, {"IN/S", 8}, {"OUT/S", 8}}},
		{20, []column{{"NODE", 0}, {"RECORDS", 10}}},
		{0, []column{{"NODE", 0}}},
	}
)

// line puts what belongs into each column side by side.
func line(layouts []layout, width int, cell func(c column) string) string {
	var columns []column
	for _, l := range layouts {
		if width >= l.width {
			columns = l.columns
			break
		}
	}
	name := max(1, width)
	for _, c := range columns {
		name -= c.width
	}
	var b strings.Builder
	for _, c := range columns {
		if c.width == 0 {
			b.WriteString(pad(cell(c), name))
		} else {
			fmt.Fprintf(&b, "%*s", c.width, cell(c))
		}
	}
	return b.String()
}

// pad makes a name that wide; what is cut off shows.
func pad(name string, width int) string {
	if shown := cut(name, width); shown != name {
		return shown
	}
	return name + strings.Repeat(" ", width-len([]rune(name)))
}

// cut makes a text no longer than there is room; that it is cut shows.
func cut(text string, width int) string {
	runes := []rune(text)
	switch {
	case len(runes) <= width:
		return text
	case width < 1:
		return ""
	}
	return string(runes[:width-1]) + "…"
}

func title(c column) string { return c.title }

// row is the line of a queue.
func (q *Queue) row(width int) string {
	return q.rowAs(printable(q.name()), width)
}

// rowAs is the line of a queue, or of what several have in common, under some name.
func (q *Queue) rowAs(name string, width int) string {
	return line(queueLayouts, width, func(c column) string {
		room := c.width - 1
		switch c.title {
		case "RECORDS":
			return count(q.Records, room)
		case "DISK":
			return count(q.Overflow, room)
		case "BYTES":
			return figures.Size(uint64(q.Bytes))
		case "FULL":
			return figures.Percent(q.Fullness)
		case "IN/S":
			return rate(q.In, room)
		case "OUT/S":
			return rate(q.Out, room)
		case "AGE":
			return q.age()
		case "UNCONF":
			return count(q.Unconfirmed, room)
		case "FOR":
			return q.unconfirmedAge()
		case "CONS":
			return count(q.Consumers, room)
		}
		return name
	})
}

// age is that of the oldest record, if there is one.
func (q *Queue) age() string {
	if q.Records == 0 {
		return "-"
	}
	return figures.ShortAge(time.Duration(q.Age * float64(time.Second)))
}

// unconfirmedAge is that of the oldest record that is not confirmed, if there is one.
func (q *Queue) unconfirmedAge() string {
	if q.Unconfirmed == 0 {
		return "-"
	}
	return figures.ShortAge(time.Duration(q.UnconfirmedAge * float64(time.Second)))
}

// row is the line of a node.
func (n *Node) row(width int) string {
	if n.Error != "" {
		why := strings.TrimPrefix(n.Error, "dial tcp "+n.Node+": ") // which is there already
		return cut(printable(n.Node)+"  "+printable(why), width)
	}
	return line(nodeLayouts, width, func(c column) string {
		room := c.width - 1
		switch c.title {
		case "RECORDS":
			return count(n.Records, room)
		case "BYTES":
			return figures.Size(uint64(n.Bytes))
		case "IN/S":
			return rate(n.In, room)
		case "OUT/S":
			return rate(n.Out, room)
		case "CONS":
			return count(n.Connections, room)
		}
		return printable(n.Node)
	})
}

// summary is the line of all nodes together.
func (s *State) summary() string {
	failed := 0
	var connections float64
	for _, n := range s.Nodes {
		connections += n.Connections
		if n.Error != "" {
			failed++
		}
	}
	text := counted(len(s.Nodes), "node")
	if failed > 0 {
		text += fmt.Sprintf(", %d of them away", failed)
	}
	return text + ", " + figures.Count(uint64(connections)) + " connections"
}

// Write prints the state as tables of that width.
func (s State) Write(out io.Writer, width int) error {
	lines := []string{line(nodeLayouts, width, title)}
	for i := range s.Nodes {
		lines = append(lines, s.Nodes[i].row(width))
	}
	total := s.Total()
	lines = append(lines, "", line(queueLayouts, width, title), total.rowAs(counted(len(s.Queues), "queue"), width))
	for i := range s.Queues {
		lines = append(lines, s.Queues[i].row(width))
	}
	_, err := io.WriteString(out, strings.Join(lines, "\n")+"\n")
	return err
}

func count(n float64, room int) string { return figures.CountIn(uint64(n), room) }

func rate(perSecond *float64, room int) string {
	if perSecond == nil {
		return "-"
	}
	return figures.RateIn(*perSecond, room)
}

// counted says how many there are of something.
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return figures.Count(uint64(n)) + " " + what
}

// printable escapes what a terminal would obey: names come from the network.
func printable(name string) string {
	quoted := strconv.QuoteToGraphic(name)
	return quoted[1 : len(quoted)-1]
}
