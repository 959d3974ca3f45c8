package storage

import (
	"fmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// BoundError refuses records because a queue of the channel has as many bytes as it may have.
type BoundError struct {
	Queue string
	Bytes uint64 // that it may have
}

func (e *BoundError) Error() string {
	return fmt.Sprintf("queue %s has as many bytes as [Limits] queue_bytes, or [QueueBytesById], allows: %d; "+
		"to do: consume what is in it, or allow it more", e.Queue, e.Bytes)
}

// admit fails if records that take size bytes in a ring are more than a queue of the channel may
// have.
func (c *Channel) admit(size int) error {
	if c.bound == 0 {
		return nil
	}
	for _, s := range c.storages {
		if s.room() < size {
			return &BoundError{s.name, c.bound}
		}
	}
	return nil
}

// admitRun returns as many records of a run as all queues may have.
func (c *Channel) admitRun(run []byte, records int) (admitted []byte, n int, err error) {
	if c.bound == 0 {
		return run, records, nil
	}
	admitted, n = run, records
	for _, s := range c.storages {
		if room := s.room(); room < len(admitted) {
			admitted, n = ring.Within(admitted, room, n)
			err = &BoundError{s.name, c.bound}
		}
	}
	return admitted, n, err
}

// room is how many more bytes the queue may have.
func (s *Storage) room() int {
	if uint64(s.bytes) >= s.channel.bound {
		return 0
	}
	return int(min(s.channel.bound-uint64(s.bytes), maxInt))
}

const maxInt = uint64(^uint(0) >> 1)
