package connpool

// A request may have to wait for something that is done elsewhere, such as work with a file. Then
// its session blocks the connection: the request stays at the start of the input, nothing more is
// read, and what has been appended to the output is sent. Others go on meanwhile. When it is time,
// whoever has done it posts a task to the loop, which unblocks the connection, and the session
// receives the same input again.
//
// A request that was begun is ended even if the peer has gone away: it may have done half of what
// it has to do.

// Block stops the input until Unblock.
func (c *Conn) Block() { c.blocked = true }

// Unblock goes on with the input. It does nothing if the connection is not blocked.
func (c *Conn) Unblock() {
	if !c.blocked {
		return
	}
	c.blocked = false
	if c.hungUp {
		c.hungUp = false
		if err := c.Loop().Register(c.fd, c.watched, c); err != nil {
			c.drop()
			return
		}
	}
	c.Continue()
}

// hangUp stops watching a blocked connection that broke, as the loop would tell of that again and
// again.
func (c *Conn) hangUp() {
	c.hungUp = true
	c.Loop().Unregister(c.fd)
}
