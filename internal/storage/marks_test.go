package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow"
)

// However many readers hold something back, a kill brings no record back that was delivered
// behind theirs: not from the ring, not from the overflow, not after a second kill, and not in
// what a clean stop leaves to a D node.
func TestDeliveredOutOfTurnIsDeliveredForGood(t *testing.T) {
	const records = 600
	for _, test := range []struct {
		name string
		ring uint64
	}{
		{"in the ring", records * 20},
		{"in ring and overflow", records * 10},
		{"in the overflow", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newTrial(t)
			n.sizes["c"] = test.ring
			n.start()
			for range records {
				n.push("c", false, 10)
			}
			for range records {
				n.pop("c")
			}
			for i := range records/2 - 1 {
				n.deliver(i + 1) // every second record
			}
			n.crash()
			n.start() // compares
			for range 20 {
				n.pop("c")
			}
			for range 5 {
				n.deliver(3)
			}
			n.crash()
			n.start()
			n.pop("c")
			n.pop("c")
			n.deliver(1)
			n.crash()
			n.start()
			n.stop()
			if got, want := leftForD(t, n.dir, "c"), len(n.queue("c").items); got != want {
				t.Errorf("a clean stop leaves %d records, want %d", got, want)
			}
			n.start()
		})
	}
}

// leftForD is how many records of a storage the original would find.
func leftForD(t *testing.T, dir *disktest.Dir, storage string) (records int) {
	t.Helper()
	if dump, ok := dir.Content(storage + ".rq"); ok {
		records += int(binary.LittleEndian.Uint32(dump))
	}
	index, _ := dir.Content("ofchannels.csv")
	entries, err := overflow.ParseIndex(bytes.NewReader(index))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name == storage {
			records += int(e.Records)
		}
	}
	return records
}

// A start that is killed while it looks for marks has changed nothing about them.
func TestAKillDuringAStartLosesNoMark(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.subscribe("c", "s")
	for range 10 {
		n.push("c", false, 20, 0, 30)
	}
	var readers []*keptReader
	for range 30 {
		r := n.attach("c", "s")
		n.next(r, 1)
		readers = append(readers, r)
	}
	for i := 1; i < len(readers); i += 2 {
		n.next(readers[i], 1)
	}
	n.crash()
	n.examine(n.dir.Clone(), "with marks", 1)
	n.start()
}

// A start that fails while it looks for marks leaves them to be found.
func TestAStartThatCannotReadTheMarks(t *testing.T) {
	n := newTrial(t)
	n.sizes["c"] = 0
	n.start()
	n.push("c", false, slices.Repeat([]int{9000}, 10)...)
	for range 10 {
		n.pop("c")
	}
	for range 8 {
		n.deliver(1)
	}
	n.crash()
	reads := 0
	n.dir.Before = func(c disktest.Call) error {
		if c.Op == "read" && c.Name == "overflow.dat" {
			if reads++; reads > 5 {
				return errInjected
			}
		}
		return nil
	}
	if _, err := n.load(n.dir); !errors.Is(err, errInjected) {
		t.Fatalf("got error %v", err)
	}
	n.dir.Before = nil
	n.dir = n.dir.Clone()
	n.start()
	n.stop()
	if got := leftForD(t, n.dir, "c"); got != 2 {
		t.Errorf("a clean stop leaves %d records, want 2", got)
	}
}

// A mark that cannot be written costs nothing but that its records come again after a kill.
func TestAMarkThatCannotBeWritten(t *testing.T) {
	n := newTrial(t)
	logs := logged(&n.options)
	n.sizes["c"] = 0
	n.start()
	n.push("c", false, 10, 10, 10, 10, 1_200_000)
	n.push("c", false, 2_500_000) // the first records are not mapped any more
	for range 4 {
		n.pop("c")
	}
	n.dir.Before = func(c disktest.Call) error {
		if c.Op == "write" {
			return errInjected
		}
		return nil
	}
	n.deliver(1)
	n.dir.Before = nil
	if got := logs.FilterMessageSnippet("delivered again after a crash").Len(); got != 1 {
		t.Errorf("%d errors were logged, want 1", got)
	}
	n.deliver(1)
	killed, err := n.load(n.dir.Clone())
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, p := range contents(n, killed)["c"] {
		got = append(got, len(p))
	}
	if want := []int{10, 10, 10, 1_200_000, 2_500_000}; !slices.Equal(got, want) {
		t.Errorf("after a kill there are records of %d bytes, want %d", got, want)
	}
	n.deliver(0)
	n.deliver(0)
	n.stop()
	n.start() // compares
}
