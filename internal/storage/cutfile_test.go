package storage

import (
	"runtime/debug"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// Records that clients have, and that can't be read any more, end the process neither when somebody peeks at
// them nor when they are moved to the failed channel.
func TestHandedOutRecordsOfACutFile(t *testing.T) {
	dir := disktest.NewDir()
	t.Cleanup(dir.Release)
	k := &kept{options: realOptions(""), dir: dir}
	k.options.inline, k.options.MaxDeliveries = true, 1
	k.options.RingSize = func(string) uint64 { return 100_000 }
	k.options.FailedChannel = "{channel}-failed"
	cs := k.load(t, dir)
	push(t, cs, "a", strings.Repeat("x", 50_000))
	c := openChannel(t, cs, "a")
	r, err := c.Pop(false)
	c.Commit()
	if err != nil || r == nil {
		t.Fatal(r, err)
	}
	for _, name := range dir.Names() {
		if f, err := dir.Open(name); err != nil {
			t.Fatal(err)
		} else if strings.HasPrefix(name, "ring-") {
			if err := f.Truncate(8192); err != nil {
				t.Fatal(err)
			}
		}
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("the process would end: %v", p)
		}
	}()
	if peeked, err := cs.Peek("a", 0, 10, 1_000_000); len(peeked) > 0 || err != nil {
		t.Errorf("peeked at %d records, %v", len(peeked), err)
	}
	r.Fail(0)
	if c := cs.Find([]byte("a-failed")); c != nil {
		t.Error("the failed channel has something that can't be read")
	}
}
