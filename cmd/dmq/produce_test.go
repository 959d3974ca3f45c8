package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// A line is a record or it is refused: no line is ever several records, whatever the protocol.
func TestLinesOfTheLargestSize(t *testing.T) {
	for protocol, limit := range map[queue.Protocol]int{queue.Neo: client.DefaultMaxPendingBytes - 4<<20, queue.Legacy: legacy.MaxValue} {
		tool := &tool{settings: settings{protocol: string(protocol)}}
		for longer, want := range []error{nil, queue.ErrRecord} {
			for _, end := range []string{"\nlast\n", "\nlast", "\n", ""} {
				var lengths []int
				in := io.MultiReader(strings.NewReader("first\n"), io.LimitReader(zeros{}, int64(limit+longer)), strings.NewReader(end))
				err := tool.readLines(t.Context(), in, func(record []byte) error {
					lengths = append(lengths, len(record))
					return nil
				})
				wantLengths := []int{5}
				if want == nil {
					wantLengths = append(wantLengths, limit)
					if strings.Contains(end, "last") {
						wantLengths = append(wantLengths, 4)
					}
				}
				if !errors.Is(err, want) || !slices.Equal(lengths, wantLengths) {
					t.Errorf("%s, %d bytes more than allowed, then %q: got lengths %v and %v, want %v and %v",
						protocol, longer, end, lengths, err, wantLengths, want)
				}
			}
		}
	}
}

// zeros reads as bytes that are 0, for ever.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
