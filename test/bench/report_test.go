package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestSummaryOfRounds(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   *summary
	}{
		{nil, nil},
		{[]float64{3}, &summary{3, 3, 3}},
		{[]float64{4, 1}, &summary{2.5, 1, 4}},
		{[]float64{9, 1, 2}, &summary{2, 1, 9}},
	} {
		if got := summarize(c.values); !reflect.DeepEqual(got, c.want) {
			t.Errorf("summarize(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestRatioIsTakenRoundByRound(t *testing.T) {
	// The machine was ten times slower in round 2; the node reached 90 % of the ceiling.
	node, ceiling := []float64{90, 9, 90}, []float64{100, 10, 100}
	if got, want := summarize(ratios(node, ceiling)), (summary{0.9, 0.9, 0.9}); *got != want {
		t.Errorf("ratio %v, want %v", *got, want)
	}
	if got := ratios(nil, ceiling); got != nil {
		t.Errorf("ratio without a node %v, want none", got)
	}
}

func TestValuesKeepThreeDigits(t *testing.T) {
	for _, c := range []struct {
		unit  unit
		value float64
		want  string
	}{
		{perSecond, 999, "999 /s"},
		{perSecond, 94_123, "94.1 k/s"},
		{perSecond, 2_512_000, "2.51 M/s"},
		{perSecond, 999_900, "1000 k/s"},
		{microseconds, 125.4, "125 µs"},
		{megabytes, 29.96, "30.0 MB"},
		{megabytes, 1385.2, "1385 MB"},
	} {
		if got := c.unit.format(c.value); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.value, c.unit, got, c.want)
		}
	}
}

var exampleReport = report{Size: 100, Rounds: 3, Seconds: 2, CPUs: 2, Rows: []row{
	newRow(workload{name: "push", about: "Push one at a time"}, metric{unit: perSecond, goal: 0.9},
		series{values: []float64{90e3, 95e3, 99e3}, cpu: []float64{4, 5, 6}},
		series{values: []float64{100e3, 100e3, 110e3}, cpu: []float64{3.25}}),
	newRow(workload{name: "idle"}, metric{unit: megabytes}, series{}, series{values: []float64{7.5}}),
}}

func TestVerdictIsOfTheMedian(t *testing.T) {
	values := func(v ...float64) series { return series{values: v} }
	for _, c := range []struct {
		metric        metric
		node, ceiling series
		goal, verdict string
	}{
		{metric{unit: perSecond}, values(1), values(1), "-", "-"},
		{metric{unit: perSecond, goal: 0.9}, values(95, 90, 1), values(100, 100, 100), "≥ 0.90", "reached"},
		{metric{unit: perSecond, goal: 0.9}, values(89), values(100), "≥ 0.90", "missed"},
		{metric{unit: microseconds, goal: 2}, values(200), values(100), "≤ 2.00", "reached"},
		{metric{unit: microseconds, goal: 2}, values(201), values(100), "≤ 2.00", "missed"},
		{metric{unit: microseconds, above: 5000}, values(15_000, 16_000, 900), values(10_000, 1000, 100), "≤ +5000 µs", "reached"},
		{metric{unit: microseconds, above: 5000}, values(15_001), values(10_000), "≤ +5000 µs", "missed"},
		{metric{unit: microseconds, above: 5000}, values(), values(10_000), "≤ +5000 µs", "-"},
	} {
		r := newRow(workload{}, c.metric, c.node, c.ceiling)
		if r.goal() != c.goal || r.verdict() != c.verdict {
			t.Errorf("%v, %v beside %v: %q %q, want %q %q", c.metric, c.node.values, c.ceiling.values, r.goal(), r.verdict(), c.goal, c.verdict)
		}
	}
}

func TestTableIsAligned(t *testing.T) {
	want := `records of 100 bytes, 3 rounds of 2 s, 2 CPUs; median, min and max of the rounds

  workload             node       min       max  ceiling      min      max  node/ceiling   min   max    goal           CPU s/M node  ceiling
  push             95.0 k/s  90.0 k/s  99.0 k/s  100 k/s  100 k/s  110 k/s          0.90  0.90  0.95  ≥ 0.90  reached         5.000    3.250
  idle                    -         -         -  7.50 MB  7.50 MB  7.50 MB             -     -     -       -        -             -        -
`
	var got strings.Builder
	if err := exampleReport.writeTable(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("table:\n%s\nwant:\n%s", got.String(), want)
	}
}

func TestMarkdownHasMediansRatioAndGoal(t *testing.T) {
	want := []string{
		"Records of 100 bytes unless said otherwise, median of 3 rounds of 2 s, 2 CPUs (" + processor() + ").", "",
		"| workload | node | ceiling | node/ceiling | goal | |", "|---|---|---|---|---|---|",
		"| Push one at a time | 95.0 k/s | 100 k/s | 0.90 | ≥ 0.90 | reached |",
		"|  | - | 7.50 MB | - | - | - |", "",
	}
	var got strings.Builder
	if err := exampleReport.writeMarkdown(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != strings.Join(want, "\n") {
		t.Errorf("table:\n%s\nwant:\n%s", got.String(), strings.Join(want, "\n"))
	}
}

func TestJSONSaysNullWhereNothingIsKnown(t *testing.T) {
	var text strings.Builder
	if err := exampleReport.writeJSON(&text); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Rows []map[string]any `json:"rows"`
	}
	if err := json.Unmarshal([]byte(text.String()), &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{
			"workload": "push", "about": "Push one at a time", "goal": 0.9, "unit": "records/s",
			"node":                   map[string]any{"median": 95e3, "min": 90e3, "max": 99e3},
			"ceiling":                map[string]any{"median": 100e3, "min": 100e3, "max": 110e3},
			"ratio":                  map[string]any{"median": 0.9, "min": 0.9, "max": 0.95},
			"node_cpu_s_per_million": 5.0, "ceiling_cpu_s_per_million": 3.25,
		},
		{
			"workload": "idle", "about": "", "unit": "MB", "node": nil, "ratio": nil,
			"ceiling": map[string]any{"median": 7.5, "min": 7.5, "max": 7.5},
		},
	}
	if !reflect.DeepEqual(got.Rows, want) {
		t.Errorf("rows %v\nwant %v", got.Rows, want)
	}
}
