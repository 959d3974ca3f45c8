package ring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

var inspectOwner = Owner{Instance: 7, Number: 1}

// ringFile makes a wrapped ring in a file, and returns directories for a node and to look
// at it, and the positions.
func ringFile(t *testing.T) (dir, readOnly disk.Dir, at Positions) {
	t.Helper()
	path := t.TempDir()
	dir, err := disk.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if readOnly, err = disk.OpenDirReadOnly(path); err != nil {
		t.Fatal(err)
	}
	r, err := Create(dir, "ring", inspectOwner, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, record := range []string{"first", "second", "", "third"} {
		if !r.Push([]byte(record)) {
			t.Fatalf("no room for %q", record)
		}
	}
	run, n := r.Take(1000, 2)
	r.Free(len(run), n)
	if !r.Push([]byte("wrapped")) || !r.Push(nil) {
		t.Fatal("no room in front")
	}
	r.Take(1000, 1)
	delivered, n := r.Take(1000, 1)
	Mark(delivered, n)
	return dir, readOnly, r.Positions()
}

func TestInspectFindsTheRecords(t *testing.T) {
	_, readOnly, at := ringFile(t)
	got, err := Inspect(readOnly, "ring", inspectOwner, 64, at)
	want := Intact{Records: 3, PayloadBytes: uint64(len("wrapped")), End: fileHeader + int64(at.Write)}
	if got != want || err != nil {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, want := at.PayloadBytes(), uint64(len("thirdwrapped")); got != want {
		t.Errorf("by the positions, delivered ones included: %d bytes, want %d", got, want)
	}
	if _, err := Inspect(readOnly, "none", inspectOwner, 64, at); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: got error %v, want %v", err, fs.ErrNotExist)
	}
}

// Whatever is wrong with a file or its positions, Inspect sees what Open sees.
func TestInspectFindsWhatOpenFinds(t *testing.T) {
	dir, readOnly, at := ringFile(t)
	intact, err := os.ReadFile(dir.Path("ring"))
	if err != nil {
		t.Fatal(err)
	}
	compare := func(what string, at Positions) {
		t.Helper()
		got, gotErr := Inspect(readOnly, "ring", inspectOwner, 64, at)
		r, wantErr := Open(dir, "ring", inspectOwner, 64, at)
		var want Intact
		if r != nil {
			want.End = got.End
			for _, p := range found(r) {
				if !strings.Contains(p, " delivered in ") {
					want.Records++
					want.PayloadBytes += uint64(len(p))
				}
			}
			r.Close()
		}
		if got.Records != want.Records || got.PayloadBytes != want.PayloadBytes || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Errorf("%s, %+v: got %+v, %v; Open finds %+v, %v", what, at, got, gotErr, want, wantErr)
		}
	}
	for i, b := range intact {
		if i >= headSize && i < fileHeader {
			continue // unused
		}
		for bit := range 8 {
			damaged := append([]byte(nil), intact...)
			damaged[i] ^= 1 << bit
			if err := os.WriteFile(dir.Path("ring"), damaged, 0o666); err != nil {
				t.Fatal(err)
			}
			compare(fmt.Sprintf("bit %d of byte %d, %#x, flipped", bit, i, b), at)
		}
	}
	if err := os.WriteFile(dir.Path("ring"), intact, 0o666); err != nil {
		t.Fatal(err)
	}
	words := reflect.ValueOf(&at).Elem()
	for i := range words.NumField() {
		right := words.Field(i).Uint()
		for _, wrong := range []uint64{0, 1, right - 1, right + 1, 64, 65, 1 << 63, ^uint64(0)} {
			words.Field(i).SetUint(wrong)
			compare("wrong positions", at)
		}
		words.Field(i).SetUint(right)
	}
	if err := os.WriteFile(dir.Path("ring"), intact[:len(intact)-1], 0o666); err != nil {
		t.Fatal(err)
	}
	compare("cut", at)
}

// shrinking makes a file empty once it has been mapped, so that its pages can't be read.
type shrinking struct {
	disk.Dir
	path string
}

type shrinkingFile struct {
	disk.File
	path string
}

func (d shrinking) Open(name string) (disk.File, error) {
	f, err := d.Dir.Open(name)
	return shrinkingFile{f, d.path}, err
}

func (f shrinkingFile) Map(size int64) (disk.Mapping, error) {
	m, err := f.File.Map(size)
	if err == nil {
		err = os.Truncate(f.path, 0)
	}
	return m, err
}

func TestInspectSurvivesPagesThatCannotBeRead(t *testing.T) {
	dir, readOnly, at := ringFile(t)
	_, err := Inspect(shrinking{readOnly, dir.Path("ring")}, "ring", inspectOwner, 64, at)
	if err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("got error %v, want that it cannot be read", err)
	}
}
