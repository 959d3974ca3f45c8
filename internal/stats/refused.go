package stats

import "sync/atomic"

// Refusal is why a push was refused.
type Refusal int

// Reasons to refuse a push.
const (
	RefusedDisk     Refusal = iota // the disk is full
	RefusedQueue                   // a queue has as many bytes as it may have
	RefusedChannels                // there are as many channels as there may be
	RefusedCopies                  // it would store too many bytes in several channels
	RefusedOther                   // something else went wrong, which the log tells
	refusals
)

// String is the reason in keys and labels.
func (r Refusal) String() string {
	return [refusals]string{"disk", "queue", "channels", "copies", "other"}[r]
}

// Refusals count the pushes that were refused, by reason. They are safe for concurrent use.
type Refusals struct{ by [refusals]atomic.Uint64 }

// Count counts one.
func (r *Refusals) Count(why Refusal) { r.by[why].Add(1) }

func (r *Refusals) read() (all Refused) {
	for why := range all {
		all[why] = r.by[why].Load()
	}
	return all
}

// Refused is how many pushes have been refused so far, by reason.
type Refused [refusals]uint64

// Sum is how many that are.
func (r Refused) Sum() (sum uint64) {
	for _, n := range r {
		sum += n
	}
	return sum
}

func (r Refused) plus(o Refused) Refused {
	for why := range r {
		r[why] += o[why]
	}
	return r
}
