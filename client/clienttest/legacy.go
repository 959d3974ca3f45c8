package clienttest

import (
	"encoding/binary"
	"io"
	"net"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// serveLegacy executes one request after the other.
func (n *Node) serveLegacy(conn net.Conn) {
	var in []byte
	buffer := make([]byte, 64<<10)
	more := func() bool {
		count, err := conn.Read(buffer)
		in = append(in, buffer[:count]...)
		return err == nil
	}
	var decoder wire.Decoder
	for {
		var r wire.Request
		size, err := decoder.Decode(in, &r)
		if err != nil {
			return
		}
		if size == 0 {
			if !more() {
				return
			}
			continue
		}
		answer, stream, channels := n.execute(r)
		in = in[size:]
		if !n.ready(conn) {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
		switch {
		case stream == wire.Consume:
			n.streamOut(conn, channels[0])
			return
		case stream == wire.Produce:
			for end := false; !end; {
				for len(in) < wire.LengthSize || uint64(len(in)-wire.LengthSize) < binary.LittleEndian.Uint64(in) {
					if !more() {
						return
					}
				}
				length := int(binary.LittleEndian.Uint64(in))
				value := in[wire.LengthSize : wire.LengthSize+length]
				in = in[wire.LengthSize+length:]
				if end = length == 0; !end && !n.push(value, channels...) {
					return
				}
			}
		}
	}
}

// execute does a request. stream is Consume or Produce if more follows.
func (n *Node) execute(r wire.Request) (answer []byte, stream wire.Command, channels []string) {
	for name := range r.Channels.All {
		channels = append(channels, string(name))
	}
	if len(r.Channel) > 0 {
		channels = append(channels, string(r.Channel))
	}
	status := func(s wire.Status) []byte { return wire.AppendStatus(nil, s) }
	switch r.Command {
	case wire.Push, wire.PushMulti:
		if !n.push(r.Value, channels...) {
			return status(wire.OutOfMemory), 0, nil
		}
	case wire.Pop:
		value, outcome := n.pop(channels[0])
		if outcome == unknown || outcome == subscribed {
			return status(wire.Error), 0, nil
		}
		return wire.AppendArray(status(wire.OK), value), 0, nil
	case wire.Consume:
		return status(wire.OK), wire.Consume, channels
	case wire.Produce, wire.ProduceMulti:
		return status(wire.OK), wire.Produce, channels
	case wire.RemoveChannel:
		n.remove(channels[0])
	default:
		return status(wire.NotSupported), 0, nil
	}
	return status(wire.OK), 0, nil
}

// streamOut sends the records of a channel until it is removed or the client leaves.
func (n *Node) streamOut(conn net.Conn, name string) {
	gone := make(chan struct{})
	n.routines.Go(func() { // the client sends nothing, but may leave
		io.Copy(io.Discard, conn)
		close(gone)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.changed.Broadcast()
	})
	left := func() bool {
		select {
		case <-gone:
			return true
		default:
			return false
		}
	}
	q := n.subscribe(name, "")
	for {
		records, more := n.take(conn, q, left)
		if !more {
			break
		}
		var out []byte
		for _, value := range records {
			out = wire.AppendArray(out, value)
		}
		if _, err := conn.Write(out); err != nil {
			n.giveBack(q, records)
			return
		}
	}
	if !left() {
		conn.Write(wire.EndMark)
	}
}
