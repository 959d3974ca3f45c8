package main

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// A line is a record or it is refused: no line is ever several records.
func TestLinesOfTheLargestSize(t *testing.T) {
	for _, limit := range []int{1, 4095, 4096, 4097, 10_000} { // the buffer has 4096
		for longer, want := range []error{io.EOF, queue.ErrRecord} {
			for _, end := range []string{"\nz\n", "\nz", "\n", ""} {
				long := strings.Repeat("x", limit+longer)
				lines := lineReader{Reader: bufio.NewReader(strings.NewReader("a\n" + long + end)), max: limit}
				wantLines := []string{"a"}
				if longer == 0 {
					wantLines = append(wantLines, long)
					if strings.Contains(end, "z") {
						wantLines = append(wantLines, "z")
					}
				}
				var got []string
				line, err := lines.next()
				for ; err == nil; line, err = lines.next() {
					got = append(got, string(line))
				}
				if !errors.Is(err, want) || !slices.Equal(got, wantLines) {
					t.Errorf("%d bytes, allowed are %d, then %q: got %d lines and %v, want %d and %v",
						limit+longer, limit, end, len(got), err, len(wantLines), want)
				}
			}
		}
	}
}

// A file that is not there is found before anything is stored, or a channel made.
func TestProduceOfAMissingFile(t *testing.T) {
	got := dmq(t.Context(), strings.NewReader("x"), "produce", "p1", "-", "produce.go", "missing", "-a", "127.0.0.1:1")
	check(t, got, 1, "", "missing: no such file or directory")
}
