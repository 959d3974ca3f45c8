package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

var fileOwner = Owner{Instance: 3, Number: 5}

func mustCreate(t testing.TB, dir *disktest.Dir, capacity uint64) *Ring {
	t.Helper()
	r, err := Create(dir, "ring", fileOwner, capacity)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// drain takes all waiting records.
func drain(r *Ring) (all []string) {
	for {
		run, n := r.Take(1, 1)
		if n == 0 {
			return all
		}
		all = append(all, string(run[HeaderSize:]))
	}
}

// found takes all waiting records. Of runs that are marked as delivered, it tells how many
// bytes and records they are.
func found(r *Ring) (all []string) {
	for r.Waiting() > 0 {
		if run, n := r.TakeMarked(); n > 0 {
			all = append(all, fmt.Sprintf("%d delivered in %d bytes", n, len(run)))
			continue
		}
		run, n := r.Take(1, 1)
		if n == 0 {
			return append(all, "Take and TakeMarked give nothing")
		}
		all = append(all, string(run[HeaderSize:]))
	}
	return all
}

// handedRun is what a reader of a ring has, or had.
type handedRun struct {
	bytes   []byte
	records []string
	marked  bool
}

// A ring that is opened as its positions were has the records that it had then, those that
// were handed out included, and not what was pushed since. It knows what was delivered, but
// could not be freed.
func TestARingSurvivesAKill(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		capacity := 40 + rng.IntN(200)
		dir := disktest.NewDir()
		r := mustCreate(t, dir, uint64(capacity))
		var waiting []string
		var out []handedRun
		marked := 0
		for step := range 500 {
			switch n := rng.IntN(11); {
			case n < 5:
				p := fmt.Sprintf("%d:%s", step, strings.Repeat("x", rng.IntN(20)))
				if rng.IntN(8) == 0 {
					p = ""
				}
				if r.Push([]byte(p)) {
					waiting = append(waiting, p)
				}
			case n < 7:
				if run, got := r.Take(rng.IntN(50), 1+rng.IntN(3)); got > 0 {
					out = append(out, handedRun{bytes: run, records: waiting[:got]})
					waiting = waiting[got:]
				}
			case n < 9 && len(out) > 1:
				if h := &out[1+rng.IntN(len(out)-1)]; !h.marked {
					Mark(h.bytes, len(h.records))
					h.marked = true
					marked++
				}
			case len(out) > 0:
				r.Free(len(out[0].bytes), len(out[0].records))
				if out[0].marked {
					marked--
				}
				out = out[1:]
			}
			var want []string
			held := len(waiting)
			for _, h := range out {
				held += len(h.records)
				if h.marked {
					want = append(want, fmt.Sprintf("%d delivered in %d bytes", len(h.records), len(h.bytes)))
				} else {
					want = append(want, h.records...)
				}
			}
			want = append(want, waiting...)
			killed, at := dir.Clone(), r.Positions()
			opened, err := Open(killed, "ring", fileOwner, uint64(capacity), at)
			if err != nil {
				t.Fatalf("seed %d, step %d, %+v: %v", seed, step, at, err)
			}
			if opened.Held() != held || opened.UsedSpace() != r.UsedSpace() || opened.Waiting() != held || opened.Marked() != marked {
				t.Fatalf("seed %d, step %d: %d held, %d waiting, %d bytes, %d marked; want %d, %d, %d", seed, step,
					opened.Held(), opened.Waiting(), opened.UsedSpace(), opened.Marked(), held, r.UsedSpace(), marked)
			}
			if got := found(opened); !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d:\n got %q\nwant %q", seed, step, got, want)
			}
			killed.Release()
			if rng.IntN(3) == 0 { // it goes on as the ring itself
				killed := dir.Clone()
				if opened, err = Open(killed, "ring", fileOwner, uint64(capacity), at); err != nil {
					t.Fatal(err)
				}
				for range out {
					opened.Take(1, 1)
				}
				for i := range 5 {
					before, p := r.Held(), make([]byte, rng.IntN(40))
					if opened.Push(p) != r.Push(p) {
						t.Fatalf("seed %d, step %d: push %d fits one ring and not the other", seed, step, i)
					} else if r.Held() > before {
						waiting = append(waiting, string(p))
					}
				}
				killed.Release()
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		dir.Release()
	}
}

// damaged makes a ring of four records, the last two behind the wrap, damages its file, and
// opens it.
func damaged(t *testing.T, damage func(file []byte, at *Positions) []byte) (*Ring, error) {
	t.Helper()
	dir := disktest.NewDir()
	r := mustCreate(t, dir, 60)
	for _, p := range []string{"first", "second", "third", "4th"} {
		if !r.Push([]byte(p)) {
			t.Fatal("no room")
		}
	}
	run, n := r.Take(1000, 2)
	r.Free(len(run), n)
	if !r.Push([]byte("fifth")) || !r.Push([]byte("")) {
		t.Fatal("no room")
	}
	at := r.Positions()
	if at.Write > at.Read {
		t.Fatalf("%+v: not wrapped", at)
	}
	file, _ := dir.Content("ring")
	dir = disktest.NewDir()
	dir.Put("ring", damage(file, &at))
	return Open(dir, "ring", fileOwner, 60, at)
}

func TestADamagedRingHasTheRecordsInFront(t *testing.T) {
	all := []string{"third", "4th", "fifth", ""}
	length := func(file []byte, offset int, n uint64) []byte {
		binary.LittleEndian.PutUint64(file[fileHeader+offset:], n)
		return file
	}
	for name, test := range map[string]struct {
		damage func(file []byte, at *Positions) []byte
		want   []string // nil: there is no ring
	}{
		"nothing":                    {func(f []byte, at *Positions) []byte { return f }, all},
		"a payload":                  {func(f []byte, at *Positions) []byte { f[fileHeader+27+8] = 'T'; return f }, []string{"Third", "4th", "fifth", ""}},
		"the first length":           {func(f []byte, at *Positions) []byte { return length(f, 27, 1000) }, []string{}},
		"the second length":          {func(f []byte, at *Positions) []byte { return length(f, 40, 1<<63) }, all[:1]},
		"a length of -8":             {func(f []byte, at *Positions) []byte { return length(f, 40, 1<<64-8) }, all[:1]},
		"a mark of too many records": {func(f []byte, at *Positions) []byte { return length(f, 40, markBit|4<<sizeBits|11) }, all[:1]},
		"a mark of too many bytes":   {func(f []byte, at *Positions) []byte { return length(f, 40, markBit|1<<sizeBits|12) }, all[:1]},
		"a mark of too few bytes":    {func(f []byte, at *Positions) []byte { return length(f, 27, markBit|2<<sizeBits|13) }, []string{}},
		"the first behind the wrap":  {func(f []byte, at *Positions) []byte { return length(f, 0, 100) }, all[:2]},
		"the last, a little longer":  {func(f []byte, at *Positions) []byte { return length(f, 13, 1) }, all[:3]},
		"a record shorter":           {func(f []byte, at *Positions) []byte { return length(f, 40, 2) }, []string{"third", "4t"}},
		"zeros":                      {func(f []byte, at *Positions) []byte { clear(f[fileHeader:]); return f }, []string{}},
		"zeros behind the wrap":      {func(f []byte, at *Positions) []byte { clear(f[fileHeader : fileHeader+20]); return f }, all[:2]},
		"one record more":            {func(f []byte, at *Positions) []byte { at.Held++; return f }, all[:3]},
		"one record less":            {func(f []byte, at *Positions) []byte { at.Held--; return f }, all[:3]},
		"more records than possible": {func(f []byte, at *Positions) []byte { at.Held = 8; return f }, []string{}},
		"a gap behind the end":       {func(f []byte, at *Positions) []byte { at.Gap = 61; return f }, []string{}},
		"read at the gap":            {func(f []byte, at *Positions) []byte { at.Read = at.Gap; return f }, []string{}},
		"read far away":              {func(f []byte, at *Positions) []byte { at.Read = 1 << 63; return f }, []string{}},
		"write far away":             {func(f []byte, at *Positions) []byte { at.Write = 1 << 63; return f }, []string{}},
		"write at 0":                 {func(f []byte, at *Positions) []byte { at.Write = 0; return f }, all[:2]},
		"no records":                 {func(f []byte, at *Positions) []byte { *at = Positions{}; return f }, []string{}},
		"no number of records":       {func(f []byte, at *Positions) []byte { at.Held = 0; return f }, []string{}},
		"cut behind the records":     {func(f []byte, at *Positions) []byte { return f[:len(f)-1] }, all},
		"cut in a record":            {func(f []byte, at *Positions) []byte { return f[:fileHeader+45] }, all[:1]},
		"cut in front of a record":   {func(f []byte, at *Positions) []byte { return f[:fileHeader+40] }, all[:1]},
		"cut in the header":          {func(f []byte, at *Positions) []byte { return f[:fileHeader] }, nil},
		"longer":                     {func(f []byte, at *Positions) []byte { return append(f, 0) }, all},
		"empty":                      {func(f []byte, at *Positions) []byte { return nil }, nil},
		"a bit in the magic":         {func(f []byte, at *Positions) []byte { f[0] ^= 1; return f }, all},
		"a bit in the instance":      {func(f []byte, at *Positions) []byte { f[8] ^= 1; return f }, all},
		"a bit in the number":        {func(f []byte, at *Positions) []byte { f[16] ^= 1; return f }, all},
		"no header":                  {func(f []byte, at *Positions) []byte { clear(f[:fileHeader]); return f }, all},
		"another owner": {func(f []byte, at *Positions) []byte {
			copy(f, header(Owner{fileOwner.Instance + 1, fileOwner.Number}, 60))
			return f
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := damaged(t, test.damage)
			if test.want == nil {
				if r != nil {
					t.Errorf("got a ring of %d records, want none", r.Held())
				}
			} else if got := drain(r); len(got) != len(test.want) || !slices.Equal(got, test.want) && len(got) > 0 {
				t.Errorf("got %q, want %q", got, test.want)
			}
			var damage *DamageError
			switch {
			case name == "nothing" || name == "a payload" || name == "no records":
				if err != nil {
					t.Errorf("got error %v, want none", err)
				}
			case !errors.As(err, &damage) || int(damage.Got) != len(test.want):
				t.Errorf("got error %v, want a DamageError with %d records", err, len(test.want))
			}
			if (damage != nil && damage.Foreign) != (name == "another owner") {
				t.Errorf("got %+v", damage)
			}
			if r == nil || damage != nil {
				return
			}
			// What is there is in order: it can be used and opened again.
			for range 10 {
				r.Push([]byte("x"))
			}
			held := r.Held()
			run, n := r.Take(1000, 1000)
			r.Free(len(run), n)
			if r.Held() > held || r.UsedSpace() > r.Capacity() {
				t.Errorf("after use %d records, %d bytes", r.Held(), r.UsedSpace())
			}
		})
	}
}

func TestWhoseARingFileIs(t *testing.T) {
	dir := disktest.NewDir()
	r := mustCreate(t, dir, 100)
	spare, _ := dir.Content("ring")
	dir.Put("spare", spare)
	if _, err := Open(dir, "ring", fileOwner, 100, Positions{}); err != nil {
		t.Fatal(err)
	}
	needed, _ := dir.Content("ring")
	dir.Put("needed", needed)
	damaged := slices.Clone(needed)
	damaged[9] ^= 1
	dir.Put("damaged", damaged)
	r.Push([]byte("x"))
	used, _ := dir.Content("ring")
	clear(used[:fileHeader])
	dir.Put("without header", used)
	r.SetSpare(true)
	dir.Put("blank", make([]byte, 5000))
	dir.Put("empty", nil)
	dir.Put("foreign", []byte("something else that is longer than a header, so that it could be one"))
	dir.Put("short", []byte("x"))
	for name, want := range map[string]Whose{
		"ring":           {Owner: fileOwner, Intact: true, Spare: true},
		"spare":          {Owner: fileOwner, Intact: true, Spare: true},
		"needed":         {Owner: fileOwner, Intact: true},
		"damaged":        {},
		"without header": {},
		"blank":          {Blank: true},
		"empty":          {Blank: true},
		"foreign":        {},
		"short":          {},
	} {
		got, err := WhoseIs(dir, name)
		if !want.Intact {
			got.Owner = Owner{}
		}
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, want)
		}
	}
	if _, err := WhoseIs(dir, "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: got error %v", err)
	}
}

