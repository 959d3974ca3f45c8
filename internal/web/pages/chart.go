package pages

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
)

// chart is lines over some time, drawn in a box of chartWidth × chartHeight that the
// page stretches.
type chart struct {
	ID, Title      string
	Format, Unit   string // of the values, for the script
	Span           int    // seconds
	SpanText       string
	Top            float64
	TopLabel, Half string
	Lines          []chartLine
}

type chartLine struct {
	Name, Class string
	Now         string // the newest value
	Path        string // SVG path data
	Area        string // the same, closed at the bottom
}

const (
	chartWidth  = 300
	chartHeight = 100
)

// scale is how the values of a chart are written, and where it may end.
type scale struct {
	name   string // for the script
	unit   string
	least  float64 // that the chart shows
	format func(float64) string
	top    func(highest float64) float64 // a number that is easily read
}

var (
	rate    = scale{"decimal", "/s", 10, figures.ShortRate, nice}
	traffic = scale{"binary", "/s", 10, func(v float64) string { return figures.Size(uint64(v)) }, powerOfTwo}
	count   = scale{"decimal", "", 10, func(v float64) string { return figures.ShortCount(uint64(v)) }, nice}
	age     = scale{"age", "", 0.01, duration, niceAge}
)

// duration writes a time that may be short.
func duration(seconds float64) string {
	switch {
	case seconds == 0:
		return "0 s"
	case seconds < 1e-3:
		return fmt.Sprintf("%.0f µs", seconds*1e6)
	case seconds < 0.1:
		return fmt.Sprintf("%.1f ms", seconds*1e3)
	case seconds < 1:
		return fmt.Sprintf("%.0f ms", seconds*1e3)
	case seconds < 10:
		return fmt.Sprintf("%.1f s", seconds)
	}
	text := figures.Age(time.Duration(seconds * float64(time.Second)))
	for _, nothing := range []string{" 0 s", " 0 min", " 0 h"} {
		text = strings.TrimSuffix(text, nothing)
	}
	return text
}

// niceAge is the smallest easily read time that is not smaller.
func niceAge(v float64) float64 {
	if v < 1 {
		return nice(v*1e3) / 1e3
	}
	for _, t := range []float64{1, 2, 4, 10, 20, 30, 60, 120, 240, 600, 1200, 1800, 3600, 7200, 14400, 28800, 43200, 86400} {
		if t >= v {
			return t
		}
	}
	return 86400 * nice(v/86400)
}

// newChart draws a line for each of the series, whose values come one a point of that many, the
// newest at the right edge. The time that it shows is of that length.
func newChart(id, title string, of scale, span time.Duration, points int, series ...series) chart {
	c := chart{ID: id, Title: title, Format: of.name, Unit: of.unit, Span: int(span.Seconds()), SpanText: spanText(span)}
	highest := 0.0
	for _, s := range series {
		for _, v := range s.values {
			highest = max(highest, v)
		}
	}
	c.Top = of.top(max(highest, of.least))
	c.TopLabel, c.Half = of.format(c.Top), of.format(c.Top/2)
	for _, s := range series {
		line := chartLine{Name: s.name, Class: s.class, Now: of.format(s.newest())}
		line.Path, line.Area = path(s.values, points, chartWidth, chartHeight, c.Top)
		c.Lines = append(c.Lines, line)
	}
	return c
}

func spanText(span time.Duration) string {
	switch {
	case span >= 24*time.Hour:
		return "a day"
	case span >= time.Hour:
		return "an hour"
	}
	return fmt.Sprintf("%.0f minutes", span.Minutes())
}

// series is the values of a line.
type series struct {
	name, class string
	values      []float64
}

// newest is an average of the last few values, so that it can be read.
func (s series) newest() float64 {
	last := s.values[max(0, len(s.values)-3):]
	sum := 0.0
	for _, v := range last {
		sum += v
	}
	return sum / float64(max(1, len(last)))
}

// path draws up to points values over the width, from the right edge, up to top.
func path(values []float64, points int, width, height, top float64) (line, area string) {
	if len(values) == 0 {
		return "", ""
	}
	var p strings.Builder
	step := width / float64(max(1, points-1))
	x := width - step*float64(len(values)-1)
	first := x
	for i, v := range values {
		p.WriteByte(map[bool]byte{true: 'M', false: 'L'}[i == 0])
		p.WriteString(coordinate(x))
		p.WriteByte(' ')
		p.WriteString(coordinate(height * (1 - min(1, v/top))))
		x += step
	}
	if len(values) == 1 {
		p.WriteString("h0") // a dot
	}
	line = p.String()
	return line, line + "V" + coordinate(height) + "H" + coordinate(first) + "Z"
}

func coordinate(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// nice is the smallest of 1, 2, 4, 10, 20, 40, … that is not smaller.
func nice(v float64) float64 {
	top := 1.0
	for {
		for _, step := range []float64{1, 2, 4} {
			if top*step >= v {
				return top * step
			}
		}
		top *= 10
	}
}

func powerOfTwo(v float64) float64 { return math.Exp2(math.Ceil(math.Log2(v))) }
