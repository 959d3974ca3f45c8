package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

func mustOpen(t testing.TB, dir *disktest.Dir) *File {
	t.Helper()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func randomIdentity(rng *rand.Rand) Identity {
	return Identity{Storage: strings.Repeat("n", 1+rng.IntN(255)), Dumped: rng.IntN(2) == 0}
}

func randomPositions(rng *rand.Rand) (p Positions) {
	fields := reflect.ValueOf(&p).Elem()
	fill(rng, fields)
	return p
}

// fill gives all numbers in a value random ones.
func fill(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rng, v.Field(i))
		}
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int64:
		v.SetInt(int64(rng.Uint64()))
	default:
		v.SetUint(rng.Uint64() >> (64 - v.Type().Bits()))
	}
}

type values struct {
	identity  Identity
	positions Positions
}

func used(f *File) map[int]values {
	all := make(map[int]values)
	for _, s := range f.Used() {
		all[s.Index()] = values{s.Identity(), s.Positions()}
	}
	return all
}

// What is stored is found after a kill, also when the file has grown meanwhile.
func TestWhatIsStoredSurvivesAKill(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	dir := disktest.NewDir()
	f := mustOpen(t, dir)
	var slots []*Slot
	for range 2000 {
		switch n := rng.IntN(10); {
		case n < 3 || len(slots) == 0:
			s, err := f.Use(randomIdentity(rng), randomPositions(rng))
			if err != nil {
				t.Fatal(err)
			}
			slots = append(slots, s)
		case n < 5:
			i := rng.IntN(len(slots))
			f.Free(slots[i])
			slots = append(slots[:i], slots[i+1:]...)
		case n < 6:
			slots[rng.IntN(len(slots))].SetIdentity(randomIdentity(rng))
		case n < 9:
			slots[rng.IntN(len(slots))].SetPositions(randomPositions(rng))
		default:
			h := Header{Phase: Phase(rng.IntN(2)), Instance: rng.Uint64() | 1,
				OverflowBase: rng.Int64(), OverflowCut: rng.Int64(), OverflowSize: rng.Int64()}
			f.SetHeader(h)
		}
		if rng.IntN(20) > 0 {
			continue
		}
		killed := dir.Clone()
		found := mustOpen(t, killed)
		if found.Header() != f.Header() {
			t.Fatalf("header: got %+v, want %+v", found.Header(), f.Header())
		}
		if got, want := used(found), used(f); len(want) != len(slots) || !reflect.DeepEqual(got, want) {
			t.Fatalf("slots:\n got %v\nwant %v", got, want)
		}
		killed.Release()
	}
	if len(slots) <= firstSlots {
		t.Fatalf("%d slots in use: the file has not grown", len(slots))
	}
}

// A process can be killed after any store of an update: then there are the old values, or
// after the last one the new ones.
func TestAnUpdateIsAllOrNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, test := range []struct {
		name   string
		update func(f *File, s *Slot)
		last   int64 // offset of the store that makes it count
	}{
		{"header", func(f *File, s *Slot) {
			f.SetHeader(Header{Phase: Stopped, Instance: 3, OverflowBase: 4, OverflowCut: 5, OverflowSize: 6})
		}, int64(len(magic))},
		{"identity", func(f *File, s *Slot) { s.SetIdentity(randomIdentity(rng)) }, slotAt(firstSlots-1) + identityAt},
		{"positions", func(f *File, s *Slot) { s.SetPositions(randomPositions(rng)) }, slotAt(firstSlots-1) + int64(positionsAt)},
		{"use", func(f *File, s *Slot) { f.Use(randomIdentity(rng), randomPositions(rng)) }, slotAt(firstSlots - 2)},
		{"free", func(f *File, s *Slot) { f.Free(s) }, slotAt(firstSlots - 1)},
	} {
		dir := disktest.NewDir()
		f := mustOpen(t, dir)
		s, err := f.Use(Identity{Storage: "s"}, Positions{Held: 1})
		if err != nil {
			t.Fatal(err)
		}
		for round := range 3 { // both copies are updated
			before, _ := dir.Content(FileName)
			oldHeader, oldSlots := f.Header(), used(f)
			test.update(f, s)
			after, _ := dir.Content(FileName)
			stores := 0
			for at := int64(0); at < int64(len(after)); at += 8 {
				old, now := before[at:at+8], after[at:at+8]
				if string(old) == string(now) || at == test.last {
					continue
				}
				if test.name == "use" && at < headerSize {
					continue // the number of slots is stored behind it
				}
				stores++
				copy(old, now)
				checkFile(t, fmt.Sprintf("%s, after store %d", test.name, stores), before, oldHeader, oldSlots)
			}
			checkFile(t, test.name+" done", after, f.Header(), used(f))
			if test.name == "use" || test.name == "free" {
				break
			}
			if round == 0 && stores == 0 {
				t.Errorf("%s: no store beside the last one", test.name)
			}
		}
	}
}

