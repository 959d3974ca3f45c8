package connpool

// Work is measured in units of about 0.1 to 0.3 µs: a small request is one, and so is a KiB of
// input or output. What takes longer counts as more of them.
//
// A connection that has used up its turn, or has filled it with input, is greedy: it goes on when
// the loop has served the others, and as long as there are others it is no longer asked whether it
// is ready but has its turns one after the other with all greedy ones.
const (
	// roundWork is what those who are ready may do in a round together, about.
	roundWork = 4096
	// maxTurn is what a connection may do at a time, even if it is alone,
	maxTurn = 2048
	// minTurn what it may do however many there are, so that a turn is worth its system calls,
	minTurn = 16
	// greedyTurn and what a greedy one may do, of which a round serves only some.
	greedyTurn = 64
	// shortTurn is what anybody may do at a time while there are others who want little.
	shortTurn = 16
)

// Unit is the bytes that count as one unit of work.
const Unit = 1 << 10

// StartTurn lets the connection work again. The more others there are, the less.
func (c *Conn) StartTurn() { c.startTurn(minTurn) }

func (c *Conn) startTurn(least int) {
	c.turn = min(max(least, roundWork/c.pool.loop.Sharing()), maxTurn)
	if c.pool.loop.OthersWantLittle(c) {
		c.turn = min(c.turn, shortTurn)
	}
}

// Work counts work that the session does for the peer against its turn.
func (c *Conn) Work(units int) { c.turn -= units }

// Turn is the work that is left of the turn. If it is none, the session should come to an end:
// what it leaves of the input it gets again after others had their turn.
func (c *Conn) Turn() int { return c.turn }

// alone tells that nobody else wants to be served.
func (c *Conn) alone() bool { return c.pool.loop.Sharing() == 1 }

// later puts the connection off until others had their turn.
func (c *Conn) later() {
	if !c.waiting {
		c.waiting = true
		c.pool.putOff.Add(1)
		c.Loop().Defer(c)
	}
}

// Run implements listener.Task: it is the turn of a connection that was put off.
func (c *Conn) Run() {
	if c.fd < 0 || !c.waiting {
		return // it was another connection
	}
	c.waiting = false
	c.startTurn(greedyTurn)
	c.receiveWaiting()
	if c.fd >= 0 && c.greedy && c.inputWanted() {
		c.read()
	}
	c.settle()
}
