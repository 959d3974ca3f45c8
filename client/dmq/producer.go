package dmq

import (
	"fmt"
	"time"
)

// Defaults of [ProducerOptions].
const (
	DefaultMaxPendingRecords = 4000
	DefaultMaxPendingBytes   = 64 << 20
	DefaultRetry             = 30 * time.Second
)

// ProducerOptions are the options of a Producer. A zero value means the default.
type ProducerOptions struct {
	// MaxPendingRecords and MaxPendingBytes bound what is pushed and not yet confirmed.
	// Push waits while either is reached. Defaults 4000, with legacy as many as there are
	// bytes for, and 64 MiB. With neo the bytes count the channel names, and 256 a record
	// for housekeeping, too; what waits to be sent is held twice.
	MaxPendingRecords int
	MaxPendingBytes   int

	// Retry is how long the producer goes on trying to store a record, from the moment when
	// it has failed everywhere, for example because no node is connected or all are full.
	// Default 30 s. If it is negative, each connected node is asked once, as Push does.
	Retry time.Duration

	// OnWait is called with the reason when records begin to wait because no node takes
	// them, and with nil when none waits any more. The same rules as for OnError.
	OnWait func(reason error)

	// OnError is told of each record that was given up. err is as from Client.Push.
	// The slices are valid until it returns. It is called from goroutines of the client,
	// also at the same time, must not block, nor call the producer or close the client.
	OnError func(value []byte, channels []string, err error)

	// OnStored is told of each record that a node has confirmed, under the same rules.
	OnStored func(value []byte, channels []string)
}

// ProducerState counts what became of the records of a producer.
type ProducerState struct {
	Pending      int    // records taken and neither stored nor given up
	PendingBytes int    // of these, as MaxPendingBytes counts
	Stored       uint64 // records
	Failed       uint64 // records given up
	Retried      uint64 // times that a record was tried again after it failed everywhere

	Waiting      error     // why records wait: the last refusal; nil if none waits
	WaitingSince time.Time // zero if none waits
}

// ProduceError says how many records a producer has given up, and why the first of them.
type ProduceError struct {
	Failed uint64 // records
	First  error
}

// Error implements error.
func (e *ProduceError) Error() string {
	if e.Failed == 1 {
		return fmt.Sprintf("1 record was not stored: %v", e.First)
	}
	return fmt.Sprintf("%d records were not stored, the first: %v", e.Failed, e.First)
}

// Unwrap returns First.
func (e *ProduceError) Unwrap() error { return e.First }
