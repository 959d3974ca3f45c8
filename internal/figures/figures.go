// Package figures writes figures for people, the same way wherever they are shown: on the
// console, on the status page and in dmq top.
//
//	Count  12,345      ShortCount  12.3k     records, connections
//	Rate   12,345      ShortRate   12.3k     a second; below 10 with one decimal: 0.4
//	Size   1.1 MiB     ShortSize   1.1M      bytes, in powers of 1024 both times
//	Age    3 d 4 h     ShortAge    3d
//	Percent 87 %                             of a part, 0 to 1
//
// The short forms take five columns at most, and are for where there is no room. Whoever needs
// the exact value asks for it in stats.log, in the metrics or with --json.
//
// PerSecond makes rates of counters. The package knows no other.
package figures

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Count groups the digits by three.
func Count(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// CountIn is a Count that has room for so many columns, five or more.
func CountIn(n uint64, columns int) string {
	if text := Count(n); len(text) <= columns {
		return text
	}
	return ShortCount(n)
}

// ShortCount has three digits, and the power of 1000.
func ShortCount(n uint64) string { return short(float64(n)) }

// Rate is events a second.
func Rate(perSecond float64) string {
	if slow(perSecond) {
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	}
	return Count(uint64(math.Round(perSecond)))
}

// RateIn is a Rate that has room for so many columns, five or more.
func RateIn(perSecond float64, columns int) string {
	if text := Rate(perSecond); len(text) <= columns {
		return text
	}
	return ShortRate(perSecond)
}

// ShortRate has three digits, and the power of 1000.
func ShortRate(perSecond float64) string {
	if slow(perSecond) {
		return Rate(perSecond)
	}
	return short(perSecond)
}

// slow tells a rate of which a decimal says something. An average that fades away reaches 0.
func slow(perSecond float64) bool {
	return perSecond >= 0.05 && perSecond < 9.95 && perSecond != math.Trunc(perSecond)
}

// Size is a number of bytes.
func Size(bytes uint64) string {
	value, unit := scaled(float64(bytes), 1024, "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
	return value + " " + unit
}

// ShortSize is a number of bytes.
func ShortSize(bytes uint64) string {
	value, unit := scaled(float64(bytes), 1024, "B", "K", "M", "G", "T", "P", "E")
	return value + unit
}

// Percent writes a part of a whole. It cuts off what is behind the point, as stats.log does, so
// that 100 % is full.
func Percent(part float64) string {
	const inexact = 1e-9 // 0.29 is a little less than 29/100
	return strconv.Itoa(int(100*part+inexact)) + " %"
}

// Age is the time since something, in its two largest units.
func Age(d time.Duration) string {
	days, hours, minutes, seconds := parts(d)
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

// ShortAge is the time since something, in its largest unit.
func ShortAge(d time.Duration) string {
	days, hours, minutes, seconds := parts(d)
	switch {
	case days > 0:
		return fmt.Sprintf("%dd", days)
	case hours > 0:
		return fmt.Sprintf("%dh", hours)
	case minutes > 0:
		return fmt.Sprintf("%dm", minutes)
	}
	return fmt.Sprintf("%ds", seconds)
}

func parts(d time.Duration) (days, hours, minutes, seconds int) {
	seconds = int(max(0, d) / time.Second)
	return seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60
}

// PerSecond is how fast a counter grew. One that shrank has begun anew, with a new channel of the
// same name or a new node, nobody knows when: its rate is 0 until the next look.
func PerSecond(before, now uint64, took time.Duration) float64 {
	if now <= before || took <= 0 {
		return 0
	}
	return float64(now-before) / took.Seconds()
}

// short writes a number in five columns.
func short(n float64) string {
	value, unit := scaled(n, 1000, "", "k", "M", "G", "T", "P", "E")
	return value + unit
}

// scaled divides a number by the base until it is smaller. If that leaves no more than two
// digits before the point, there is one behind it.
func scaled(n, base float64, units ...string) (value, unit string) {
	i := 0
	for ; n >= base-0.5 && i < len(units)-1; i++ {
		n /= base
	}
	if i > 0 && n < 99.95 {
		return fmt.Sprintf("%.1f", n), units[i]
	}
	return fmt.Sprintf("%.0f", n), units[i]
}
