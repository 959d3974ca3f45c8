package neo

import (
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
)

// count counts the requests of a connection (operations spec §8.3). The time of a request
// runs from when its message was read until its reply is handed to the kernel.
type count struct {
	began     time.Time // when the oldest of these was read
	push, pop stats.Batch
}

func newCount(s *stats.Neo) count { return count{push: stats.Of(&s.Push), pop: stats.Of(&s.Pop)} }

// received notes that there is input.
func (c *count) received() {
	if c.push.Empty() && c.pop.Empty() {
		c.began = time.Now()
	}
}

// sent counts everything that was replied to.
func (c *count) sent() {
	c.push.End(c.began)
	c.pop.End(c.began)
}
