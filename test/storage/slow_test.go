package storage

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/storagetest"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A spill file that takes long to open holds up those who want its records, and nobody else, although
// one event loop serves all.
func TestASlowFileHoldsUpItsQueueOnly(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "100000"), nodetest.Set("EventLoop.count", "1"))
	c, other, third := clients.Neo(t, node), clients.Neo(t, node), clients.Neo(t, node)
	large := func(i int) string { return strings.Repeat(fmt.Sprint(i), 1<<20-1<<10) } // few have room in a file
	for i := 1; i <= 4; i++ {
		c.MustPush(large(i), "spilled")
	}
	release := storagetest.SlowFile(t, node.Path("data"))
	c.WantPop("spilled", large(1))
	popped := make(chan struct{})
	go func() {
		defer close(popped)
		c.WantPop("spilled", large(2))
	}()
	for i := range 100 {
		other.MustPush(fmt.Sprint(i), "others")
		other.WantPop("others", fmt.Sprint(i))
		third.MustPush(fmt.Sprint(i), "spilled") // is stored behind, in a file that is there
	}
	release()
	<-popped
	for i := 3; i <= 4; i++ {
		c.WantPop("spilled", large(i))
	}
	c.WantPop("spilled", "0")
}
