package main

import (
	"bytes"
	"fmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// workAhead is how many batches of a Work are on their way, of one record each.
const workAhead = 100

// workAllNeo runs a Work with batches of one record until count of them have come, each in its turn and
// confirmed by its number, and proves that these are all.
func (l *load) workAllNeo(c conn, n *neoLoad, count int64) error {
	start := neo.AppendWork(nil, consumeID, channel, "", 1, 0, workAhead)
	if err := c.exchange(start, n.started); err != nil {
		return fmt.Errorf("neo work: %w", err)
	}
	record := newRecord(l.size)
	batch := neo.AppendRecord(nil, record)
	size := neo.BatchPrefixSize + len(batch)
	var prefix, confirm []byte
	have := 0
	for number := int64(0); number < count; {
		got, err := c.read(l.input[have:])
		if err != nil {
			return fmt.Errorf("neo work: %d records received: %w", number, err)
		}
		have += got
		in := l.input[:have]
		for confirm = confirm[:0]; len(in) >= size; in = in[size:] {
			number++
			prefix = neo.AppendBatchPrefix(prefix[:0], consumeID, uint64(number), 0, len(batch))
			if !bytes.Equal(in[:len(prefix)], prefix) {
				return fmt.Errorf("neo work: % x, want % x", in[:len(prefix)], prefix)
			}
			confirm = neo.AppendSettling(confirm, consumeID, neo.Settling{Settlement: neo.Confirm, Number: uint64(number)})
		}
		have = copy(l.input, in)
		if len(confirm) == 0 {
			continue
		}
		if err := c.write(confirm); err != nil {
			return fmt.Errorf("neo work: %d records received: %w", number, err)
		}
	}
	return leaveNeo(c, n)
}
