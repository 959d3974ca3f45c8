package check

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// snapshot counts what a running node has, as the heads of its files tell. They change while they
// are read, one after another: what seems to be missing says nothing, and a plan that has met a
// torn head is made again.
func (c *checker) snapshot() {
	c.report.Situation = Running
	var plan *storage.Plan
	for range 100 {
		var err error
		if plan, err = storage.MakePlan(c.dir, c.rings); err != nil {
			c.unreadable(err)
			return
		}
		if len(plan.Aside) == 0 {
			break
		}
	}
	for _, f := range plan.Aside {
		c.report.Incomplete = append(c.report.Incomplete, f.Path()+" is damaged, or could not be read while it was being changed")
	}
	without := 0
	for _, chain := range plan.Queues {
		s := c.add(chain.Name)
		hasRing := false
		for _, h := range chain.Files {
			count := &s.Overflow
			if h.Kind == ring.Main {
				count, hasRing = &s.Memory, true
			}
			count.Add(Count{Records: h.Held, Bytes: min(h.UsedSpace(), h.Capacity) - min(ring.HeaderSize*h.Held, h.UsedSpace(), h.Capacity)})
		}
		if !hasRing {
			without++
		}
	}
	if without > 0 {
		c.note(catalogue.FileName, "%d queues have no ring file: they are empty, or their rings are in memory ([Storage] ring = memory), "+
			"and then what these hold is not counted", without)
	}
}
