package web

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Figures as people read them.

// formatCount groups the digits: 12,345.
func formatCount(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// formatRate is a number with at most three digits that count: 0.4, 12, 3.4 k, 1.2 M.
func formatRate(v float64) string { return scaled(v, []string{"", " k", " M", " G", " T"}) }

// formatBytes is a size in decimal units, those of channel_size_limit.
func formatBytes(v float64) string {
	return scaled(v, []string{" B", " kB", " MB", " GB", " TB", " PB"})
}

func scaled(v float64, units []string) string {
	i := 0
	for ; v >= 999.5 && i < len(units)-1; i++ {
		v /= 1000
	}
	digits := 0
	if v < 9.95 && v != math.Trunc(v) {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + units[i]
}

// formatDuration tells the two largest units of a time: 3 d 4 h, 12 s.
func formatDuration(d time.Duration) string {
	days, hours := int(d.Hours())/24, int(d.Hours())%24
	minutes, seconds := int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min %d s", minutes, seconds)
	}
	return fmt.Sprintf("%d s", seconds)
}

// formatShort tells the time that a request takes.
func formatShort(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", float64(d)/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// nice is the smallest of 1, 2, 4, 10, 20, 40, … that is not smaller: the top of a chart.
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
