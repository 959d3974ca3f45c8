package client

import (
	"errors"
	"time"
)

// retryPause is how long a record is left alone that has failed at every node.
const retryPause = 100 * time.Millisecond

// submit gives a new record to a connection, or lets it queue behind those that wait.
func (p *Producer) submit(r *record) {
	p.mu.Lock()
	behind := p.retrying || len(p.parked) > 0
	p.mu.Unlock()
	if behind {
		p.park(r)
	} else {
		p.advance(r)
	}
}

// advance gives a record to the next connection. If none has room, or all have failed, it
// is parked or given up.
func (p *Producer) advance(r *record) {
	sent, full := p.attempt(r)
	if sent {
		return
	}
	if full || p.exhausted(r) {
		p.park(r)
		return
	}
	p.settle(r, r.outcome())
}

// attempt offers a record to the connections of those nodes that it was not tried at. full
// tells that one of them had no room.
func (p *Producer) attempt(r *record) (sent, full bool) {
	conns := p.client.connections()
	start := p.client.rotation.Start(len(conns))
	for i := range conns {
		conn := conns[(start+i)%len(conns)]
		if r.tried.contains(conn.node.address) {
			continue
		}
		r.node = conn.node.address
		err := conn.pushFrame(&r.call, r.frame)
		if err == nil {
			return true, false
		}
		full = full || errors.Is(err, errFull)
	}
	return false, full
}

// exhausted notes that a record has failed at every connected node, and tells whether it is
// to be tried again.
func (p *Producer) exhausted(r *record) bool {
	if p.options.Retry < 0 {
		return false
	}
	now := time.Now()
	if r.deadline.IsZero() {
		r.deadline = now.Add(p.options.Retry)
	}
	r.exhausted = true
	if len(r.tried) > 0 {
		r.notBefore = now.Add(retryPause)
	}
	return now.Before(r.deadline)
}

// park keeps a record to be tried again.
func (p *Producer) park(r *record) {
	p.mu.Lock()
	over := p.over
	if !over {
		p.parked = append(p.parked, r)
	}
	p.mu.Unlock()
	if over {
		p.settle(r, r.abandoned())
		return
	}
	p.poke()
}

// poke wakes run.
func (p *Producer) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run tries parked records again: when a connection was made or has room, and from time to
// time those that have failed. It ends when the producer has ended, or the client.
func (p *Producer) run() {
	defer close(p.ended)
	for {
		change := p.client.change.wait()
		if p.isOver() {
			p.giveUp()
			return
		}
		var due <-chan time.Time
		if p.retry() {
			due = time.After(retryPause)
		}
		select {
		case <-change:
		case <-due:
		case <-p.wake:
		case <-p.client.done:
			p.end()
		}
	}
}

// retry tries parked records again, in their order, and tells whether any are left.
func (p *Producer) retry() bool {
	p.mu.Lock()
	parked := p.parked
	p.parked, p.retrying = nil, true
	p.mu.Unlock()

	kept := parked[:0]
	now := time.Now()
	nobody := len(p.client.connections()) == 0
	for i, r := range parked {
		if now.After(r.notBefore) && !(nobody && now.Before(r.deadline)) {
			gone, full := p.again(r)
			if gone {
				continue
			}
			if full && len(r.tried) == 0 { // so no node has room
				kept = append(kept, parked[i:]...)
				break
			}
		}
		kept = append(kept, r)
	}
	clear(parked[len(kept):])

	p.mu.Lock()
	defer p.mu.Unlock()
	p.parked, p.retrying = append(kept, p.parked...), false
	return len(p.parked) > 0
}

// again tries a parked record. gone tells that it need not be kept.
func (p *Producer) again(r *record) (gone, full bool) {
	if r.exhausted {
		if len(r.tried) > 0 {
			p.mu.Lock()
			p.state.Retried++
			p.mu.Unlock()
		}
		r.tried, r.exhausted = nil, false
	}
	sent, full := p.attempt(r)
	if sent || full || p.exhausted(r) {
		return sent, full
	}
	p.settle(r, r.outcome())
	return true, false
}

// isOver tells whether records are not tried again any more.
func (p *Producer) isOver() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// end makes the producer take and try no more records.
func (p *Producer) end() {
	p.mu.Lock()
	p.closed, p.over = true, true
	p.mu.Unlock()
	p.room.notify()
}

// giveUp gives up what is parked. No more will be.
func (p *Producer) giveUp() {
	p.mu.Lock()
	parked := p.parked
	p.parked = nil
	p.mu.Unlock()
	for _, r := range parked {
		p.settle(r, r.abandoned())
	}
}
