package check

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

var situations = map[Situation]string{
	Empty:   "no records, no subscriptions.",
	Stopped: "stopped cleanly.",
	Kept: "stopped cleanly, and the records stayed in ring files ([Storage] stop = keep). The next start of this node goes on " +
		"with them; an original node finds none of them before 'dmq export'.",
	Outdated: "the overflow index tells something else than the overflow data file. An original node was killed, " +
		"or a file was changed. The numbers are those that the next start goes on with.",
	Killed: "a node was killed or crashed. The numbers are those that the next start goes on with.",
	Interrupted: "a start was interrupted, or a clean stop that had not done all. " +
		"The numbers are those that the next start goes on with.",
	Running: "in use by a running node. The numbers are a snapshot, and records are not verified.",
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	writeWrapped(out, "", r.Directory+": "+situations[r.Situation])
	if len(r.Storages) > 0 {
		fmt.Fprintln(out)
		writeTable(out, r.table())
	}
	writeFaults(out, r.Faults)
	if len(r.Incomplete) > 0 {
		fmt.Fprint(out, "\nThe report is incomplete:\n")
		for _, reason := range r.Incomplete {
			writeWrapped(out, "  ", reason)
		}
	}
	if len(r.Notes) > 0 {
		fmt.Fprint(out, "\nWorth knowing:\n")
		for _, n := range r.Notes {
			writeWrapped(out, "  ", printable(n.File)+": "+n.Text)
		}
	}
	switch {
	case len(r.Faults) > 0:
		fmt.Fprintf(out, "\nFaults: %d\n", len(r.Faults))
	case len(r.Incomplete) == 0:
		fmt.Fprint(out, "\nNo faults.\n")
	}
	return out.Flush()
}

// table lists the storages, with the headings first and the totals last.
func (r *Report) table() [][]string {
	rows := [][]string{
		{"", "", "memory:", "", "overflow:", "", "total:", ""},
		{"storage", "kind", "records", "bytes", "records", "bytes", "records", "bytes"},
	}
	row := func(name, kind string, c Counts) {
		cells := []string{name, kind}
		for _, count := range []Count{c.Memory, c.Overflow, c.Total} {
			cells = append(cells, strconv.FormatUint(count.Records, 10), strconv.FormatUint(count.Bytes, 10))
		}
		rows = append(rows, cells)
	}
	for _, s := range r.Storages {
		row(s.Name, string(s.Kind), s.Counts)
	}
	row(fmt.Sprintf("total: %d", len(r.Storages)), "", r.Totals)
	return rows
}

// writeTable aligns names to the left and numbers to the right.
func writeTable(out io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		line := fmt.Sprintf("%-*s  %-*s", widths[0], row[0], widths[1], row[1])
		for i, cell := range row[2:] {
			line += fmt.Sprintf("  %*s", widths[2+i], cell)
		}
		fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
}

// writeFaults writes what faults have in common once.
func writeFaults(out io.Writer, faults []Fault) {
	for i, f := range faults {
		if i == 0 || f.Meaning != faults[i-1].Meaning || f.Remedy != faults[i-1].Remedy {
			fmt.Fprintln(out)
		}
		where := []string{printable(f.File)}
		if f.Offset > 0 {
			where = append(where, fmt.Sprintf("offset %d", f.Offset))
		}
		if f.Storage != "" {
			where = append(where, "storage "+printable(f.Storage))
		}
		writeWrapped(out, "FAULT ", strings.Join(where, ", ")+": "+f.Problem)
		if i+1 == len(faults) || f.Meaning != faults[i+1].Meaning || f.Remedy != faults[i+1].Remedy {
			writeWrapped(out, "  means: ", f.Meaning)
			writeWrapped(out, "  to do: ", f.Remedy)
		}
	}
}

// printable quotes a name that a terminal could not show, or would obey: a damaged one can be
// any bytes.
func printable(name string) string {
	for _, r := range name {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return strconv.Quote(name)
		}
	}
	return name
}

// lineWidth is how wide text may be, in bytes.
const lineWidth = 100

// writeWrapped writes words in lines of that width, the first of which begins with a label.
func writeWrapped(out io.Writer, label, text string) {
	line, words := label, 0
	for _, word := range strings.Fields(text) {
		if words > 0 && len(line)+1+len(word) > lineWidth {
			fmt.Fprintln(out, line)
			line, words = strings.Repeat(" ", len(label)), 0
		}
		if words > 0 {
			line += " "
		}
		line += word
		words++
	}
	fmt.Fprintln(out, line)
}

// mostListed bounds how many things one text lists.
const mostListed = 20

func brief(texts []string) string {
	if more := len(texts) - mostListed; more > 0 {
		texts = append(texts[:mostListed:mostListed], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}
