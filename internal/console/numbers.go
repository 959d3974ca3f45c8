package console

import (
	"fmt"
	"strconv"
)

// grouped writes a number with a comma between every three digits.
func grouped(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// number writes a number in at most so many columns, five or more.
func number(n uint64, width int) string {
	if text := grouped(n); len(text) <= width {
		return text
	}
	return short(float64(n))
}

// size writes a number of bytes with a binary unit.
func size(n uint64) string {
	value, unit := scaled(float64(n), 1024, "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
	return value + " " + unit
}

// shortSize is size in five columns.
func shortSize(n uint64) string {
	value, unit := scaled(float64(n), 1024, "B", "K", "M", "G", "T", "P", "E")
	return value + unit
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
