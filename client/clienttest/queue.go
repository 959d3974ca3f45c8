package clienttest

import (
	"bytes"
	"net"
)

// channel is a channel: one queue until its first consumer, then one for each subscriber.
type channel struct {
	queue       *queue
	subscribers map[string]*queue // nil until then
}

type queue struct {
	records [][]byte
	removed bool
}

// get returns a channel, which is made if needed. n.mu is held.
func (n *Node) get(name string) *channel {
	c := n.channels[name]
	if c == nil {
		c = &channel{queue: new(queue)}
		n.channels[name] = c
	}
	return c
}

// push stores a record, unless the node refuses.
func (n *Node) push(value []byte, names ...string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refusing {
		return false
	}
	value = bytes.Clone(value)
	for _, name := range names {
		c := n.get(name)
		if c.subscribers == nil {
			c.queue.records = append(c.queue.records, value)
		}
		for _, q := range c.subscribers {
			q.records = append(q.records, value)
		}
	}
	n.changed.Broadcast()
	return true
}

// outcome is that of a Pop.
type outcome uint8

const (
	popped outcome = iota
	empty
	unknown // there is no such channel
	subscribed
)

func (n *Node) pop(name string) ([]byte, outcome) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.channels[name]
	switch {
	case c == nil:
		return nil, unknown
	case c.subscribers != nil:
		return nil, subscribed
	case len(c.queue.records) == 0:
		return nil, empty
	}
	value := c.queue.records[0]
	c.queue.records = c.queue.records[1:]
	return value, popped
}

// subscribe returns the queue of a subscriber. The first one gets what is there.
func (n *Node) subscribe(name, subscriber string) *queue {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.get(name)
	if c.subscribers == nil {
		c.subscribers = map[string]*queue{subscriber: c.queue}
		c.queue = nil
	}
	if c.subscribers[subscriber] == nil {
		c.subscribers[subscriber] = new(queue)
	}
	return c.subscribers[subscriber]
}

// take waits for records. more is false if there will be none, for end says so, the channel was
// removed or the connection is gone.
func (n *Node) take(conn net.Conn, q *queue, end func() bool) (records [][]byte, more bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case !n.alive(conn) || q.removed || end():
			return nil, false
		case len(q.records) > 0 && !n.hanging:
			records, q.records = q.records, nil
			return records, true
		}
		n.changed.Wait()
	}
}

// giveBack puts records to the front again.
func (n *Node) giveBack(q *queue, records [][]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	q.records = append(records, q.records...)
	n.changed.Broadcast()
}

func (n *Node) remove(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.channels[name]; c != nil {
		for _, q := range c.subscribers {
			q.removed = true
		}
	}
	delete(n.channels, name)
	n.changed.Broadcast()
}
