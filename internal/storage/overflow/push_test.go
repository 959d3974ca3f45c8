package overflow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newQueueIn returns a queue in a new directory.
func newQueueIn(t testing.TB, dir *memDir) (*File, *Queue) {
	t.Helper()
	f, _ := newPublished().mustOpen(t, dir)
	q, err := f.Create("q")
	if err != nil {
		t.Fatal(err)
	}
	return f, q
}

func TestFullDiskIsAnErrorOfPushAndHarmsNothing(t *testing.T) {
	dir := newMemDir()
	dir.space = 10 * pageSize
	owner := newPublished()
	f, _ := owner.mustOpen(t, dir)
	a, _ := f.Create("a")
	b, _ := f.Create("b")
	held := map[string][]string{}
	fill := func() (failed int) {
		for i := range 400 {
			for _, q := range []*Queue{a, b} {
				payload := fmt.Sprintf("%s%d:%s", q.name, i, strings.Repeat("x", 90))
				var err error
				if i%2 == 0 {
					err = q.Push([]byte(payload))
				} else {
					err = q.PushRun(makeRun(payload, ""), 2)
				}
				switch {
				case err == nil:
					held[q.name] = append(held[q.name], payload)
					if i%2 == 1 {
						held[q.name] = append(held[q.name], "")
					}
				case errors.Is(err, unix.ENOSPC):
					failed++
				default:
					t.Fatal(err)
				}
				owner.publish(q)
			}
		}
		return failed
	}
	if failed := fill(); failed == 0 {
		t.Fatal("the disk did not become full")
	}
	used := f.end - f.base
	if used < 9*pageSize {
		t.Errorf("the disk was full with %d of %d bytes used", used, dir.space)
	}
	if got := int64(len(dir.files[dataName].data)); got > dir.space {
		t.Errorf("the file has %d bytes of %d", got, dir.space)
	}
	dir.space = 0
	fill()
	_, queues, err := owner.clone().open(dir.clone(), silent)
	if err != nil {
		t.Fatal(err)
	}
	for _, contents := range []map[string][]string{drainAll(t, queues), drainAll(t, map[string]*Queue{"a": a, "b": b})} {
		for name, want := range held {
			if !slices.Equal(contents[name], want) {
				t.Errorf("%s holds %d records, want %d", name, len(contents[name]), len(want))
			}
		}
	}
}

