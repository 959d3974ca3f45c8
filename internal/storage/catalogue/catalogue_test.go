package catalogue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/copies"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

func newDir(t testing.TB) *disktest.Dir {
	d := disktest.NewDir()
	t.Cleanup(d.Release)
	return d
}

func create(t testing.TB, dir disk.Dir) *File {
	t.Helper()
	f, err := Create(dir, New(), true)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// killed returns what the catalogue says if the process is killed now.
func killed(t testing.TB, dir *disktest.Dir) *Content {
	t.Helper()
	dir = dir.Clone()
	defer dir.Release()
	c, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// says is what matters of a content, to be compared.
func says(c *Content) Content {
	s := *c
	s.end, s.durable, s.Rebooted, s.Loose = 0, durable{}, false, false
	s.Queues = maps.Clone(c.Queues)
	return s
}

func compare(t testing.TB, what string, got, want *Content) {
	t.Helper()
	if g, w := says(got), says(want); !reflect.DeepEqual(g, w) {
		t.Fatalf("%s:\n got %+v\nwant %+v", what, g, w)
	}
}

// model is what a catalogue should say, and does the same as a File.
type model struct{ Content }

func (m *model) change(numbers []uint64, change func(*Queue)) {
	for _, n := range numbers {
		q := m.Queues[n]
		change(&q)
		m.Queues[n] = q
	}
}

// step does something to both. It returns false if it was refused.
func (m *model) step(t testing.TB, rng *rand.Rand, f *File) error {
	known := slices.Sorted(maps.Keys(m.Queues))
	some := func() []uint64 {
		n := rng.IntN(min(len(known), 4))
		rng.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
		return known[:n+1]
	}
	name := strings.Repeat("n", rng.IntN(60)) + fmt.Sprint(rng.Uint32())
	link := ring.Link{Kind: ring.Kind(rng.IntN(3)), Number: rng.Uint64() >> rng.IntN(64)}
	op := rng.IntN(12)
	if len(known) == 0 {
		op = 0
	}
	switch op {
	default:
		number, err := f.Add(name)
		if err == nil {
			if number != m.Next {
				t.Fatalf("Add gave number %d, want %d", number, m.Next)
			}
			m.Queues[number] = Queue{Number: number, Name: name}
			m.Next++
		}
		return err
	case 4, 5:
		numbers := some()
		err := f.Rename(numbers, name)
		if err == nil {
			m.change(numbers, func(q *Queue) { q.Name = name })
		}
		return err
	case 6, 7:
		numbers := some()
		err := f.Remove(numbers)
		if err == nil {
			for _, n := range numbers {
				delete(m.Queues, n)
			}
		}
		return err
	case 8, 9:
		numbers := some()[:1]
		err := f.SetFirst(numbers[0], link)
		if err == nil {
			m.change(numbers, func(q *Queue) { q.First = link })
		}
		return err
	case 10:
		queues := []Queue{{m.Next + 3, name, link}, {m.Next + 1, "x", ring.Link{}}, {known[0], "taken", link}}
		sources := []dformat.Source{{Name: name, Inode: rng.Uint64(), ModTime: rng.Uint64(), Size: rng.Uint64(), Aside: "a"}, {}}
		err := f.Takeover(queues, sources)
		if err == nil {
			for _, q := range queues {
				m.Queues[q.Number] = q
				m.Next = max(m.Next, q.Number+1)
			}
			m.Sources = sources
		}
		return err
	case 11:
		if rng.IntN(2) == 0 {
			err := f.TakenOver()
			if err == nil {
				m.Sources = nil
			}
			return err
		}
		p := Phase(rng.IntN(4))
		err := f.SetPhase(p)
		m.Phase = p
		return err
	}
}

// What is done is what a catalogue says then, to who has it open and to who reads it, also after
// a kill; and it is gone on with.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 0))
		dir := disktest.NewDir()
		f := create(t, dir)
		m := &model{f.Content()}
		full := false
		hook := func() {
			dir.Before = func(c disktest.Call) error {
				if full && (c.Op == "write" || c.Op == "create") {
					return unix.ENOSPC
				}
				return nil
			}
		}
		hook()
		for i := range 1000 {
			what := fmt.Sprintf("seed %d step %d", seed, i)
			if err := m.step(t, rng, f); err != nil && !full {
				t.Fatalf("%s: %v", what, err)
			}
			got := f.Content()
			compare(t, what, &got, &m.Content)
			switch rng.IntN(40) {
			case 0:
				compare(t, what+", read after a kill", killed(t, dir), &m.Content)
			case 1:
				full = false
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				old := dir
				dir = dir.Clone()
				old.Release()
				c, err := Read(dir)
				if err != nil {
					t.Fatal(err)
				}
				if f, err = Open(dir, c, true); err != nil {
					t.Fatal(err)
				}
				hook()
			case 2:
				full = !full
			case 3:
				needs := f.NeedsCare()
				if err := f.Care(); err != nil && !full {
					t.Fatal(err)
				} else if err == nil && f.NeedsCare() || err != nil && !needs {
					t.Fatalf("%s: Care: %v, needed: %v, now: %v", what, err, needs, f.NeedsCare())
				}
			}
		}
		f.Close()
		dir.Release()
	}
}

