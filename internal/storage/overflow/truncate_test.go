package overflow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// The acceptance case of storage spec §3.8, on the file system of the tests if that can cut
// off the head of a file, and in memory.
func TestHeadTruncation(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		dir := newMemDir()
		dir.capacity = 64 << 20
		testHeadTruncation(t, dir)
	})
	t.Run("file system", func(t *testing.T) {
		dir, _ := realDir(t, "")
		if err := probeFile(dir); err != nil {
			t.Skipf("the file system can't do it: %v", err)
		}
		testHeadTruncation(t, dir)
	})
}

func testHeadTruncation(t *testing.T, dir disk.Dir) {
	owner := newPublished()
	f, err := Open(dir, silent, Global{}, func(g Global) { owner.global = g })
	if err != nil {
		t.Fatal(err)
	}
	a, _ := f.Create("a")
	b, _ := f.Create("b")
	queues := []*Queue{a, b}
	pushed, popped := 0, 0
	blanks := strings.Repeat(" ", 20_000)
	payload := func(q *Queue, n int) string {
		text := fmt.Sprintf("%s %d", q.name, n)
		return text + blanks[len(text):]
	}
	push := func(n int) {
		for range n {
			for _, q := range queues {
				if err := q.Push([]byte(payload(q, pushed))); err != nil {
					t.Fatal(err)
				}
			}
			pushed++
		}
	}
	pop := func(n int) {
		for range n {
			for _, q := range queues {
				run, records, err := q.Take(1, 1)
				if err != nil || records != 1 || payloads(run)[0] != payload(q, popped) {
					t.Fatalf("pop %d of %s: %d records, %v, %.20q", popped, q.name, records, err, run)
				}
				q.Free(len(run), records)
			}
			popped++
		}
	}
	// flush cuts and starts anew, as after a crash. The size is that of the used part.
	flush := func(want, wantCut int64) {
		t.Helper()
		for _, q := range queues {
			owner.publish(q)
		}
		n, err := f.CutHead()
		if err != nil || n != wantCut<<20 {
			t.Errorf("cut %d bytes, %v, want %d MiB", n, err, wantCut)
		}
		if got := f.end - f.base; got != want {
			t.Errorf("size %d, want %d", got, want)
		}
		if err := f.Abandon(); err != nil {
			t.Fatal(err)
		}
		checkDummy(t, dir, wantCut > 0)
		var all map[string]*Queue
		if f, all, err = owner.open(dir, silent); err != nil {
			t.Fatal(err)
		}
		f.cutUnit = cutUnit
		queues = []*Queue{all["a"], all["b"]}
	}
	push(500)
	flush(20_032_008, 0)
	pop(300)
	flush(8_497_672, 11)
	push(100)
	flush(12_504_072, 0)
	pop(250)
	flush(2_018_312, 10)
	pop(50)
	flush(0, 0)
}

// checkDummy looks for the dummy record behind the magic: zeros up to the oldest record.
func checkDummy(t *testing.T, dir disk.Dir, cut bool) {
	t.Helper()
	if !cut {
		return
	}
	data, err := dir.Open(dataName)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	b := make([]byte, 2<<20)
	if _, err := data.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	h, ok := parseHeader(b[magicSize:])
	if string(b[:magicSize]) != magic || !ok || h.channel != 0 || h.next != 0 || h.length >= cutUnit {
		t.Fatalf("the head is %q, dummy record %+v, %t", b[:magicSize], h, ok)
	}
	if payload := b[headSize:][:h.length]; strings.Trim(string(payload), "\x00") != "" {
		t.Error("the dummy record isn't zero")
	}
	if next, ok := parseHeader(b[headSize+int64(h.length):]); !ok || next.channel == 0 || next.length != 20_000 {
		t.Errorf("behind the dummy record is %+v, %t", next, ok)
	}
}

