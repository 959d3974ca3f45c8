package core

import (
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
)

// job is a record that is settled by itself. It implements [dmq.Settler].
type job struct {
	consumer *Consumer
	batch    *batch
	settled  bool // guarded by Consumer.mu
}

// Settle implements [dmq.Settler].
func (j *job) Settle(how dmq.Settlement, delay time.Duration) error {
	j.consumer.mu.Lock()
	defer j.consumer.mu.Unlock()
	return j.settle(how, delay)
}

// settle settles the record, and with the last one its batch. Consumer.mu is held.
func (j *job) settle(how dmq.Settlement, delay time.Duration) error {
	if j.settled {
		return nil
	}
	j.settled = true
	b := j.batch
	b.outcome.How = max(b.outcome.How, how)
	b.outcome.Delay = max(b.outcome.Delay, delay)
	b.pending--
	if !b.part.has(b) {
		return dmq.ErrDisconnected
	}
	if b.pending == 0 {
		b.part.acknowledge(b)
	}
	return nil
}