// image returns a catalogue with an entry of each kind, and what it says.
func image(t testing.TB) ([]byte, *Content) {
	dir := newDir(t)
	f := create(t, dir)
	a, _ := f.Add("me@one")
	b, _ := f.Add("two")
	f.SetFirst(a, ring.Link{Kind: ring.Main, Number: 5})
	f.Takeover([]Queue{{9, "three", ring.Link{Kind: ring.Spill, Number: 7}}},
		[]dformat.Source{{Name: "three.rq", Inode: 3, ModTime: 4, Size: 5, Aside: "aside"}})
	f.Rename([]uint64{a, b}, "you@one")
	f.Remove([]uint64{b})
	f.SetPhase(Kept)
	c := f.Content()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	content, _ := dir.Content(FileName)
	return content, &c
}

// A catalogue of which a bit is wrong says what it did. One of which a byte is wrong is damaged, and
// the entry which that is in says nothing; or it says what it did.
func TestEveryDamagedByte(t *testing.T) {
	whole, want := image(t)
	var all, without []Content // after each entry; and of all entries but one
	for left := int64(headSize); left < want.end; {
		c := New()
		for at := int64(headSize); at < want.end; {
			size := int64(uint32(word(whole, int(at))))
			if at != left {
				c.apply(whole[at+8:][:size]) // which may be about a queue that is unknown now
			}
			at += 8 + padded(size)
		}
		without = append(without, says(c))
		left += 8 + padded(int64(uint32(word(whole, int(left)))))
	}
	for c, at := New(), int64(headSize); at < want.end; {
		size := int64(uint32(word(whole, int(at))))
		if err := c.apply(whole[at+8:][:size]); err != nil {
			t.Fatal(err)
		}
		at += 8 + padded(size)
		s := says(c)
		all = append(all, s)
	}
	for at := range int(want.end) + 8 {
		changes := []byte{255, 1, 2, 4, 8, 16, 32, 64, 128}
		if at >= phaseAt+8 && at < durableAt || at >= durableAt+copies.Size && at < headSize {
			changes = changes[:1] // nothing is kept there
		}
		for _, change := range changes {
			b := bytes.Clone(whole)
			b[at] ^= change
			c := New()
			c.Instance = 0
			err := c.parse(b, 1)
			if err == nil || change != 255 {
				if err != nil {
					t.Errorf("byte %d, bits %#x: %v", at, change, err)
				}
				compare(t, fmt.Sprintf("byte %d, bits %#x", at, change), c, want)
				continue
			}
			switch {
			case at < phaseAt:
				if c.Instance != 0 || len(c.Queues) > 0 {
					t.Errorf("byte %d: of a damaged head, instance %d is known", at, c.Instance)
				}
			case at < durableAt:
				if c.Instance != want.Instance || c.Phase != Serving {
					t.Errorf("byte %d: instance %d, phase %d", at, c.Instance, c.Phase)
				}
			default:
				if !slices.ContainsFunc(without, func(s Content) bool { return maps.Equal(s.Queues, c.Queues) }) &&
					!slices.ContainsFunc(all, func(s Content) bool { return maps.Equal(s.Queues, c.Queues) }) && len(c.Queues) > 0 {
					t.Errorf("byte %d: the queues are none of those that there were, nor of those without one of the entries: %v", at, c.Queues)
				}
				if c.Instance != want.Instance || c.Phase != Kept {
					t.Errorf("byte %d: instance %d, phase %d", at, c.Instance, c.Phase)
				}
			}
		}
	}
	for size := range len(whole) {
		if size > int(want.end)+16 {
			break
		}
		c := New()
		err := c.parse(whole[:size], 1)
		if err == nil && size < headSize || err == nil && !slices.ContainsFunc(all, func(s Content) bool { return maps.Equal(s.Queues, c.Queues) }) && len(c.Queues) > 0 {
			t.Errorf("%d bytes: %v, %v", size, c.Queues, err)
		}
	}
}

