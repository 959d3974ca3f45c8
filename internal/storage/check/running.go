package check

import (
	"errors"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// snapshot counts what a running node has, as the heads of its files tell. They change while they
// are read, one after another.
func (c *checker) snapshot() {
	c.report.Situation = Running
	content, err := catalogue.Read(c.dir)
	if err == nil {
		err = content.Damage
	}
	if err != nil {
		c.unreadable(err)
		return
	}
	inFile := make(map[uint64]bool)
	for _, dir := range []disk.Dir{c.dir, c.rings} {
		entries, err := dir.List()
		if err != nil {
			c.unreadable(err)
		}
		for _, e := range entries {
			l, ok := ring.ParseFileName(e.Name())
			if !ok || (dir == c.rings) != (l.Kind == ring.Main) && c.rings != c.dir {
				continue
			}
			h, err := readHead(dir, e.Name())
			q, known := content.Queues[h.Queue]
			switch {
			case disk.IsNotExist(err):
			case err != nil:
				c.unreadable(err)
			case known && h.Instance == content.Instance:
				s := c.add(q.Name)
				count := &s.Memory
				if l.Kind == ring.Spill {
					count = &s.Overflow
				} else {
					inFile[q.Number] = true
				}
				count.Add(Count{Records: h.Held, Bytes: min(h.UsedSpace(), h.Capacity) - min(ring.HeaderSize*h.Held, h.UsedSpace(), h.Capacity)})
			}
		}
		if c.rings == c.dir {
			break
		}
	}
	for _, q := range content.Queues {
		c.add(q.Name)
	}
	if without := len(content.Queues) - len(inFile); without > 0 {
		c.note(catalogue.FileName, "%d queues have no ring file: they are empty, or their rings are in memory ([Storage] ring = memory), "+
			"and then what these hold is not counted", without)
	}
}

// readHead reads a head that changes. One that is torn is read again.
func readHead(dir disk.Dir, name string) (h ring.Head, err error) {
	for range 100 {
		h, err = ring.ReadHead(dir, name)
		var damage *ring.DamageError
		if !errors.As(err, &damage) {
			break
		}
	}
	return h, err
}
