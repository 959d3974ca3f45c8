package overflow

import (
	"strings"
	"testing"
)

// What is delivered behind records that are not takes no memory, before a crash and after it.
func TestMarkedRecordsTakeNoMemory(t *testing.T) {
	const pushed = 100
	dir, owner := newMemDir(), newPublished()
	dir.capacity = 2 * pushed * 100_000
	f, _ := owner.mustOpen(t, dir)
	q, err := f.Create("q")
	if err != nil {
		t.Fatal(err)
	}
	record := []byte(strings.Repeat("x", 100_000))
	for range pushed {
		if err := q.Push(record); err != nil {
			t.Fatal(err)
		}
	}
	owner.publish(q)
	take := func() {
		t.Helper()
		if _, n, err := q.Take(1, 1); n != 1 || err != nil {
			t.Fatalf("Take: %d records, %v", n, err)
		}
	}
	take()
	for range pushed - 1 {
		take()
		if err := q.Mark(q.Handed(1), 1); err != nil {
			t.Fatal(err)
		}
	}
	const enough = 3 * largeBlock
	if used := f.blocks.used.Load(); used > enough {
		t.Errorf("%d bytes of memory are used, want no more than %d", used, enough)
	}
	f, queues := owner.mustOpen(t, dir.clone())
	q = queues["q"]
	take()
	for q.Waiting() > 0 {
		if run, n, err := q.Take(1, 1); n > 0 || err != nil {
			t.Fatalf("Take: %d records of %d bytes that are marked, %v", n, len(run), err)
		}
		if _, n := q.TakeMarked(); n == 0 {
			t.Fatalf("%d records wait, but are not handed out", q.Waiting())
		}
	}
	if used := f.blocks.used.Load(); used > enough {
		t.Errorf("after a crash %d bytes of memory are used, want no more than %d", used, enough)
	}
}

func TestMarks(t *testing.T) {
	b := make([]byte, markSize)
	if n := parseMark(b); n != 0 {
		t.Errorf("padding is a mark of %d records", n)
	}
	for _, records := range []int{1, 2, 255, 256, 0xffff, 0x12345, mostMarked} {
		putMark(b, records)
		if n := parseMark(b); n != records {
			t.Errorf("a mark of %d records is one of %d", records, n)
		}
		for i := range b { // a process killed while it writes over a page boundary
			torn := make([]byte, markSize)
			copy(torn[:i], b[:i])
			if n := parseMark(torn); n != 0 {
				t.Errorf("the first %d bytes of a mark of %d records are one of %d", i, records, n)
			}
		}
	}
}
