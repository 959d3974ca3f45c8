package state

import (
	"errors"
	"io/fs"
	"os"
	"reflect"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// directories returns one directory for a node and one to look at it.
func directories(t *testing.T) (dir, readOnly disk.Dir) {
	t.Helper()
	path := t.TempDir()
	dir, err := disk.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if readOnly, err = disk.OpenDirReadOnly(path); err != nil {
		t.Fatal(err)
	}
	return dir, readOnly
}

func TestInspectFindsWhatOpenFinds(t *testing.T) {
	dir, readOnly := directories(t)
	if _, err := Inspect(readOnly); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: got error %v, want %v", err, fs.ErrNotExist)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2*firstSlots + 1 {
		id := Identity{Storage: "s@c", Dumped: i == 3}
		p := Positions{RingFile: uint64(i), Capacity: 64, OverflowID: uint32(i) + 1, Read: 1, Write: 2, Gap: 3, Held: 4, First: 5, Last: 6, Records: 7, PayloadBytes: 8,
			MayHoldEmpty: true, Imported: DumpID{9, 10, 11}}
		slot, err := f.Use(id, p)
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			f.Free(slot)
		}
	}
	h := f.Header()
	h.Phase, h.OverflowBase, h.OverflowCut, h.OverflowSize = Running, 1, 2, 3
	f.SetHeader(h)
	compare(t, readOnly, f)
	if err := f.closeAll(); err != nil {
		t.Fatal(err)
	}
	if f, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer f.closeAll()
	compare(t, readOnly, f)
}

func compare(t *testing.T, readOnly disk.Dir, f *File) {
	t.Helper()
	s, err := Inspect(readOnly)
	if err != nil {
		t.Fatal(err)
	}
	if s.Header != f.Header() {
		t.Errorf("header: got %+v, want %+v", s.Header, f.Header())
	}
	type values struct {
		index     int
		identity  Identity
		positions Positions
	}
	of := func(slots []*Slot) (all []values) {
		for _, slot := range slots {
			all = append(all, values{slot.Index(), slot.Identity(), slot.Positions()})
		}
		return all
	}
	if got, want := of(s.Slots), of(f.Used()); !reflect.DeepEqual(got, want) {
		t.Errorf("slots:\n got %+v\nwant %+v", got, want)
	}
}

func TestInspectFindsDamage(t *testing.T) {
	dir, readOnly := directories(t)
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	slot, err := f.Use(Identity{Storage: "c"}, Positions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.closeAll(); err != nil {
		t.Fatal(err)
	}
	file := dir.Path(FileName)
	intact, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := headerSize + slot.Index()*slotSize
	for name, damage := range map[string]func(b []byte) []byte{
		"empty":                      func(b []byte) []byte { return nil },
		"cut":                        func(b []byte) []byte { return b[:at+slotSize-1] },
		"another magic":              func(b []byte) []byte { b[0] = 'X'; return b },
		"neither used nor unused":    func(b []byte) []byte { b[at] = 2; return b },
		"a name of length 0":         func(b []byte) []byte { clear(b[at+identityAt:][:identityAt+16*identityWords]); return b },
		"a name longer than allowed": func(b []byte) []byte { b[at+identityAt+9+8*identityWords] = 1; return b },
	} {
		if err := os.WriteFile(file, damage(append([]byte(nil), intact...)), 0o666); err != nil {
			t.Fatal(err)
		}
		if s, err := Inspect(readOnly); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %+v, %v; want %v", name, s, err, ErrDamaged)
		}
	}
}