func TestAFileThatCannotBeMadeLeavesNothing(t *testing.T) {
	for _, op := range []string{"create", "allocate", "map"} {
		dir := disktest.NewDir()
		dir.Before = func(c disktest.Call) error {
			if c.Op == op {
				return unix.ENOSPC
			}
			return nil
		}
		if r, err := Create(dir, "ring", fileOwner, 100); r != nil || !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s fails: got %v, %v", op, r, err)
		}
		if names := dir.Names(); len(names) > 0 {
			t.Errorf("%s fails: %q are left", op, names)
		}
	}
	if _, err := Create(disktest.NewDir(), "ring", fileOwner, 1<<60); err == nil {
		t.Error("a ring larger than the address space was made")
	}
	dir := disktest.NewDir()
	mustCreate(t, dir, 100)
	before, _ := dir.Content("ring")
	if _, err := Create(dir, "ring", Owner{}, 50); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another file: got error %v, want %v", err, fs.ErrExist)
	}
	if after, _ := dir.Content("ring"); string(after) != string(before) {
		t.Error("the other file was changed")
	}
}

// An error of the file system says nothing about the records: it is no DamageError.
func TestAFileThatCannotBeReadIsNotDamaged(t *testing.T) {
	for _, op := range []string{"open", "size", "allocate", "map"} {
		dir := disktest.NewDir()
		r := mustCreate(t, dir, 100)
		r.Push([]byte("x"))
		dir.Before = func(c disktest.Call) error {
			if c.Op == op {
				return unix.EIO
			}
			return nil
		}
		found, err := Open(dir, "ring", fileOwner, 100, r.Positions())
		if found != nil || !errors.Is(err, unix.EIO) || errors.As(err, new(*DamageError)) {
			t.Errorf("%s fails: got %v, %v", op, found, err)
		}
	}
}

