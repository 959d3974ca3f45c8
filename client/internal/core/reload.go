package core

import (
	"os"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
)

// reloadInterval is how often the nodes file is looked at.
const reloadInterval = time.Second

// watchedFile notices that a file has changed, by its time and size.
type watchedFile struct {
	name string
	time time.Time
	size int64
}

func (f *watchedFile) changed() bool {
	info, err := os.Stat(f.name)
	if err != nil || info.ModTime().Equal(f.time) && info.Size() == f.size {
		return false
	}
	f.time, f.size = info.ModTime(), info.Size()
	return true
}

// watch reads the nodes file again whenever it has changed.
func (c *Cluster) watch(file watchedFile) {
	for c.ctx.Err() == nil {
		Pause(c.ctx, reloadInterval)
		if !file.changed() {
			continue
		}
		addresses, err := nodes.Load(c.Options.Nodes, file.name)
		if err != nil {
			c.Options.Logger.Warn("the nodes stay as they are", "error", err)
			continue
		}
		c.Options.Logger.Info("nodes file read again", "file", file.name, "nodes", len(addresses))
		c.update(addresses)
	}
}
