package ring

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/copies"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

func newDir(t testing.TB) *disktest.Dir {
	d := disktest.NewDir()
	t.Cleanup(d.Release)
	return d
}

// reopen opens what a process killed now leaves of a file.
func reopen(t testing.TB, dir *disktest.Dir, name string) (*Ring, Head) {
	t.Helper()
	dir = dir.Clone()
	t.Cleanup(dir.Release)
	h, err := ReadHead(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Attach(); err != nil {
		t.Fatal(err)
	}
	return r, h
}

// headOf is what the file tells of itself after a kill.
func headOf(t testing.TB, dir *disktest.Dir) Head {
	t.Helper()
	dir = dir.Clone()
	defer dir.Release()
	h, err := ReadHead(dir, somewhere.FileName())
	if err != nil {
		t.Fatal(err)
	}
	h.owner = 0 // how often that was stored
	return h
}

// drain takes all records, and drops what is damaged. It returns the payloads.
func drain(t testing.TB, r *Ring) (payloads []string, damage error) {
	t.Helper()
	if err := r.Attach(); err != nil && r.Held() > 0 {
		t.Fatal(err)
	}
	for most := r.Held(); r.Waiting() > 0; {
		run, n, err := r.Take(1000, 10)
		size, marked := len(run), 0
		if n == 0 && err == nil {
			run, marked = r.TakeMarked()
			size = len(run)
		}
		if n+marked == 0 {
			if damage = err; !errors.As(err, new(*DamageError)) {
				t.Fatalf("%d records wait, and taking gives none: %v", r.Waiting(), err)
			}
			r.Abandon()
			break
		}
		for range n {
			record, _ := Cut(run, 1, 1)
			payloads = append(payloads, string(record[HeaderSize:]))
			run = run[len(record):]
		}
		r.Free(size, n+marked)
		if len(payloads) > most {
			t.Fatalf("%d records held, %d taken", most, len(payloads))
		}
	}
	if r.Held() != 0 || r.UsedSpace() != 0 {
		t.Fatalf("after all records were taken, %d are held, in %d bytes", r.Held(), r.UsedSpace())
	}
	return payloads, damage
}

func TestFileNames(t *testing.T) {
	for _, l := range []Link{{Main, 1}, {Spill, 999_999}, {Main, 12_345_678}, {Spill, 1<<62 - 1}} {
		if got, ok := ParseFileName(l.FileName()); !ok || got != l || linkOf(l.word()) != l {
			t.Errorf("%s: got %v, %v", l.FileName(), got, ok)
		}
	}
	for _, name := range []string{"", "ring-1.dat", "ring-000001.dat.bak", "ring-0000001.dat", "ring-+00001.dat", "spill-00000x.dat", "ring-000001", "Ring-000001.dat"} {
		if got, ok := ParseFileName(name); ok {
			t.Errorf("%q is taken for file %v", name, got)
		}
	}
}

// A head of which a bit is wrong tells what it did; one of which two are wrong does so, or is damaged.
func TestEveryBitOfAHead(t *testing.T) {
	dir := newDir(t)
	r := newFile(t, dir, somewhere, 1000)
	push(t, r, "some")
	push(t, r, "records")
	pop(r)
	r.Publish()
	if err := r.SetNext(Link{Spill, 8}); err != nil {
		t.Fatal(err)
	}
	name := somewhere.FileName()
	want, err := ReadHead(dir, name)
	if err != nil || want.Next != (Link{Spill, 8}) || want.Held != 1 || want.Name != "me@channel" {
		t.Fatalf("got %+v, %v", want, err)
	}
	f, _ := dir.Open(name)
	var image [headSize]byte
	f.ReadAt(image[:], 0)
	flip := func(bits ...int) (Head, error) {
		b := image
		for _, bit := range bits {
			b[bit/8] ^= 1 << (bit % 8)
		}
		f.WriteAt(b[:], 0)
		return ReadHead(dir, name)
	}
	for bit := range 8 * sumsAt {
		if got, err := flip(bit); err != nil || got != want {
			t.Fatalf("bit %d: got %+v, %v", bit, got, err)
		}
	}
	rng, damaged := rand.New(rand.NewPCG(1, 1)), 0
	for range 300 {
		a, b := rng.IntN(8*(placeAt+8+2*8*placeWords)), rng.IntN(8*(placeAt+8+2*8*placeWords))
		switch got, err := flip(a, b); {
		case errors.As(err, new(*DamageError)):
			damaged++
		case err != nil || a != b && got != want:
			t.Fatalf("bits %d and %d: got %+v, %v", a, b, got, err)
		}
	}
	if damaged == 0 {
		t.Error("no head with two wrong bits is damaged")
	}

	flip(8*ownerAt, 8*placeAt) // the selectors
	r, _ = reopen(t, dir, name)
	push(t, r, "one more")
	r.Publish()
	if err := r.SetName("another"); err != nil {
		t.Fatal(err)
	}
	if h := headOf(t, r.file.dir.(*disktest.Dir)); h.Held != 2 || h.Name != "another" || h.Next != want.Next {
		t.Errorf("after an update, a head with wrong selectors is %+v", h)
	}
}

// seal makes the checksums of a head right.
func seal(b []byte) {
	copy(b, magic)
	putWord(b, sumAt, uint64(crc32.Checksum(b[:sumAt], castagnoli)))
	if word(b, placeAt) != 0 {
		putWord(b, placeAt, ^uint64(0))
	}
	values, _ := selected(b[placeAt:], placeWords)
	values[placeWords-1] = sum(values[:placeWords-1])
	update(b[placeAt:], values)
	for at, n := range map[int]int{ownerAt: ownerWords, durableAt: durableWords} {
		words := make([]uint64, n)
		for i := range words {
			words[i] = word(b, at+8+8*i)
		}
		clear(b[at : at+copies.Size])
		copies.Store(b[at:], 1, words)
	}
}

// image is a file with that ring.
func image(capacity int, at Positions, data []byte) []byte {
	b := make([]byte, headSize+len(data))
	h := Head{Instance: 42, Link: somewhere, Capacity: uint64(capacity), Durable: Durable{Boot: 1, sequence: 1}, owner: 1}
	h.encode(b)
	words := []uint64{at.Read, at.Write, at.Gap, at.Held, at.Suspect, 0}
	words[placeWords-1] = sum(words[:placeWords-1])
	update(b[placeAt:], words)
	copy(b[headSize:], data)
	return b
}

// Whatever is in a file, it is damaged or it can be read, and never more than it holds; and who
// inspects it finds the same as a node.
func FuzzOpen(f *testing.F) {
	records := encode([]record{{payload: []byte("one")}, {payload: []byte("two")}, {payload: []byte("three")}})
	n := uint64(len(records))
	f.Add(image(100, Positions{0, n, n, 3, 0}, records), true)
	f.Add(image(100, Positions{22, 11, n, 2, 1}, records), true)
	f.Add(image(100, Positions{11, n, n, 2, 2}, records), false)
	f.Add(image(100, Positions{0, n, n, 3, 0}, records[:20]), true)
	f.Add([]byte("DMQRING4"), false)
	f.Fuzz(func(t *testing.T, content []byte, right bool) {
		dir := disktest.NewDir()
		defer dir.Release()
		if right && len(content) >= headSize {
			seal(content)
		}
		name := somewhere.FileName()
		dir.Put(name, content)
		h, err := ReadHead(dir, name)
		if err != nil && !errors.As(err, new(*DamageError)) {
			t.Fatal(err)
		}
		if err != nil || h.Link != somewhere || h.Capacity > 1<<20 {
			return
		}
		r, err := Open(dir, h)
		if err != nil && !errors.As(err, new(*DamageError)) {
			t.Fatal(err)
		}
		held := r.Held()
		payloads, damage := drain(t, r)
		if len(payloads) > held {
			t.Fatalf("%d of %d records", len(payloads), held)
		}
		intact, told := Inspect(dir, name, h, io.Discard)
		lost := intact.Records+intact.Delivered < h.Held // else bytes are missing that held none
		if intact.Records != uint64(len(payloads)) || lost != (told != nil) || lost && err == nil && damage == nil {
			t.Fatalf("a node finds %d records, %v, %v; Inspect %+v, %v", len(payloads), err, damage, intact, told)
		}
		if err == nil && r.Fits(HeaderSize) {
			push(t, r, "")
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestImpossiblePositions(t *testing.T) {
	for _, at := range []Positions{
		{Read: 0, Write: 101, Gap: 101, Held: 1},
		{Read: 50, Write: 20, Gap: 101, Held: 1},
		{Read: 50, Write: 20, Gap: 50, Held: 1},
		{Read: 50, Write: 20, Gap: 40, Held: 1},
		{Read: 0, Write: 20, Gap: 30, Held: 1},
		{Read: 0, Write: 20, Gap: 20, Held: 3},
		{Read: 0, Write: 20, Gap: 20, Held: 1, Suspect: 2},
		{Read: 0, Write: 0, Gap: 0, Held: 1},
		{Read: 1 << 63, Write: 20, Gap: 20, Held: 1},
		{Read: 0, Write: 1 << 63, Gap: 1 << 63, Held: 1},
		{Read: 0, Write: 20, Gap: 20, Held: 1 << 63},
	} {
		dir := newDir(t)
		dir.Put(somewhere.FileName(), image(100, at, make([]byte, 100)))
		h, err := ReadHead(dir, somewhere.FileName())
		if err != nil || h.Positions != at {
			t.Fatalf("got %+v, %v", h, err)
		}
		r, err := Open(dir, h)
		if !errors.As(err, new(*DamageError)) || r.Held() != 0 {
			t.Errorf("%+v: got %v", at, err)
		}
	}
}

// What is left of a file that was cut is the records in front of the cut.
func TestCutFile(t *testing.T) {
	for _, wrapped := range []bool{false, true} {
		dir := newDir(t)
		r := newFile(t, dir, somewhere, 100)
		for i := range 5 {
			push(t, r, fmt.Sprint("record ", i)) // 16 bytes each
		}
		if wrapped {
			pop(r)
			pop(r)
			push(t, r, "record 5, at offset 0")
		}
		r.Take(1, 1)
		second, _, _ := r.Take(1, 1)
		r.Mark(second, 1)
		r.Behind(len(second), 1)
		r.Publish()
		var all []string
		whole, _ := dir.Content(somewhere.FileName())
		all, _ = drain(t, opened(t, dir, whole))
		if len(all) != r.Held()-1 {
			t.Fatalf("of %d records, one marked: %q", r.Held(), all)
		}
		end := headSize + max(r.gap, r.write)
		for size := headSize; size <= end; size++ {
			left := newDir(t)
			left.Put(somewhere.FileName(), whole[:size])
			h, err := ReadHead(left, somewhere.FileName())
			if err != nil {
				t.Fatal(err)
			}
			o, err := Open(left, h)
			if got := errors.As(err, new(*DamageError)); got != (size < end) {
				t.Fatalf("%d of %d bytes: %v", size, end, err)
			}
			got, err := drain(t, o)
			if err != nil || !slices.Equal(got, all[:len(got)]) {
				t.Errorf("%d of %d bytes: got %q, %v, of %q", size, end, got, err, all)
			}
			intact := 0
			for pos := r.read + 16; pos <= min(size-headSize, r.gap); pos += 16 {
				if pos != r.read+32 { // the second is marked
					intact++
				}
			}
			if size < end && len(got) != intact {
				t.Errorf("wrapped %v, %d bytes: %d records are left, want %d", wrapped, size, len(got), intact)
			}
			left.Release()
		}
	}
}

// opened is the ring in a file with that content.
func opened(t *testing.T, dir *disktest.Dir, content []byte) *Ring {
	t.Helper()
	c := newDir(t)
	c.Put(somewhere.FileName(), content)
	r, _ := reopen(t, c, somewhere.FileName())
	return r
}

// More records than a mark can tell are several marked runs.
func TestMarkOfManyRecords(t *testing.T) {
	const records = 100_000
	dir := newDir(t)
	r := newFile(t, dir, somewhere, HeaderSize*(records+2))
	push(t, r, "first")
	r.PushRun(make([]byte, HeaderSize*records), records)
	r.Take(1, 1)
	run, n, _ := r.Take(r.Capacity(), r.Held())
	if n != records {
		t.Fatalf("took %d records", n)
	}
	r.Mark(run, n)
	r.Behind(len(run), n)
	r.Publish()
	if r.Records() != 1 || r.Size() != HeaderSize+5 {
		t.Errorf("%d records, %d bytes count", r.Records(), r.Size())
	}
	o, _ := reopen(t, dir, somewhere.FileName())
	if o.Suspect() != records+1 {
		t.Errorf("%d records are suspect, want %d", o.Suspect(), records+1)
	}
	if got, err := drain(t, o); len(got) != 1 || got[0] != "first" || err != nil {
		t.Errorf("got %d records, %v", len(got), err)
	}
}

// A process that is killed while it stores what changes together leaves the old or the new.
func TestStoredAtOnce(t *testing.T) {
	dir := newDir(t)
	r := newFile(t, dir, somewhere, 1000)
	push(t, r, "one")
	r.Publish()
	changes := map[string]func(){
		"Publish": func() { push(t, r, "two"); pop(r); r.Publish() },
		"SetNext": func() { r.SetNext(Link{Spill, r.Head().Next.Number + 1}) },
		"SetName": func() { r.SetName(r.Head().Name + "x") },
	}
	for what, change := range changes {
		for range 3 { // from either copy
			before := r.file.mapping.Bytes()[:headSize]
			image := bytes.Clone(before)
			var was, is Head
			was.decode(image, dir.Boot())
			change()
			after := r.file.mapping.Bytes()[:headSize]
			is.decode(after, dir.Boot())
			selector := ownerAt + int(is.owner%2)*(copies.Size/2)
			if what == "Publish" {
				selector = placeAt
			}
			for at := range headSize {
				if at >= selector && at < selector+8 {
					continue
				}
				image[at] = after[at]
				var got Head
				if err := got.decode(image, dir.Boot()); err != nil || got != was {
					t.Fatalf("%s, stored up to byte %d: got %+v, %v", what, at, got, err)
				}
			}
			copy(image[selector:selector+8], after[selector:])
			var got Head
			if err := got.decode(image, dir.Boot()); err != nil || got != is || got == was {
				t.Fatalf("%s: got %+v, %v", what, got, err)
			}
		}
	}
}

// The chain and the name can be told also while the ring is not mapped; an attempt that fails
// changes nothing, and the next one does it.
func TestOwnerOfADetachedRing(t *testing.T) {
	dir := newDir(t)
	r := newFile(t, dir, somewhere, 1000)
	push(t, r, "one")
	r.Publish()
	for _, attached := range []bool{true, false} {
		if !attached {
			r.Detach()()
		}
		for _, step := range []struct {
			do   func() error
			want func(*Head)
		}{
			{func() error { return r.SetNext(Link{Spill, 9}) }, func(h *Head) { h.Next = Link{Spill, 9} }},
			{func() error { return r.SetName("another@name") }, func(h *Head) { h.Name = "another@name" }},
			{func() error { return r.SetNext(Link{}) }, func(h *Head) { h.Next = Link{} }},
			{func() error { return r.SetName("me@channel") }, func(h *Head) { h.Name = "me@channel" }},
		} {
			want := headOf(t, dir)
			if !attached {
				for _, op := range []string{"open", "map"} {
					dir.Before = func(c disktest.Call) error {
						if c.Op == op {
							return unix.EMFILE
						}
						return nil
					}
					if err := step.do(); !errors.Is(err, unix.EMFILE) {
						t.Errorf("while %s fails: %v", op, err)
					}
					dir.Before = nil
					if got := headOf(t, dir); got != want {
						t.Errorf("after a failure: got %+v, want %+v", got, want)
					}
				}
			}
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			step.want(&want)
			if got := headOf(t, dir); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if r.Attached() != attached {
				t.Errorf("attached: %v, want %v", r.Attached(), attached)
			}
		}
	}
}

func TestSpare(t *testing.T) {
	dir := newDir(t)
	name := somewhere.FileName()
	spare, err := NewSpare(dir, 42, somewhere, false)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := ReadHead(dir, name); err != nil || h.Queue != 0 || h.Held != 0 || h.Instance != 42 {
		t.Errorf("a spare file tells %+v, %v", h, err)
	}
	if _, err := NewSpare(dir, 42, somewhere, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that exists: %v", err)
	}
	if err := spare.Discard(); err != nil || len(dir.Names()) != 0 {
		t.Errorf("Discard left %q, %v", dir.Names(), err)
	}
	if _, err := spare.Use(3, "x", 1<<62); err == nil {
		t.Error("a ring larger than the address space was made")
	}
	for call := 0; ; call++ { // NewSpare fails whole
		dir := newDir(t)
		dir.Before = failing(call, call)
		spare, err := NewSpare(dir, 42, somewhere, false)
		if err == nil {
			dir.Before = func(c disktest.Call) error { return unix.ENOMEM }
			if _, err := spare.Use(3, "x", 100); !errors.Is(err, unix.ENOMEM) {
				t.Errorf("Use without memory: %v", err)
			}
			dir.Before = nil
			r, err := spare.Use(3, "x", 100)
			if err != nil {
				t.Fatalf("a second attempt: %v", err)
			}
			push(t, r, "it works")
			break
		}
		if names := dir.Names(); len(names) > 0 {
			t.Errorf("call %d failed: %q is left", call, names)
		}
	}
}

// failing makes those calls fail.
func failing(first, last int) func(disktest.Call) error {
	return func(c disktest.Call) error {
		if c.Number >= first && c.Number <= last {
			return unix.EIO
		}
		return nil
	}
}

// Whatever call fails, it is told, and the records are there.
func TestEveryFailure(t *testing.T) {
	history := func(dir *disktest.Dir) (r *Ring, pushed int, failed error) {
		note := func(err error) { failed = errors.Join(failed, err) }
		spare, err := NewSpare(dir, 42, somewhere, false)
		if err != nil {
			return nil, 0, err
		}
		if r, err = spare.Use(3, "me@channel", 20*chunkSize); err != nil {
			note(err)
			if r, err = spare.Use(3, "me@channel", 20*chunkSize); err != nil {
				return nil, 0, errors.Join(failed, err)
			}
		}
		for range 30 {
			fitted, err := r.Push(bytes.Repeat([]byte{byte(pushed)}, 10_000))
			if note(err); fitted {
				pushed++
				r.Publish()
			}
			if w := r.FillAhead(); w != nil {
				note(w.Do())
			}
		}
		c, _ := r.Claim(true, Link{})
		note(r.SyncData(c))
		note(r.StoreClaim(c))
		note(r.SyncHead())
		r.Settle(c)
		note(r.SetNext(Link{Spill, 8}))
		note(r.Detach()())
		note(r.SetName("another"))
		for range 2 {
			note(r.Attach())
		}
		for range 3 {
			if w := r.GiveBack(chunkSize); w != nil {
				note(w.Do())
			}
			if w := r.FillAll(); w != nil {
				note(w.Do())
			}
		}
		r.Ahead()
		return r, pushed, failed
	}
	dir := newDir(t)
	if _, pushed, err := history(dir); pushed < 28 || err != nil {
		t.Fatalf("without a failure: %d records, %v", pushed, err)
	}
	for call := range dir.Calls() {
		t.Run(fmt.Sprint("call ", call), func(t *testing.T) {
			dir := newDir(t)
			var failed disktest.Call
			dir.Before = func(c disktest.Call) error {
				if c.Number != call {
					return nil
				}
				failed = c
				return unix.EIO
			}
			r, pushed, err := history(dir)
			dir.Before = nil
			ahead := dir.Calls() == call+1 // the last call is made for Ahead, which is only a hint
			if r == nil {
				if err == nil || len(dir.Names()) > 0 {
					t.Errorf("call %d failed: %v; there are %q", call, err, dir.Names())
				}
				return
			}
			if err == nil && failed.Op != "close" && !ahead {
				t.Errorf("%v failed, and nobody was told", failed)
			}
			if pushed < 27 {
				t.Errorf("call %d failed: %d records were pushed", call, pushed)
			}
			o, _ := reopen(t, dir, somewhere.FileName())
			got, damage := drain(t, o)
			if len(got) != pushed || damage != nil {
				t.Errorf("call %d failed: %d of %d records are left, %v", call, len(got), pushed, damage)
			}
			for i, p := range got {
				if p != strings.Repeat(string([]byte{byte(i)}), 10_000) {
					t.Fatalf("call %d failed: record %d is another", call, i)
				}
			}
			for range 2 { // the second is of no use, and no harm
				if err := r.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
		})
	}
}

func TestWhatBecomesOfTheFile(t *testing.T) {
	for _, test := range []struct {
		what string
		do   func(*Ring) error
		want []string
	}{
		{"Close", (*Ring).Close, []string{"spill-000001.dat"}},
		{"Remove", (*Ring).Remove, nil},
		{"SetAside", func(r *Ring) error { return r.SetAside("aside") }, []string{"aside"}},
		{"Detach and Remove", func(r *Ring) error { r.Detach()(); return r.Remove() }, nil},
	} {
		dir := newDir(t)
		r := newFile(t, dir, Link{Spill, 1}, 100)
		if !r.InFile() || r.Kind() != Spill || r.Path() != dir.Path("spill-000001.dat") || r.Head().Capacity != 100 {
			t.Errorf("the ring is %v, %+v", r.Path(), r.Head())
		}
		if err := test.do(r); err != nil || !slices.Equal(dir.Names(), test.want) {
			t.Errorf("%s: got %q, %v, want %q", test.what, dir.Names(), err, test.want)
		}
		if _, err := r.Push(nil); err != ErrDetached {
			t.Errorf("Push after %s: %v", test.what, err)
		}
		r.Publish()
	}
}