// A process that is killed while it stores leaves a whole number of entries, and the next one
// goes on behind them.
func TestKilledWhileStoring(t *testing.T) {
	dir := newDir(t)
	f := create(t, dir)
	f.Add("one")
	before := f.Content()
	end := f.content.end
	image := bytes.Clone(f.mapping.Bytes()[:end+4096])
	f.Takeover([]Queue{{8, strings.Repeat("long", 100), ring.Link{}}, {9, "short", ring.Link{}}}, nil)
	after := f.Content()
	last := f.content.end
	for stored := end + 8; stored <= last; stored++ { // the first word comes last
		copy(image[end+8:stored], f.mapping.Bytes()[end+8:])
		left := newDir(t)
		left.Put(FileName, image)
		c, err := Read(left)
		if err != nil || c.Damage != nil {
			t.Fatal(err, c.Damage)
		}
		compare(t, "killed", c, &before)
		next, err := Open(left, c, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "another"} {
			if _, err := next.Add(name); err != nil {
				t.Fatal(err)
			}
			want := next.Content()
			compare(t, "gone on", killed(t, left), &want)
		}
		left.Release()
	}
	copy(image[end:], f.mapping.Bytes()[end:end+8])
	c := New()
	if err := c.parse(image, 1); err != nil {
		t.Fatal(err)
	}
	compare(t, "with the first word", c, &after)
}

// A call about a queue that is gone is refused: as an entry it would be damage.
func TestUnknownQueue(t *testing.T) {
	dir := newDir(t)
	f := create(t, dir)
	a, _ := f.Add("a")
	b, _ := f.Add("b")
	f.Remove([]uint64{a})
	want := f.Content()
	if f.SetFirst(a, ring.Link{Kind: ring.Main, Number: 1}) == nil || f.Rename([]uint64{b, a}, "c") == nil {
		t.Error("a queue that is gone was changed")
	}
	if err := f.Remove([]uint64{a}); err != nil {
		t.Errorf("removing again: %v", err)
	}
	compare(t, "after that", killed(t, dir), &want)
}

// A phase is durable before anybody goes on, or it is told that it may not be.
func TestPhaseIsDurable(t *testing.T) {
	dir := newDir(t)
	f := create(t, dir)
	synced := false
	dir.After = func(c disktest.Call) {
		if c.Op == "sync map" {
			synced = killed(t, dir).Phase == Dumping
		}
	}
	if err := f.SetPhase(Dumping); err != nil || !synced {
		t.Errorf("%v, synced: %v", err, synced)
	}
	dir.After = nil
	dir.Before = func(c disktest.Call) error {
		if c.Op == "sync map" {
			return unix.EIO
		}
		return nil
	}
	if err := f.SetPhase(Dumped); !errors.Is(err, unix.EIO) {
		t.Errorf("what could not be synced: %v", err)
	}
}