func slotAt(i int) int64 { return int64(headerSize + i*slotSize) }

func checkFile(t *testing.T, when string, content []byte, header Header, slots map[int]values) {
	t.Helper()
	dir := disktest.NewDir()
	defer dir.Release()
	dir.Put(FileName, content)
	f := mustOpen(t, dir)
	if f.Header() != header || !reflect.DeepEqual(used(f), slots) {
		t.Fatalf("%s:\n got %+v, %+v\nwant %+v, %+v", when, f.Header(), used(f), header, slots)
	}
}

func TestAFileThatIsDamagedIsRefusedAndLeft(t *testing.T) {
	dir := disktest.NewDir()
	f := mustOpen(t, dir)
	if _, err := f.Use(Identity{Storage: "s"}, Positions{}); err != nil {
		t.Fatal(err)
	}
	intact, _ := dir.Content(FileName)
	slot := intact[slotAt(firstSlots-1):]
	number := func(b []byte, n uint64) { binary.LittleEndian.PutUint64(b, n) }
	for name, damage := range map[string]func(b []byte) []byte{
		"nothing":                 func(b []byte) []byte { return nil },
		"a part of the header":    func(b []byte) []byte { return b[:100] },
		"the header alone":        func(b []byte) []byte { return b[:headerSize] },
		"a slot is missing":       func(b []byte) []byte { return b[:len(b)-1] },
		"another magic":           func(b []byte) []byte { b[0]++; return b },
		"another version":         func(b []byte) []byte { b[7]++; return b },
		"an unknown phase":        func(b []byte) []byte { number(b[16:], 2); return b },
		"no instance":             func(b []byte) []byte { number(b[24:], 0); return b },
		"a slot is lost":          func(b []byte) []byte { number(b[slotAt(firstSlots-1):], 0); return b },
		"neither used nor unused": func(b []byte) []byte { number(b[slotAt(0):], 2); return b },
		"an overflow id too large": func(b []byte) []byte {
			number(b[slotAt(firstSlots-1)+int64(positionsAt+8+8*(positionWords+6)):], 1<<32)
			return b
		},
		"a name of length 0": func(b []byte) []byte {
			number(b[slotAt(firstSlots-1)+int64(identityAt+8+8*identityWords):], 0)
			return b
		},
		"a name of length 256": func(b []byte) []byte {
			number(b[slotAt(firstSlots-1)+int64(identityAt+8+8*identityWords):], 256)
			return b
		},
	} {
		dir := disktest.NewDir()
		damaged := damage(append([]byte(nil), intact...))
		dir.Put(FileName, damaged)
		_, err := Open(dir)
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), dir.Path(FileName)) {
			t.Errorf("%s: got error %v, want %v with the path", name, err, ErrDamaged)
		}
		if got := strings.Contains(fmt.Sprint(err), "clean stop of that version"); got != (name == "another version") {
			t.Errorf("%s: got error %v", name, err)
		}
		if got, _ := dir.Content(FileName); string(got) != string(damaged) {
			t.Errorf("%s: the file was changed", name)
		}
		dir.Release()
	}
	if binary.LittleEndian.Uint64(slot) != 1 {
		t.Error("the slot is not where the test takes it to be")
	}
}

