// Package connpool serves connections: it reads what arrives, hands whole buffers of it
// to the protocol (a Session), and sends what the protocol answers.
//
// # Life cycle
//
//	Open ─▶ receive ⇄ send ─┬─▶ Close: last output ─▶ FIN ─▶ wait for the peer's ─▶ gone
//	                        └─▶ broken ─────────────────────────────────────────▶ gone
//
// The replies to everything that one read brought are sent with one system call. While
// more output waits than Options.OutputBuffer, or while the session has paused its input
// (a Consume), nothing is read, so a peer can make the node hold only so much.
//
// # Memory
//
// Connections and their sessions are reused. A connection holds a buffer only while it
// has part of a request or something to send; reads go to a buffer shared by all
// connections of the loop. Buffers for large requests double as the bytes arrive: nobody
// makes the node allocate by announcing a length. What all connections hold together is
// bounded (Memory).
//
// # Waiting
//
// A request that has to wait for something that is done elsewhere blocks its connection, and no other
// (block.go): it stays in the input and is received again.
//
// # Turns
//
// What a connection may do in one round of its loop is bounded too (turn.go): then others have
// their turn, and it goes on in the next round.
//
// # Concurrency
//
// A Pool and its connections belong to one listener.Loop and are touched by nobody else;
// only the traffic counters may be read from elsewhere. Memory is shared by the pools of all loops.
//
// The package imports listener and nothing else of the node.
package connpool

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
)

// Options describe the connections of a pool.
type Options struct {
	// NewSession makes a session for a new handler; handlers are reused.
	NewSession func(*Conn) Session
	// Closed is called when a connection is gone, and its descriptor is about to be closed.
	Closed func(loop *listener.Loop, fd int)
	// Memory is what all connections share; nil = there is no limit.
	Memory *Memory
	// Reaped is called when connections have been ended because others waited for the memory
	// of their unfinished requests; nil = nobody wants to know.
	Reaped func(connections int)
	// OutputBuffer is how many bytes of output may wait before no more requests are
	// executed.
	OutputBuffer int
}

// Pool is the connections of one listener on one loop.
type Pool struct {
	options Options
	memory  *Memory
	loop    *listener.Loop
	open    []*Conn
	free    []*Conn
	buffers buffers
	reaper  *listener.Timer
	shared  []byte // every read goes here unless a large request is being collected

	received, sent        atomic.Uint64
	putOff, reaped, idled atomic.Uint64 // see Events
}

// sharedInput is the size of the buffer for reads.
const sharedInput = 256 << 10

// NewPool returns an empty pool.
func NewPool(loop *listener.Loop, options Options) *Pool {
	memory := options.Memory
	if memory == nil {
		memory = NewMemory(0, 0, 0)
	}
	p := &Pool{options: options, memory: memory, loop: loop, shared: make([]byte, 0, sharedInput)}
	memory.mu.Lock()
	defer memory.mu.Unlock()
	memory.pools = append(memory.pools, p)
	return p
}

// Open takes over an accepted, non-blocking socket.
func (p *Pool) Open(fd int) error {
	c := p.newConn()
	c.fd = fd
	c.watched = unix.EPOLLIN
	c.id = p.memory.ids.Add(1)
	c.active, c.opened = p.loop.Now(), p.loop.Now()
	if err := p.loop.Register(fd, c.watched, c); err != nil {
		c.close()
		p.release(c)
		return err
	}
	c.session.Opened()
	return nil
}

func (p *Pool) newConn() *Conn {
	var c *Conn
	if n := len(p.free); n > 0 {
		c = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		c = &Conn{pool: p, out: output{memory: p.memory}}
		c.session = p.options.NewSession(c)
	}
	c.index = len(p.open)
	p.open = append(p.open, c)
	return c
}

// release makes a handler whose connection is gone ready for the next.
func (p *Pool) release(c *Conn) {
	last := len(p.open) - 1
	p.open[c.index] = p.open[last]
	p.open[c.index].index = c.index
	p.open[last] = nil
	p.open = p.open[:last]

	*c = Conn{pool: p, session: c.session, fd: -1, out: output{segments: c.out.segments, memory: p.memory}}
	p.free = append(p.free, c)
}

// Close ends all connections in order: see Conn.Close.
func (p *Pool) Close() {
	for _, c := range append([]*Conn(nil), p.open...) {
		c.Close()
		c.Continue()
	}
}

// Drop ends all connections at once.
func (p *Pool) Drop() {
	for len(p.open) > 0 {
		p.open[len(p.open)-1].drop()
	}
}

// Len is the number of open connections.
func (p *Pool) Len() int { return len(p.open) }

// Traffic is the number of bytes received and sent by all connections so far. It may be
// called from any goroutine.
func (p *Pool) Traffic() (received, sent uint64) { return p.received.Load(), p.sent.Load() }

// Events count what has happened to connections so that others could be served.
type Events struct {
	PutOff uint64 // turns that were used up with requests left
	Reaped uint64 // connections ended because others waited for the memory of their unfinished requests
	Idled  uint64 // connections ended because they were idle: see CloseIdle
}

// Events may be called from any goroutine.
func (p *Pool) Events() Events { return Events{p.putOff.Load(), p.reaped.Load(), p.idled.Load()} }
