package neo

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/storagetest"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
)

// A request that needs a file which is slow waits, and goes on where it was. Others go on meanwhile.
func TestRequestsWaitForAFile(t *testing.T) {
	for _, test := range []struct {
		name    string
		request func(c client)
	}{
		{"Pop", func(c client) { c.wantPop("spilled", 1, large(2)) }},
		{"PopWait, longer than its time", func(c client) {
			id, err := c.PopWait("spilled", "", 1)
			c.must(err)
			status, value, err := c.Popped(id)
			c.must(err)
			if status != 1 || string(value) != large(2) {
				t.Errorf("got status %02x and %d bytes, want 01 and the record", status, len(value))
			}
		}},
		{"Consume", func(c client) {
			from := c.consume("spilled", "")
			for i := 2; i <= 4; i++ {
				c.wantBatch(from, large(i))
				c.must(from.Feedback(neoclient.Continue))
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			options := storagetest.Options(t, 0)
			n := startWith(t, storagetest.Start(t, options), nil)
			c, other := n.connect(), n.connect()
			for i := 1; i <= 4; i++ {
				c.push(large(i), "spilled")
			}
			release := storagetest.SlowFile(t, options.Dir)
			c.wantPop("spilled", 1, large(1))
			done := make(chan struct{})
			go func() {
				defer close(done)
				test.request(c)
			}()
			for i := range 200 {
				other.push(fmt.Sprint(i), "others")
				other.wantPop("others", 1, fmt.Sprint(i))
			}
			release()
			<-done
		})
	}
}

// large is a record of which few have room in a spill file.
func large(i int) string { return strings.Repeat(fmt.Sprint(i), 1<<20-1<<10) }
