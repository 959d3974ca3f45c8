package connpool

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
)

// Memory is what connections may hold together, those of all pools: unfinished input, and output
// that their peers do not take. It is safe for concurrent use.
//
// When the input has reached its limit, connections go on with requests of a few KiB. A larger one
// is not read any further until there is memory again; but one connection at a time, the favoured
// one, goes on regardless, so that requests get finished one after the other. Peers that do not
// finish theirs are disconnected.
type Memory struct {
	inputLimit, outputLimit int64 // 0 = none
	patience                time.Duration

	input, output atomic.Int64  // bytes
	stalled       atomic.Int64  // how many are in line
	ids           atomic.Uint64 // given to connections

	mu       sync.Mutex
	pools    []*Pool
	favoured *Conn
	line     []*Conn // those that wait for memory, first come, first served
}

// NewMemory returns limits in bytes, 0 = none. While there is none left, peers that add nothing to
// their requests for as long as patience are disconnected.
func NewMemory(input, output int64, patience time.Duration) *Memory {
	return &Memory{inputLimit: input, outputLimit: output, patience: patience}
}

// MemoryUse is what there is of a Memory, and what is used.
type MemoryUse struct {
	Input, InputLimit   int64 // bytes; a limit of 0 is none
	Output, OutputLimit int64
	Waiting             int64 // connections that wait for memory for their input
}

// Use may be called from any goroutine.
func (m *Memory) Use() MemoryUse {
	return MemoryUse{m.input.Load(), m.inputLimit, m.output.Load(), m.outputLimit, m.stalled.Load()}
}

// Short tells that connections wait for memory for their input.
func (m *Memory) Short() bool { return m.stalled.Load() > 0 }

const (
	// smallShare is the unfinished input that each connection may have, and
	smallShare = 8 << 10
	// smallRead what it may read at a time when the memory is used up.
	smallRead = 4 << 10
	// smallOutput is the output that each connection may have.
	smallOutput = 64 << 10
)

// scarce tells that so many more bytes of input are too many.
func (m *Memory) scarce(more int) bool {
	return m.inputLimit > 0 && m.input.Load()+int64(more) > m.inputLimit
}

func (m *Memory) outputScarce() bool {
	return m.outputLimit > 0 && m.output.Load() > m.outputLimit
}

// charge notes that the input of a connection takes more or fewer bytes than before.
func (m *Memory) charge(bytes int) {
	m.input.Add(int64(bytes))
	if bytes < 0 && m.stalled.Load() > 0 {
		m.wake()
	}
}

// favour lets the connection take memory although there is none, unless that is another's right.
// Then the connection gets in line.
func (m *Memory) favour(c *Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.favoured == nil {
		m.favoured = c
	}
	if m.favoured != c && !c.stalled {
		c.stalled = true
		m.line = append(m.line, c)
		if m.stalled.Add(1) == 1 {
			for _, p := range m.pools {
				p.loop.Post(listener.TaskFunc(p.reapLater))
			}
		}
	}
	return m.favoured == c
}

// leave is for a connection that has finished its request, or is gone.
func (m *Memory) leave(c *Conn) {
	m.mu.Lock()
	if m.favoured == c {
		m.favoured = nil
	}
	if i := slices.Index(m.line, c); i >= 0 {
		m.line = slices.Delete(m.line, i, i+1)
		m.stalled.Add(-1)
	}
	m.mu.Unlock()
	m.wake()
}

// wake lets those in line try again, or only the first, if it can be favoured and there is no
// memory yet.
func (m *Memory) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	count := len(m.line)
	if m.scarce(0) {
		count = 0
		if m.favoured == nil {
			count = min(1, len(m.line))
		}
	}
	for _, c := range m.line[:count] {
		c.Loop().Post(listener.TaskFunc(c.unstall))
	}
	m.line = slices.Delete(m.line, 0, count)
	m.stalled.Add(-int64(count))
}

func (m *Memory) inLine(c *Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.line, c)
}

// stall stops reading the connection, whose input must grow by so many bytes, if there is no
// memory for it. It reports whether it has.
func (c *Conn) stall(more int) bool {
	if !c.pool.memory.scarce(more) || len(c.in) < smallShare {
		return false
	}
	c.favoured = c.pool.memory.favour(c)
	return !c.favoured
}

// unstall goes on reading when it is this connection's turn to get memory.
func (c *Conn) unstall() {
	if c.fd < 0 || !c.stalled || c.pool.memory.inLine(c) {
		return // it is another connection by now
	}
	c.stalled = false
	c.began, c.active = c.Loop().Now(), c.Loop().Now()
	c.Continue()
}

// charge makes the memory account for what the connection holds.
func (c *Conn) charge() {
	held := c.held
	if c.in != nil {
		held += cap(c.in)
	}
	if held == c.charged {
		return
	}
	difference := held - c.charged
	c.charged = held
	c.pool.memory.charge(difference)
	if c.favoured && held <= smallShare {
		c.favoured = false
		c.pool.memory.leave(c)
	}
}

// Hold accounts for what the session keeps of the input in memory of its own, altogether. It
// reports false if there is no memory for so much.
func (c *Conn) Hold(bytes int) bool {
	if more := bytes - c.held; more > smallShare && c.pool.memory.scarce(more) {
		return false
	}
	c.held = bytes
	c.charge()
	return true
}

// reapLater looks after a while whether connections hold memory which others wait for.
func (p *Pool) reapLater() {
	if p.reaper == nil {
		p.reaper = p.loop.After(max(p.memory.patience/20, minReap), listener.TaskFunc(p.reap))
	}
}

// reap ends connections with a large request to which nothing has been added for a while, or that
// is not finished after several times as long, as long as others wait for memory.
func (p *Pool) reap() {
	p.reaper = nil
	if !p.memory.Short() {
		return
	}
	reaped := 0
	for _, c := range slices.Clone(p.open) {
		if c.dawdles() {
			c.drop()
			reaped++
		}
	}
	p.reaped.Add(uint64(reaped))
	if reaped > 0 && p.options.Reaped != nil {
		p.options.Reaped(reaped)
	}
	p.reapLater()
}

const (
	// minReap is the shortest time between two looks for connections that dawdle.
	minReap = 5 * time.Millisecond
	// slowFactor is how many times longer a request may take that makes progress.
	slowFactor = 6
	// favouredHaste is how many times faster the favoured connection has to go on, as all
	// others wait for it: what its peer has to send was held up, and should be there.
	favouredHaste = 10
)

// dawdles tells that the connection holds memory for an unfinished request, and takes too long.
func (c *Conn) dawdles() bool {
	if c.charged <= smallShare || c.stalled || c.waiting || c.blocked {
		return false
	}
	now, patience := c.Loop().Now(), c.pool.memory.patience
	idle := now.Sub(c.active)
	return idle >= patience || c.favoured && idle >= patience/favouredHaste || now.Sub(c.began) >= slowFactor*patience
}

// CloseIdle ends up to so many connections that have been idle for at least that time, those that
// have been so for longest first, and returns how many.
func (p *Pool) CloseIdle(patience time.Duration, most int) (closed int) {
	now := p.loop.Now()
	var idle []*Conn
	for _, c := range p.open {
		if !c.paused && !c.blocked && !c.Closing() && c.out.unsent == 0 && now.Sub(c.active) >= patience {
			idle = append(idle, c)
		}
	}
	slices.SortFunc(idle, func(a, b *Conn) int { return a.active.Compare(b.active) })
	for _, c := range idle[:min(most, len(idle))] {
		c.Close()
		c.Continue()
		closed++
	}
	p.idled.Add(uint64(closed))
	return closed
}
