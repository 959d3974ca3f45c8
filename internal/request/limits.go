package request

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Limits are what one request, and all of them together, may make of little input.
type Limits struct {
	Queues int    // that there may be; 0 = any number
	Bytes  uint64 // that one request may store in several channels; 0 = any number
}

// ErrQueues refuses to make a channel, or a subscriber.
var ErrQueues = errors.New("there are as many channels, and subscribers, as [Limits] channels allows; existing ones work on")

// BytesError refuses to store a record in many channels.
type BytesError struct {
	Names, Bytes int
	Limit        uint64
}

func (e *BytesError) Error() string {
	return fmt.Sprintf("%d bytes for each of %d channels: [Limits] request_bytes allows %d in all", e.Bytes, e.Names, e.Limit)
}

// Refusal is why a push failed.
func Refusal(err error) stats.Refusal {
	var full *storage.BoundError
	var copies *BytesError
	switch {
	case errors.Is(err, unix.ENOSPC):
		return stats.RefusedDisk
	case errors.As(err, &full):
		return stats.RefusedQueue
	case errors.Is(err, ErrQueues):
		return stats.RefusedChannels
	case errors.As(err, &copies):
		return stats.RefusedCopies
	}
	return stats.RefusedOther
}

// Make makes a channel that has not been found and returns it locked, if there may be one more.
// Loops that make one in the same moment may exceed the limit by one each.
func (l Limits) Make(all *storage.Channels, b *storage.Batch, name []byte) (*storage.Channel, error) {
	if l.full(all) {
		return nil, ErrQueues
	}
	return b.Open(name)
}

// Subscribe returns the queue of a subscriber of a channel, which is locked, and makes it if
// necessary and allowed: see Make.
func (l Limits) Subscribe(all *storage.Channels, c *storage.Channel, subscriber string) (*storage.Storage, error) {
	if l.full(all) && c.Adds(subscriber) {
		return nil, ErrQueues
	}
	return c.Subscribe(subscriber)
}

func (l Limits) full(all *storage.Channels) bool { return l.Queues > 0 && all.Queues() >= l.Queues }

// Fresh is the names of channels that a request is going to make. It is nil if they can't be too
// many, whichever exist already.
type Fresh map[string]struct{}

// Fresh begins to count for a request with so many names.
func (l Limits) Fresh(all *storage.Channels, names int) Fresh {
	if l.Queues == 0 || names <= 1 || all.Queues()+names <= l.Queues {
		return nil
	}
	return make(Fresh)
}

// Add counts a channel that does not exist. ErrQueues says that the request must not make any.
func (l Limits) Add(f Fresh, all *storage.Channels, name []byte) error {
	f[string(name)] = struct{}{}
	if all.Queues()+len(f) > l.Queues {
		return ErrQueues
	}
	return nil
}

// CheckCopies returns an error if a record must not be stored under so many names. Names that
// are repeated count, too: each of them gets a copy, as in the original.
func (l Limits) CheckCopies(names, bytes int) error {
	if l.Bytes > 0 && names > 1 && uint64(names)*uint64(bytes) > l.Bytes {
		return &BytesError{names, bytes, l.Bytes}
	}
	return nil
}

// What requests cost a connection of its turn, besides a unit each: see connpool.Conn.Work.
const (
	// CreateWork is what making or removing a channel costs.
	CreateWork = 256
	// workUnit is the bytes to be copied that cost a unit.
	workUnit = 1 << 10
)

// CopyWork is what storing so many bytes in a further channel costs.
func CopyWork(bytes int) int { return 1 + bytes/workUnit }