// A file that somebody has cut can't be made durable, which must not end the process.
func TestFileIsCut(t *testing.T) {
	dir, err := disk.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := create(t, dir)
	defer f.Close()
	if _, err := f.Add("queue"); err != nil {
		t.Fatal(err)
	}
	mark := f.Mark()
	if err := os.Truncate(dir.Path(FileName), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.MakeDurable(mark); err == nil || !strings.Contains(err.Error(), disk.Unreadable) {
		t.Errorf("got %v, want an error that tells of pages", err)
	}
	if f.IsDurable(mark) {
		t.Error("the file is said to be durable")
	}
}

// With a full disk nothing changes, unless there was space ahead; and it goes on afterwards.
func TestFullDisk(t *testing.T) {
	dir := newDir(t)
	f := create(t, dir)
	f.Add("first")
	dir.Before = func(c disktest.Call) error {
		if c.Op == "write" || c.Op == "create" {
			return unix.ENOSPC
		}
		return nil
	}
	added := 1
	for {
		if _, err := f.Add(fmt.Sprint("queue ", added)); err != nil {
			got := f.Content()
			if !errors.Is(err, unix.ENOSPC) || len(got.Queues) != added || got.Next != uint64(added+1) {
				t.Errorf("%d queues were added, there are %d: %v", added, len(got.Queues), err)
			}
			compare(t, "refused, after a kill", killed(t, dir), &got)
			break
		}
		added++
	}
	if added < fillSize/2/40 {
		t.Errorf("there was space for only %d entries", added)
	}
	dir.Before = nil
	for range 5000 {
		if _, err := f.Add(strings.Repeat("x", 100)); err != nil {
			t.Fatal(err)
		}
	}
	want := f.Content()
	compare(t, "after that", killed(t, dir), &want)
}

// A log that is much longer than what it says is written anew, at once or not at all, whatever
// call fails. What is added meanwhile is in either.
func TestWrittenAnew(t *testing.T) {
	grow := func(dir *disktest.Dir) *File {
		f := create(t, dir)
		for range 50 {
			f.Add("a queue")
		}
		for f.content.end <= 1<<20 {
			if err := f.Rename([]uint64{7}, strings.Repeat("m", 200)); err != nil {
				t.Fatal(err)
			}
		}
		return f
	}
	// care does it, and adds queues meanwhile.
	care := func(f *File, dir *disktest.Dir, fails int) error {
		first := dir.Calls()
		dir.After = func(c disktest.Call) {
			if c.Name == NewFileName && (c.Op == "create" || c.Op == "sync") {
				for range 700 {
					if _, err := f.Add(strings.Repeat("meanwhile", 10)); err != nil && fails < 0 {
						t.Fatal(err)
					}
				}
				f.SetPhase(Kept)
			}
			got := f.content // nobody else uses it
			compare(t, c.String(), killed(t, dir), &got)
		}
		dir.Before = func(c disktest.Call) error {
			if c.Number-first == fails {
				return unix.EIO
			}
			return nil
		}
		err := f.Care()
		dir.Before, dir.After = nil, nil
		return err
	}
	dir := newDir(t)
	f := grow(dir)
	first, long := dir.Calls(), f.content.end
	if err := care(f, dir, -1); err != nil || f.content.end > long || f.NeedsCare() {
		t.Fatalf("%v; the log has %d bytes", err, f.content.end)
	}
	got := f.Content()
	if len(got.Queues) != 1450 || got.Phase != Kept || len(dir.Names()) != 1 {
		t.Errorf("%d queues, phase %d, files %q", len(got.Queues), got.Phase, dir.Names())
	}
	compare(t, "written anew", killed(t, dir), &got)
	for call := range dir.Calls() - first {
		again := newDir(t)
		g := grow(again)
		care(g, again, call)
		want := g.Content()
		compare(t, fmt.Sprintf("call %d failed", call), killed(t, again), &want)
		if err := g.Rename([]uint64{7}, "renamed"); err != nil {
			t.Fatal(err)
		}
		if killed(t, again).Queues[7].Name != "renamed" {
			t.Fatalf("call %d failed: what follows is stored where nobody reads it", call)
		}
		if err := g.Care(); err != nil || g.NeedsCare() {
			t.Errorf("call %d failed, and the next attempt: %v", call, err)
		}
		again.Release()
	}
}

// Long names do not make each entry write the file anew.
func TestSeldomWrittenAnew(t *testing.T) {
	dir := newDir(t)
	f := create(t, dir)
	anew := 0
	dir.Before = func(c disktest.Call) error {
		if c.Op == "create" {
			anew++
		}
		return nil
	}
	for range 20_000 {
		if _, err := f.Add(strings.Repeat("n", 240)); err != nil {
			t.Fatal(err)
		}
		if err := f.Care(); err != nil {
			t.Fatal(err)
		}
	}
	if anew < 2 || anew > 5 {
		t.Errorf("it was written %d times", anew)
	}
}

// A catalogue has a largest size. What is too much is refused, and what there is stays; what is
// given up makes room.
func TestLargestCatalogue(t *testing.T) {
	dir := newDir(t)
	f := create(t, dir)
	name := strings.Repeat("n", 200_000)
	var last uint64
	for {
		number, err := f.Add(name)
		if err != nil {
			break
		}
		last = number
		f.Care() // which may find no room
	}
	if last < 60<<20/200_000 || last > 64<<20/200_000 {
		t.Errorf("%d queues fit", last)
	}
	want := f.Content()
	compare(t, "full", killed(t, dir), &want)
	for number := range uint64(20) {
		if err := f.Remove([]uint64{number + 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Care(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Add(name); err != nil {
		t.Errorf("there is no room where some was given up: %v", err)
	}
}

func TestCreateReplaces(t *testing.T) {
	dir := newDir(t)
	first := create(t, dir)
	first.Add("old")
	first.Close()
	c := New()
	c.Queues[4], c.Next, c.Phase = Queue{4, "new", ring.Link{Kind: ring.Spill, Number: 2}}, 5, Dumped
	c.Sources = []dformat.Source{{Name: "x"}}
	dir.Put(NewFileName, []byte("left by a process that was killed"))
	for call := 0; ; call++ {
		d := dir.Clone()
		d.Before = func(made disktest.Call) error {
			if made.Number == call {
				return unix.EIO
			}
			return nil
		}
		f, err := Create(d, c, true)
		if d.Calls() <= call {
			d.Before = nil
			compare(t, "made", killed(t, d), c)
			if again := f.Content(); f.Instance() != c.Instance || f.Close() != nil || f.Close() != nil || f.Care() != nil {
				t.Errorf("got %+v", again)
			}
			d.Release()
			break
		}
		if err == nil {
			t.Errorf("call %d failed, and nobody was told", call)
		} else if left := killed(t, d); len(left.Queues) != 1 || left.Queues[1].Name != "old" {
			t.Errorf("call %d failed: the old catalogue says %+v", call, left)
		}
		d.Release()
	}
}

func TestReadFails(t *testing.T) {
	dir := newDir(t)
	if _, err := Read(dir); !disk.IsNotExist(err) {
		t.Errorf("without a file: %v", err)
	}
	create(t, dir).Close()
	for _, op := range []string{"open", "size", "read"} {
		dir.Before = func(c disktest.Call) error {
			if c.Op == op {
				return unix.EIO
			}
			return nil
		}
		if _, err := Read(dir); !errors.Is(err, unix.EIO) {
			t.Errorf("%s fails: got %v", op, err)
		}
	}
	dir.Before = nil
	f, _ := dir.Open(FileName)
	f.Truncate(mapSize + 1)
	if _, err := Read(dir); err == nil {
		t.Error("a file that no node leaves behind was read")
	}
	f.Truncate(100)
	if c, err := Read(dir); err != nil || c.Damage == nil || c.Instance != 0 || !strings.Contains(c.Damage.Error(), dir.Path(FileName)) {
		t.Errorf("a short file: %v, %v", c, err)
	}
}

// Whatever is in a file, it is damaged or says something, which a new one says as well.
func FuzzParse(f *testing.F) {
	whole, c := image(f)
	f.Add(whole[:c.end+8], false)
	f.Add(whole[:c.end-3], true)
	f.Add(whole[headSize:c.end], true)
	f.Fuzz(func(t *testing.T, b []byte, entries bool) {
		if entries { // with right checksums
			c := New()
			head := c.image(1)[:headSize]
			for len(b) >= 2 {
				n := min(int(binary.LittleEndian.Uint16(b)%200), len(b)-2)
				head = appendEntry(head, b[2:2+n])
				b = b[2+n:]
			}
			b = head
		}
		c := New()
		if err := c.parse(b, 1); err != nil {
			return
		}
		again := New()
		if err := again.parse(c.image(1), 1); err != nil {
			t.Fatal(err)
		}
		compare(t, "written anew", again, c)
	})
}
