package connpool

// Work is measured in units of about 0.1 to 0.3 µs: a small request is one, and so is a KiB of
// input or output. What takes longer counts as more of them.
const (
	// roundWork is what the connections of a loop may do in a round together, so that nobody
	// waits for his turn much longer than a millisecond,
	roundWork = 8192
	// maxTurn what one of them may do, even if it is alone,
	maxTurn = 2048
	// minTurn and what it may do in any case, so that a turn is worth its system calls.
	minTurn = 16
)

// Unit is the bytes that count as one unit of work.
const Unit = 1 << 10

// StartTurn lets the connection work again. The more others there are, the less.
func (c *Conn) StartTurn() {
	c.turn = min(max(minTurn, roundWork/c.pool.loop.Sharing()), maxTurn)
}

// Work counts work that the session does for the peer against its turn.
func (c *Conn) Work(units int) { c.turn -= units }

// Turn is the work that is left of the turn. If it is none, the session should come to an end:
// what it leaves of the input it gets again in the next round, after others.
func (c *Conn) Turn() int { return c.turn }

// later puts off the rest of the input to the next round.
func (c *Conn) later() {
	if !c.waiting {
		c.waiting = true
		c.Loop().Next(c)
	}
}

// Run implements listener.Task: it is the turn of a connection that was put off.
func (c *Conn) Run() {
	if c.fd < 0 {
		return
	}
	c.waiting = false
	c.Continue()
}