// Whatever is in the file and whatever the positions are, the ring has whole records that lie
// in it, and can be used.
func FuzzOpenFile(f *testing.F) {
	dir := disktest.NewDir()
	r := mustCreate(f, dir, 64)
	for _, p := range []string{"first", "second", "", "third"} {
		r.Push([]byte(p))
	}
	run, n := r.Take(1000, 2)
	r.Free(len(run), n)
	r.Push([]byte("wrapped"))
	at := r.Positions()
	content, _ := dir.Content("ring")
	f.Add(content[fileHeader:], at.Read, at.Write, at.Gap, at.Held, uint64(64))
	marked := slices.Clone(content[fileHeader:])
	Mark(marked[at.Read:at.Gap], 2)
	f.Add(marked, at.Read, at.Write, at.Gap, at.Held, uint64(64))
	f.Add(make([]byte, 64), uint64(0), uint64(64), uint64(64), uint64(8), uint64(64))
	f.Add([]byte{}, uint64(0), uint64(0), uint64(0), uint64(0), uint64(1)<<63)
	f.Fuzz(func(t *testing.T, data []byte, read, write, gap, held, capacity uint64) {
		if len(data) > 4096 {
			t.Skip("larger ones find nothing more")
		}
		dir := disktest.NewDir()
		defer dir.Release()
		head := header(fileOwner, capacity)
		dir.Put("ring", append(append(head, make([]byte, fileHeader-len(head))...), data...))
		r, err := Open(dir, "ring", fileOwner, capacity, Positions{read, write, gap, held})
		if r == nil {
			if err == nil {
				t.Fatal("neither a ring nor an error")
			}
			return
		}
		if uint64(r.Held()) > held || r.Held() != r.Waiting() || err == nil && uint64(r.Held()) != held {
			t.Fatalf("%d records of %d are held, %d wait, error %v", r.Held(), held, r.Waiting(), err)
		}
		if err == nil && held > 0 {
			if got := r.Positions(); !reflect.DeepEqual(got, Positions{read, write, gap, held}) {
				t.Errorf("opened at %+v, but it is at %+v", Positions{read, write, gap, held}, got)
			}
		}
		if r.UsedSpace() > r.Capacity() {
			t.Fatalf("%d bytes of %d are used", r.UsedSpace(), r.Capacity())
		}
		if err == nil {
			r.Push([]byte("new"))
		}
		used, total := r.UsedSpace(), 0
		for r.Waiting() > 0 {
			run, n := r.Take(1, 1)
			if n == 0 {
				run, n = r.TakeMarked()
			}
			if n == 0 {
				t.Fatal("a record is missing")
			}
			total += len(run)
		}
		if total != used {
			t.Fatalf("records of %d bytes, but %d are used", total, used)
		}
		r.Free(total, r.Held())
		if err != nil {
			return // the ring is only to be read
		}
		if r.Held() != 0 || !r.Push(make([]byte, max(0, int(capacity)-HeaderSize))) && capacity >= HeaderSize {
			t.Error("the emptied ring does not take a record that fills it")
		}
	})
}

// A run of more records than a mark can count has several.
func TestALongRunIsMarked(t *testing.T) {
	const records = 3*mostMarked + 5
	dir := disktest.NewDir()
	r := mustCreate(t, dir, HeaderSize*(records+1))
	for range records + 1 {
		r.Push(nil)
	}
	r.Take(1, 1)
	run, n := r.Take(r.Capacity(), records)
	Mark(run, n)
	opened, err := Open(dir, "ring", fileOwner, HeaderSize*(records+1), r.Positions())
	if err != nil {
		t.Fatal(err)
	}
	each := fmt.Sprintf("%d delivered in %d bytes", mostMarked, mostMarked*HeaderSize)
	want := []string{"", each, each, each, "5 delivered in 40 bytes"}
	if got := found(opened); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
