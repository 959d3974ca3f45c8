package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"text/tabwriter"
)

// unit is what a value counts.
type unit string

const (
	perSecond    unit = "records/s"
	microseconds unit = "µs"
	megabytes    unit = "MB"
)

// format prints a value with its unit.
func (u unit) format(value float64) string {
	switch {
	case u != perSecond:
		return digits(value) + " " + string(u)
	case value >= 1e6:
		return digits(value/1e6) + " M/s"
	case value >= 1e3:
		return digits(value/1e3) + " k/s"
	default:
		return digits(value) + " /s"
	}
}

// digits prints a value with three digits, or all those in front of the point.
func digits(value float64) string {
	switch {
	case value >= 100:
		return fmt.Sprintf("%.0f", value)
	case value >= 10:
		return fmt.Sprintf("%.1f", value)
	default:
		return fmt.Sprintf("%.2f", value)
	}
}

// summary is what a report says about the values of all rounds.
type summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// summarize returns nil for no values.
func summarize(values []float64) *summary {
	if len(values) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(values))
	upper, lower := sorted[len(sorted)/2], sorted[(len(sorted)-1)/2]
	return &summary{Median: (lower + upper) / 2, Min: sorted[0], Max: sorted[len(sorted)-1]}
}

// series are the values that one target reached in one metric, one a round.
type series struct {
	values []float64
	cpu    []float64 // seconds a million records
}

// row is one metric in the report.
type row struct {
	Workload string `json:"workload"`
	About    string `json:"about"`
	Metric   string `json:"metric,omitempty"`
	Unit     unit   `json:"unit"`

	// Of all rounds; nil where the target can't be measured.
	Node    *summary `json:"node"`
	Ceiling *summary `json:"ceiling"`
	// Node divided by ceiling, round by round: what disturbs the machine disturbs the
	// two turns of a round alike.
	Ratio *summary `json:"ratio"`
	// What the ratio is to reach, or for a time not to exceed; 0 = that is not said.
	Goal float64 `json:"goal,omitempty"`
	// Node less ceiling, round by round, and what that is not to exceed; where that is said.
	Difference *summary `json:"difference,omitempty"`
	Above      float64  `json:"above,omitempty"`

	// CPU seconds a million records, median.
	NodeCPU    *float64 `json:"node_cpu_s_per_million,omitempty"`
	CeilingCPU *float64 `json:"ceiling_cpu_s_per_million,omitempty"`
}

func newRow(w workload, m metric, node, ceiling series) row {
	r := row{
		Workload: w.name, About: w.about, Metric: m.name, Unit: m.unit,
		Node: summarize(node.values), Ceiling: summarize(ceiling.values),
		Ratio:   summarize(ratios(node.values, ceiling.values)),
		Goal:    m.goal,
		Above:   m.above,
		NodeCPU: median(node.cpu), CeilingCPU: median(ceiling.cpu),
	}
	if m.above > 0 {
		r.Difference = summarize(byRound(node.values, ceiling.values, func(node, ceiling float64) float64 { return node - ceiling }))
	}
	return r
}

// ratios divides value by value; there are none if one side has none.
func ratios(node, ceiling []float64) []float64 {
	return byRound(node, ceiling, func(node, ceiling float64) float64 { return node / ceiling })
}

func byRound(node, ceiling []float64, compare func(node, ceiling float64) float64) (values []float64) {
	for i := range min(len(node), len(ceiling)) {
		values = append(values, compare(node[i], ceiling[i]))
	}
	return values
}

func median(values []float64) *float64 {
	if s := summarize(values); s != nil {
		return &s.Median
	}
	return nil
}

// report is the result of a run.
type report struct {
	Size    int     `json:"record_bytes"`
	Rounds  int     `json:"rounds"`
	Seconds float64 `json:"seconds_per_turn"`
	CPUs    int     `json:"cpus"`
	Rows    []row   `json:"rows"`
}

// writeTable prints the report for people.
func (r report) writeTable(out io.Writer) error {
	fmt.Fprintf(out, "records of %d bytes, %d rounds of %g s, %d CPUs; median, min and max of the rounds\n\n",
		r.Size, r.Rounds, r.Seconds, r.CPUs)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%-*s\tnode\tmin\tmax\tceiling\tmin\tmax\tnode/ceiling\tmin\tmax\tgoal\t\tCPU s/M node\tceiling\t\n", labelWidth, "workload")
	for _, row := range r.Rows {
		ratio := func(value float64) string { return fmt.Sprintf("%.2f", value) }
		fmt.Fprintf(table, "%-*s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", labelWidth, row.Workload+" "+row.Metric,
			cells(row.Node, row.Unit.format), cells(row.Ceiling, row.Unit.format), cells(row.Ratio, ratio), row.goal(), row.verdict(),
			cell(row.NodeCPU), cell(row.CeilingCPU))
	}
	return table.Flush()
}

// goal prints what the ratio is to reach, or the difference not to exceed.
func (r row) goal() string {
	switch {
	case r.Above > 0:
		return "≤ +" + r.Unit.format(r.Above)
	case r.Goal == 0:
		return "-"
	case r.Unit == microseconds:
		return fmt.Sprintf("≤ %.2f", r.Goal)
	}
	return fmt.Sprintf("≥ %.2f", r.Goal)
}

// verdict tells whether the median of the rounds has reached the goal.
func (r row) verdict() string {
	reached := false
	switch {
	case r.Ratio == nil || r.Goal == 0 && r.Above == 0:
		return "-"
	case r.Above > 0:
		reached = r.Difference.Median <= r.Above
	case r.Unit == microseconds:
		reached = r.Ratio.Median <= r.Goal
	default:
		reached = r.Ratio.Median >= r.Goal
	}
	if reached {
		return "reached"
	}
	return "missed"
}

// writeMarkdown prints the medians as a table for docs/performance.md.
func (r report) writeMarkdown(out io.Writer) error {
	fmt.Fprintf(out, "Records of %d bytes unless said otherwise, median of %d rounds of %g s, %d CPUs (%s).\n\n",
		r.Size, r.Rounds, r.Seconds, r.CPUs, processor())
	fmt.Fprintf(out, "| workload | node | ceiling | node/ceiling | goal | |\n|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		median := func(s *summary, format func(float64) string) string {
			if s == nil {
				return "-"
			}
			return format(s.Median)
		}
		what := row.About
		if row.Metric != "" {
			what += ", " + row.Metric
		}
		ratio := func(value float64) string { return fmt.Sprintf("%.2f", value) }
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s |\n", what,
			median(row.Node, row.Unit.format), median(row.Ceiling, row.Unit.format), median(row.Ratio, ratio), row.goal(), row.verdict())
	}
	return nil
}

// processor is the name of the processor, as far as the system tells.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	if match := modelName.FindSubmatch(text); match != nil {
		return string(match[1])
	}
	return runtime.GOARCH
}

var modelName = regexp.MustCompile(`(?m)^model name\s*:\s*(.*)$`)

// labelWidth makes the first column, alone in being aligned left, as wide as its longest.
const labelWidth = len("produce-consume")

func cells(s *summary, format func(float64) string) string {
	if s == nil {
		return "-\t-\t-"
	}
	return format(s.Median) + "\t" + format(s.Min) + "\t" + format(s.Max)
}

func cell(value *float64) string {
	if value == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *value)
}

// writeJSON prints the report for programs.
func (r report) writeJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}
