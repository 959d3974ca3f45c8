package legacy

import (
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
)

// count counts the requests of a connection (operations spec §8.3). The time of a request
// runs from when its first bytes were read until its reply is handed to the kernel.
type count struct {
	began                time.Time // when the first bytes of the oldest of these were read
	push, pop, pushMulti stats.Batch
	waiting              bool // there is the beginning of a request, read then or later

	stream *stats.Requests // the Produce, ProduceMulti or Consume in progress
}

func newCount(s *stats.Legacy) count {
	return count{push: stats.Of(&s.Push), pop: stats.Of(&s.Pop), pushMulti: stats.Of(&s.PushMulti)}
}

// received notes that there is input.
func (c *count) received() {
	if c.push.Empty() && c.pop.Empty() && c.pushMulti.Empty() && !c.waiting {
		c.began = time.Now()
	}
}

// sent counts everything that was replied to.
func (c *count) sent() {
	c.push.End(c.began)
	c.pop.End(c.began)
	c.pushMulti.End(c.began)
}

// startStream counts a request that lasts, or one that was refused.
func (c *count) startStream(r *stats.Requests, lasts bool) {
	r.Begin()
	c.stream = r
	if !lasts {
		c.endStream()
	}
}

func (c *count) endStream() {
	if c.stream != nil {
		c.stream.EndUntimed()
		c.stream = nil
	}
}