func TestTheFileIsRemovedWhenItSaysNothing(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(f *File)
		remains bool
	}{
		"new":                    {func(f *File) {}, false},
		"running":                {func(f *File) { f.SetHeader(Header{Phase: Running, Instance: 1}) }, true},
		"a slot in use":          {func(f *File) { f.Use(Identity{Storage: "s"}, Positions{}) }, true},
		"a slot that was in use": {func(f *File) { s, _ := f.Use(Identity{Storage: "s"}, Positions{}); f.Free(s) }, false},
	} {
		dir := disktest.NewDir()
		f := mustOpen(t, dir)
		test.prepare(f)
		if f.Empty() == test.remains {
			t.Errorf("%s: Empty is %v", name, f.Empty())
		}
		if err := f.Close(); err != nil {
			t.Errorf("%s: Close: %v", name, err)
		}
		if got := len(dir.Names()) > 0; got != test.remains {
			t.Errorf("%s: there are %q", name, dir.Names())
		}
		dir.Release()
	}
}

// An error leaves what is stored, and a new file only if it is complete.
func TestFailingOperations(t *testing.T) {
	for call := 0; ; call++ {
		dir := disktest.NewDir()
		failed := false
		dir.Before = func(c disktest.Call) error {
			if c.Number == call {
				failed = true
				return unix.ENOSPC
			}
			return nil
		}
		f, err := Open(dir)
		if err != nil {
			if f, err = Open(dir); err != nil {
				t.Fatalf("call %d: Open fails again: %v", call, err)
			}
		}
		instance := f.Header().Instance
		stored := 0
		for i := range 2*firstSlots + 1 {
			if _, err := f.Use(Identity{Storage: fmt.Sprint(i)}, Positions{Held: uint64(i)}); err == nil {
				stored++
			}
		}
		killed := dir.Clone()
		found := mustOpen(t, killed)
		if got := len(found.Used()); got != stored || found.Header().Instance != instance {
			t.Fatalf("call %d fails: %d slots are found, want %d", call, got, stored)
		}
		killed.Release()
		dir.Release()
		if !failed {
			return
		}
	}
}

func TestStoringPositionsAllocatesNothing(t *testing.T) {
	f := mustOpen(t, disktest.NewDir())
	s, err := f.Use(Identity{Storage: "s"}, Positions{})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { s.SetPositions(Positions{Held: 1}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSetPositions(b *testing.B) {
	f := mustOpen(b, disktest.NewDir())
	s, err := f.Use(Identity{Storage: "s"}, Positions{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s.SetPositions(Positions{Held: 1})
	}
}

// Whatever is in the file, it is refused or gives slots that can be used and are found
// again.
func FuzzOpen(f *testing.F) {
	dir := disktest.NewDir()
	file, err := Open(dir)
	if err != nil {
		f.Fatal(err)
	}
	file.Use(Identity{Storage: "s@c"}, Positions{RingFile: 1, Capacity: 100, Held: 1, Write: 10, Gap: 10, OverflowID: 1})
	file.SetHeader(Header{Phase: Running, Instance: 1})
	content, _ := dir.Content(FileName)
	// Most of a file is zeros: the fuzzer makes the header and the last slot.
	split := slotAt(firstSlots - 1)
	f.Add(content[:200], content[split:])
	f.Add([]byte(magic), []byte{})
	f.Add([]byte{}, []byte{1})
	f.Fuzz(func(t *testing.T, head, tail []byte) {
		if len(head) > headerSize || len(tail) > 4*slotSize {
			t.Skip("longer ones find nothing more")
		}
		dir := disktest.NewDir()
		defer dir.Release()
		dir.Put(FileName, append(append(head, make([]byte, split-int64(len(head)))...), tail...))
		file, err := Open(dir)
		if err != nil {
			return
		}
		for _, s := range file.Used() {
			if n := len(s.Identity().Storage); n < 1 || n > 255 {
				t.Errorf("a slot has a name of %d bytes", n)
			}
			s.SetPositions(s.Positions())
			s.SetIdentity(s.Identity())
		}
		if _, err := file.Use(Identity{Storage: "new"}, Positions{}); err != nil {
			t.Error(err)
		}
		want := used(file)
		if err := file.Close(); err != nil {
			t.Error(err)
		}
		if file, err = Open(dir); err != nil {
			t.Fatalf("the file that was accepted is refused when it is opened again: %v", err)
		}
		if got := used(file); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
