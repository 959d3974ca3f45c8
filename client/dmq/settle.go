package dmq

import (
	"fmt"
	"time"
)

// Settlement is what becomes of a record at its node.
type Settlement uint8

// Settlements. Of a batch with several records the largest counts for all.
const (
	Done     Settlement = iota // it is gone
	Released                   // it is delivered again, as if it had not been
	Returned                   // it is delivered again after some time: the delivery has failed
)

// Settler is where a record is settled: the clients implement it, and fakes of tests can.
type Settler interface {
	Settle(how Settlement, delay time.Duration) error
}

// SettledBy returns the record with what its methods call.
func (r Record) SettledBy(s Settler) Record {
	r.settler = s
	return r
}

// Done tells that the record is handled. The node forgets a batch when all its records are. Only with
// [ConsumeOptions].Explicit it has to be called; elsewhere the loop does it by asking for the
// next record, unless it is done before. It may be called by any goroutine, and only the first
// of Done, Return and Release has an effect.
//
// The error is ErrDisconnected if the connection was lost meanwhile: then the record comes again.
func (r Record) Done() error {
	if r.settler == nil {
		return nil
	}
	return r.settler.Settle(Done, 0)
}

// Return tells that the record could not be handled. The node delivers it again after that time, to any
// consumer of the subscriber, and counts: see Record.Tries, and [Consume] max_deliveries in the
// configuration of the node. A batch goes back as a whole when all its records are settled, so
// MaxBatch should be 1. Errors: as for Done, and ErrUnsupported without an option for batches.
func (r Record) Return(delay time.Duration) error { return r.settle(Returned, delay) }

// Release gives the record back, to be delivered again at once, as if it had not been: for what a
// program has received and does not begin. Otherwise it is like Return.
func (r Record) Release() error { return r.settle(Released, 0) }

func (r Record) settle(how Settlement, delay time.Duration) error {
	if r.settler == nil {
		return fmt.Errorf("%w: a record can't go back by itself without one of MaxBatch, Unsettled and Explicit", ErrUnsupported)
	}
	return r.settler.Settle(how, delay)
}
