package clients

import (
	"fmt"
	"strings"
)

// Excerpt is a record for a message.
func Excerpt(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%q… (%d bytes)", s[:50], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// Record returns a record of the given size, at least 8, that tells its number.
func Record(number, size int) string {
	head := fmt.Sprintf("%07d ", number)
	return head + strings.Repeat(string(rune('a'+number%26)), size-len(head))
}

// RecordNumber returns the number of a record and requires it to be whole.
func RecordNumber(text string, size int) (int, error) {
	var number int
	if _, err := fmt.Sscanf(text, "%07d ", &number); err != nil || text != Record(number, size) {
		return 0, fmt.Errorf("got %s, want a record of %d bytes", Excerpt(text), size)
	}
	return number, nil
}

// Numbered returns the records of numbers first to last-1.
func Numbered(first, last, size int) (records []string) {
	for number := first; number < last; number++ {
		records = append(records, Record(number, size))
	}
	return records
}

// Excerpts is some of the records for a message.
func Excerpts(records []string) string {
	var text strings.Builder
	for _, r := range records[:min(4, len(records))] {
		fmt.Fprintf(&text, "%s, ", Excerpt(r))
	}
	return fmt.Sprintf("[%s] (%d records)", strings.TrimSuffix(text.String(), ", "), len(records))
}
