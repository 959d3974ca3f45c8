package connpool

// Replies may have to wait until what they tell of is on the disk. Then the session withholds the
// output of its connection, and executes nothing more, until that is so. What the peer has sent in
// one go is executed before, so that all its replies wait together.

// Withhold sends nothing, and hands over no input, until Release.
func (c *Conn) Withhold() { c.withheld = true }

// Release ends Withhold.
func (c *Conn) Release() {
	if c.withheld {
		c.withheld = false
		c.Continue()
	}
}