// The very first append fails, by whatever operation: the next one is the first then (storage
// spec §3.13: in the original all fail until it is stopped).
func TestAfterAFailedFirstPushTheOverflowIsStillEmpty(t *testing.T) {
	failed := 0
	for faulty := 1; ; faulty++ {
		dir, owner := newMemDir(), newPublished()
		f, _ := owner.mustOpen(t, dir)
		q, _ := f.Create("q")
		left := faulty
		dir.fault = func(operation, name string) error {
			if left--; left == 0 {
				return pathError(operation, name, unix.ENOSPC)
			}
			return nil
		}
		err := q.Push([]byte("refused"))
		dir.fault = nil
		if left > 0 {
			break // there are no more operations
		}
		if err == nil {
			continue // what failed was not needed
		}
		failed++
		if _, queues := owner.clone().mustOpen(t, dir.clone()); q.Held() != 0 || len(queues) != 0 {
			t.Errorf("operation %d failed: %d records are held, after a crash %v", faulty, q.Held(), queues)
		}
		if err := q.Push([]byte("first")); err != nil {
			t.Errorf("operation %d failed, and then a push: %v", faulty, err)
			continue
		}
		owner.publish(q)
		_, queues := owner.clone().mustOpen(t, dir.clone())
		if got := drainAll(t, queues)["q"]; !slices.Equal(got, []string{"first"}) {
			t.Errorf("operation %d failed: after a crash the queue has %q", faulty, got)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		checkRecovered(t, dir, mustRecover(t, dir), map[string][]string{"q": {"first"}})
	}
	if failed == 0 {
		t.Error("no push has failed")
	}
}

// mustRecover requires the files to be those of a clean stop.
func mustRecover(t *testing.T, dir *memDir) []Entry {
	t.Helper()
	entries, err := Recover(dir, silent)
	if err != nil || asideNames(dir) != "" {
		t.Fatalf("Recover: %v, set aside: %q", err, asideNames(dir))
	}
	return entries
}

// What a failed reservation has taken is given back.
func TestFailedReservationGivesSpaceBack(t *testing.T) {
	dir := newMemDir()
	dir.space = 3 * pageSize
	_, q := newQueueIn(t, dir)
	if err := q.Push(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	before := len(dir.files[dataName].data)
	if err := q.Push(make([]byte, 4*pageSize)); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("got %v, want no space", err)
	}
	if got := len(dir.files[dataName].data); got != before {
		t.Errorf("the file has %d bytes after the failure, %d before", got, before)
	}
}

func TestSpaceIsReservedInStepsThatDouble(t *testing.T) {
	dir := newMemDir()
	allocations := 0
	dir.fault = func(operation, _ string) error {
		if operation == "allocate" {
			allocations++
		}
		return nil
	}
	_, q := newQueueIn(t, dir)
	allocations = 0
	for range 5000 {
		if err := q.Push(make([]byte, 68)); err != nil {
			t.Fatal(err)
		}
	}
	if allocations < 5 || allocations > 8 {
		t.Errorf("%d allocations for 500,000 bytes beginning with %d, want 7", allocations, pageSize)
	}
}

// Only the end of the file is touched through the mapping: what must come from the disk is
// read and written with calls that can fail.
func TestOldPagesAreNotTouchedThroughTheMapping(t *testing.T) {
	dir := newMemDir()
	f, old := newQueueIn(t, dir)
	other, _ := f.Create("other")
	var operations []string
	var fail string
	dir.fault = func(operation, name string) error {
		operations = append(operations, operation)
		if operation == fail {
			return pathError(operation, name, unix.EIO)
		}
		return nil
	}
	push := func(q *Queue, size int, want string) {
		t.Helper()
		operations = nil
		err := q.Push(make([]byte, size))
		if got := strings.Join(operations, " "); got != want || (err != nil) != (fail != "") {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	push(old, 10, "allocate map")
	push(other, 3*pageSize, "allocate read map unmap")
	push(other, 4*pageSize, "allocate read map unmap write") // the link lies before the window
	push(old, 10, "write")
	push(old, 10, "")
	fail = "read"
	push(other, 8*pageSize, "allocate read")
	fail = "map"
	push(other, 8*pageSize, "allocate read map")
	fail = ""
	push(other, 8*pageSize, "allocate read map unmap write")
	push(other, 16*pageSize, "allocate read map unmap write")
	fail = "write"
	push(old, 10, "write")
	fail = ""
	if n := len(mustDrain(t, old)); n != 3 {
		t.Errorf("%d records, want 3", n)
	}
}

func TestPushRunRefusesWhatIsNoRun(t *testing.T) {
	for _, c := range []struct {
		name    string
		run     []byte
		records int
	}{
		{"too few records", makeRun("a", "b"), 1},
		{"too many records", makeRun("a", "b"), 3},
		{"records without a run", nil, 1},
		{"a run without records", makeRun("a"), 0},
		{"negative records", makeRun("a"), -1},
		{"half a length", makeRun("a", "b")[:12], 2},
		{"half a payload", makeRun("a", "bcd")[:18], 2},
		{"a length beyond everything", append(slices.Repeat([]byte{0xff}, 8), "abc"...), 1},
	} {
		_, q := newQueueIn(t, newMemDir())
		if err := q.PushRun(c.run, c.records); !errors.Is(err, errBadRun) {
			t.Errorf("%s: got %v, want %v", c.name, err, errBadRun)
		}
		if q.State() != (State{ID: 1}) {
			t.Errorf("%s: the state is %+v", c.name, q.State())
		}
	}
	_, q := newQueueIn(t, newMemDir())
	if err := q.PushRun(nil, 0); err != nil || q.Held() != 0 {
		t.Errorf("an empty run: %v, %d records", err, q.Held())
	}
}

// Records larger than what is read at once, and than any buffer that is kept.
func TestLargeRecords(t *testing.T) {
	dir := newMemDir()
	dir.capacity = 8 << 20
	_, q := newQueueIn(t, dir)
	var want []string
	for i, size := range []int{0, 1, shortSpan, firstAhead, smallBlock - 8, smallBlock, smallBlock + 1, largeBlock - 33, largeBlock - 8,
		largeBlock, 1 << 20, 5, 1 << 20, 0} {
		payload := strings.Repeat(string(rune('a'+i)), size)
		want = append(want, payload)
		if err := q.Push([]byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for q.Waiting() > 0 {
		run, n, err := q.Take(1, 1)
		if err != nil || n != 1 {
			t.Fatal(n, err)
		}
		got = append(got, payloads(run)...)
		q.Free(len(run), n)
	}
	if !slices.Equal(got, want) {
		t.Error("the records came back changed")
	}
	if used := q.file.blocks.used.Load(); used != 0 {
		t.Errorf("%d bytes of buffers are counted as used", used)
	}
}

// While many storages are read slowly, buffers stay small.
func TestReadingAheadIsBounded(t *testing.T) {
	dir := newMemDir()
	dir.capacity = 4 << 20
	f, _ := newPublished().mustOpen(t, dir)
	f.blocks.used.Add(mostAhead)
	var queues []*Queue
	for i := range 20 {
		q, _ := f.Create(fmt.Sprint(i))
		queues = append(queues, q)
		for range 300 {
			if err := q.Push(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, q := range queues {
		for range 250 {
			run, n, err := q.Take(1, 1)
			if err != nil || n != 1 {
				t.Fatal(n, err)
			}
			f.blocks.used.Add(1) // so that they never become fewer
			q.Free(len(run), n)
		}
	}
	if used := f.blocks.used.Load() - mostAhead - 20*250; used > 20*smallBlock {
		t.Errorf("20 queues use %d bytes, want at most %d", used, 20*smallBlock)
	}
	for _, q := range queues {
		q.Remove()
		q.Published()
	}
	if used := f.blocks.used.Load() - mostAhead - 20*250; used != 0 {
		t.Errorf("after removing the queues %d bytes are counted as used", used)
	}
}

// Records that lie together cost one read for many; among those of other storages they cost
// a small one each.
func TestReadsAreFewOrSmall(t *testing.T) {
	const records = 30_000
	for queues, most := range map[int]struct{ reads, bytes int }{
		1:   {reads: records * 132 / largeBlock * 3 / 2, bytes: records * 132 * 3 / 2},
		100: {reads: records * 11 / 10, bytes: records * shortSpan * 5 / 2},
	} {
		dir := newMemDir()
		dir.capacity = 8 << 20
		f, _ := newPublished().mustOpen(t, dir)
		var all []*Queue
		for i := range queues {
			q, _ := f.Create(fmt.Sprint(i))
			all = append(all, q)
		}
		for i := range records {
			if err := all[i%queues].Push(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
		}
		dir.reads, dir.bytesRead = 0, 0
		for _, q := range all {
			mustDrain(t, q)
		}
		if dir.reads > most.reads || dir.bytesRead > most.bytes {
			t.Errorf("%d queues: %d reads, %d bytes; at most %d, %d", queues, dir.reads, dir.bytesRead, most.reads, most.bytes)
		}
	}
}
