package web

import (
	"math"
	"strconv"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
)

// chart is lines over the last minutes, drawn in a box of chartWidth × chartHeight that the
// page stretches.
type chart struct {
	ID, Title      string
	Base           int // of the units
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
	base   int // of the units
	format func(float64) string
	top    func(highest float64) float64 // a number that is easily read
}

var (
	decimal = scale{1000, figures.ShortRate, nice}
	binary  = scale{1024, func(v float64) string { return figures.Size(uint64(v)) }, powerOfTwo}
)

// newChart draws a line for each of the series, whose values come one a point, the newest at
// the right edge.
func newChart(id, title string, of scale, series ...series) chart {
	c := chart{ID: id, Title: title, Base: of.base}
	highest := 0.0
	for _, s := range series {
		for _, v := range s.values {
			highest = max(highest, v)
		}
	}
	c.Top = of.top(max(highest, 10))
	c.TopLabel, c.Half = of.format(c.Top), of.format(c.Top/2)
	for _, s := range series {
		line := chartLine{Name: s.name, Class: s.class, Now: of.format(s.newest())}
		line.Path, line.Area = path(s.values, chartPoints, chartWidth, chartHeight, c.Top)
		c.Lines = append(c.Lines, line)
	}
	return c
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
		p.WriteByte("LM"[btoi(i == 0)])
		p.WriteString(coordinate(x))
		p.WriteByte(' ')
		p.WriteString(coordinate(height * (1 - min(1, v/top))))
		x += step
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

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
