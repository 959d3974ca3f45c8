package clienttest

import (
	"net"
	"sync"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// keys knows the one client.
type keys struct{}

func (keys) Key(name []byte) (*wire.Key, bool) {
	return new(wire.Key), string(name) == Credentials.Name
}

// neoConn is a connection of package client.
type neoConn struct {
	node     *Node
	conn     net.Conn
	mu       sync.Mutex // of writes
	consumes map[uint64]*consume
}

// consume is a Consume that runs. Guarded by Node.mu.
type consume struct {
	free bool // the client waits for a batch
	stop bool
}

// serveNeo authenticates a client and executes its requests.
func (n *Node) serveNeo(conn net.Conn) {
	c := &neoConn{node: n, conn: conn, consumes: make(map[uint64]*consume)}
	h := wire.Handshake{Keys: keys{}}
	var in []byte
	buffer := make([]byte, 64<<10)
	for done := false; ; {
		if !done {
			size, out, accepted, err := h.Step(in, nil)
			in, done = in[size:], accepted
			if len(out) > 0 && (!n.ready(conn) || !c.write(out)) || err != nil {
				return
			}
		}
		for done {
			id, payload, size, err := wire.Next(in, 1<<30)
			if err != nil {
				return
			}
			if size > len(in) {
				break
			}
			if !n.ready(conn) || !c.message(id, payload) {
				return
			}
			in = in[size:]
		}
		count, err := conn.Read(buffer)
		in = append(in, buffer[:count]...)
		if err != nil {
			return
		}
	}
}

func (c *neoConn) write(out []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.conn.Write(out)
	return err == nil
}

// message handles a message of the client, and tells whether it was understood.
func (c *neoConn) message(id uint64, payload []byte) bool {
	if running := c.consumes[id]; running != nil {
		feedback, err := wire.ParseFeedback(payload)
		c.node.mu.Lock()
		defer c.node.mu.Unlock()
		running.free, running.stop = true, running.stop || feedback == wire.Stop
		c.node.changed.Broadcast()
		return err == nil
	}
	code, version, fields, err := wire.ParseStart(payload)
	if err != nil {
		return false
	}
	support := wire.Supports(code, version)
	if code >= wire.CodeListQueues {
		support = wire.RequestNotSupported
	}
	out := wire.AppendSupport(nil, id, support)
	if support != wire.Supported {
		return c.write(out)
	}
	switch code {
	case wire.CodePush:
		push, err := wire.ParsePush(fields)
		if err != nil {
			return false
		}
		var channels []string
		for name := range push.Channels.All {
			channels = append(channels, string(name))
		}
		status := wire.Pushed
		if !c.node.push(push.Value, channels...) {
			status = wire.PushError
		}
		return c.write(wire.AppendPushStatus(out, id, status))
	case wire.CodePop:
		channel, err := wire.ParsePop(fields)
		if err != nil {
			return false
		}
		value, outcome := c.node.pop(string(channel))
		switch outcome {
		case popped:
			return c.write(wire.AppendPopped(out, id, value))
		case subscribed:
			return c.write(wire.AppendPopStatus(out, id, wire.PopSubscribed))
		}
		return c.write(wire.AppendPopStatus(out, id, wire.PopEmpty))
	}
	start, err := wire.ParseConsume(fields)
	if err != nil {
		return false
	}
	q := c.node.subscribe(string(start.Channel), string(start.Subscriber))
	running := &consume{free: true}
	c.consumes[id] = running
	if !c.write(wire.AppendConsumeStatus(out, id, wire.Started)) {
		return false
	}
	c.node.routines.Go(func() { c.consume(id, q, running) })
	return true
}

// consume sends one batch after the other, each when the one before is acknowledged.
func (c *neoConn) consume(id uint64, q *queue, running *consume) {
	n := c.node
	for {
		records, more := n.take(c.conn, q, func() bool { return running.stop })
		if !more {
			break
		}
		var batch []byte
		for _, value := range records {
			batch = wire.AppendRecord(batch, value)
		}
		n.mu.Lock()
		running.free = false
		n.mu.Unlock()
		c.write(append(wire.AppendRecordsPrefix(nil, id, len(batch)), batch...))
		n.mu.Lock()
		for !running.free && n.alive(c.conn) {
			n.changed.Wait()
		}
		acknowledged := running.free
		n.mu.Unlock()
		if !acknowledged {
			n.giveBack(q, records)
			return
		}
	}
	n.mu.Lock()
	removed, stop := q.removed, running.stop
	n.mu.Unlock()
	switch {
	case removed:
		c.write(wire.AppendChannelRemoved(nil, id))
	case stop:
		c.write(wire.AppendStopped(nil, id))
	}
}