// The dummy record has no payload if the oldest record begins right behind it: a D node asks
// the file system to zero 0 bytes then, and fails.
func TestHeadTruncationWithAnEmptyDummyRecord(t *testing.T) {
	f, q := newQueueIn(t, newMemDir())
	first := pageSize + headSize // where the oldest record is to be
	if err := q.PushRun(makeRun(string(make([]byte, first-magicSize-headerSize)), "kept"), 2); err != nil {
		t.Fatal(err)
	}
	run, n, err := q.Take(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	q.Free(len(run), n)
	q.Published()
	if n, err := f.CutHead(); n != pageSize || err != nil {
		t.Errorf("cut %d bytes, %v", n, err)
	}
	if got := mustDrain(t, q); len(got) != 1 || got[0] != "kept" {
		t.Errorf("got %q", got)
	}
}

// What a published State needs stays, even if it has been freed since.
func TestHeadTruncationKeepsWhatIsNotPublishedAsFreed(t *testing.T) {
	dir, owner := newMemDir(), newPublished()
	f, _ := owner.mustOpen(t, dir)
	q, _ := f.Create("q")
	big := strings.Repeat("x", 3*pageSize)
	if err := q.PushRun(makeRun(big, big, big), 3); err != nil {
		t.Fatal(err)
	}
	owner.publish(q)
	run, n, err := q.Take(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	q.Free(len(run), n)
	if n, err := f.CutHead(); n != 0 || err != nil {
		t.Errorf("cut %d bytes, %v before the State was published", n, err)
	}
	_, queues := owner.clone().mustOpen(t, dir.clone())
	if got := mustDrain(t, queues["q"]); len(got) != 3 {
		t.Errorf("after a crash %d records, want 3", len(got))
	}
	owner.publish(q)
	if n, err := f.CutHead(); n == 0 || err != nil {
		t.Errorf("cut %d bytes, %v after the State was published", n, err)
	}
}

func TestProbe(t *testing.T) {
	for _, c := range []struct {
		name string
		fail string
		err  error
		want bool
	}{
		{name: "supported", want: true},
		{name: "not supported", fail: "collapse", err: unix.EOPNOTSUPP},
		{name: "no space", fail: "allocate", err: unix.ENOSPC, want: true},
		{name: "no permission", fail: "open", err: unix.EACCES, want: true},
		{name: "the file can't be removed", fail: "remove", err: unix.EIO, want: true},
	} {
		dir := newMemDir()
		dir.capacity = 2 << 20
		dir.put(probeName, []byte("left by a start that was killed"), time.Now())
		dir.fault = func(operation, name string) error {
			if operation == c.fail && strings.HasPrefix(name, "falloctest_") {
				return pathError(operation, name, c.err)
			}
			return nil
		}
		f, err := Open(dir, silent, Global{}, func(Global) {})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if f.canCut != c.want {
			t.Errorf("%s: got %t, want %t", c.name, f.canCut, c.want)
		}
		if got := strings.Join(dir.names(), " "); c.fail != "remove" && got != "ofchannels.csv overflow.dat" {
			t.Errorf("%s: left %s", c.name, got)
		}
	}
}

// That the file system can't do it may turn out late.
func TestHeadTruncationThatIsNotSupported(t *testing.T) {
	dir := newMemDir()
	f, q := newQueueIn(t, dir)
	if err := q.PushRun(makeRun(strings.Repeat("x", 3*pageSize), "kept"), 2); err != nil {
		t.Fatal(err)
	}
	run, n, err := q.Take(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	q.Free(len(run), n)
	q.Published()
	attempts := 0
	dir.fault = func(operation, name string) error {
		if operation != "collapse" {
			return nil
		}
		attempts++
		return pathError(operation, name, unix.EOPNOTSUPP)
	}
	for range 2 {
		if n, err := f.CutHead(); n != 0 || err != nil || attempts != 1 {
			t.Errorf("cut %d bytes, %v, in %d attempts; want 0 in 1", n, err, attempts)
		}
	}
	if got := mustDrain(t, q); len(got) != 1 || got[0] != "kept" {
		t.Errorf("got %q", got)
	}
}

func TestFinishCutRefusesAFileOfAnotherSize(t *testing.T) {
	g := Global{Base: 100, Cut: 1 << 20, CutSize: 5 << 20}
	for size, want := range map[int64]int64{5 << 20: 100, 4 << 20: 100 + 1<<20, 3 << 20: -1, 0: -1} {
		base, err := finishCut(g, size)
		if err != nil {
			base = -1
		}
		if base != want {
			t.Errorf("size %d: base %d, %v, want %d", size, base, err, want)
		}
	}
}
