package recordfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var sample = []string{"one", "", "\x00\xff\n", strings.Repeat("x", 3*firstPart+1)}

// write makes a file of records.
func write(t *testing.T, records ...string) (name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "records")
	add(t, name, Found{}, records...)
	return name
}

// add appends records to a file in which there has to be what was found.
func add(t *testing.T, name string, want Found, records ...string) {
	t.Helper()
	w, found, err := Append(name)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if found != want {
		t.Errorf("found: got %+v, want %+v", found, want)
	}
	for _, record := range records {
		w.Write([]byte(record))
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Size() != w.Size() {
		t.Errorf("size: got %d, the file has %v, %v", w.Size(), info, err)
	}
}

// read returns the records of a file, and what ended it.
func read(content []byte) (records []string, err error) {
	r, err := NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	for {
		record, err := r.Next()
		if err != nil {
			return records, err
		}
		records = append(records, string(record))
	}
}

func content(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordsComeBack(t *testing.T) {
	name := write(t, sample...)
	add(t, name, Found{Records: int64(len(sample))}, "more")
	got, err := read(content(t, name))
	if want := append(slices.Clone(sample), "more"); err != io.EOF || !slices.Equal(got, want) {
		t.Errorf("got %d records, %v, want %d", len(got), err, len(want))
	}
}

// The format of the package comment, byte for byte.
func TestFormat(t *testing.T) {
	want := "dmq-records 1.0\n" + "\x03\x00\x00\x00\x00\x00\x00\x00" + "\xd9\xc9\x5f\x5c" + "one"
	if got := content(t, write(t, "one")); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFileCutAnywhere(t *testing.T) {
	whole := content(t, write(t, "one", "", "three"))
	ends := []int{len(magic), len(magic) + 12 + 3, len(magic) + 12 + 3 + 12, len(whole)}
	for size := range whole {
		intact := 0 // records
		for intact < 3 && ends[intact+1] <= size {
			intact++
		}
		atEnd := slices.Contains(ends, size)
		got, err := read(whole[:size])
		if len(got) != intact || atEnd != (err == io.EOF) || !atEnd && err != ErrTorn {
			t.Errorf("cut to %d bytes: got %d records, %v, want %d", size, len(got), err, intact)
		}

		name := filepath.Join(t.TempDir(), "records")
		if err := os.WriteFile(name, whole[:size], 0o666); err != nil {
			t.Fatal(err)
		}
		torn := int64(size - ends[intact])
		add(t, name, Found{Records: int64(intact), Torn: max(0, torn)}, "new")
		if got, err := read(content(t, name)); err != io.EOF || len(got) != intact+1 || got[intact] != "new" {
			t.Errorf("cut to %d bytes and appended to: got %q, %v", size, got, err)
		}
	}
}

func TestDamageIsFoundAndNotTouched(t *testing.T) {
	whole := content(t, write(t, "one", "two", "three"))
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1
		got, err := read(damaged)
		if err == io.EOF || err == nil || len(got) == 3 {
			t.Errorf("byte %d flipped: got %q, %v, want an error", i, got, err)
		}
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) {
			continue // a length beyond the end looks torn
		}
		name := filepath.Join(t.TempDir(), "records")
		if err := os.WriteFile(name, damaged, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Append(name); err == nil || !bytes.Equal(content(t, name), damaged) {
			t.Errorf("byte %d flipped: Append got %v, and the file must stay as it is", i, err)
		}
	}
}

func TestWhatIsNotCommittedIsTakenOut(t *testing.T) {
	name := write(t, "one")
	w, _, err := Append(name)
	if err != nil {
		t.Fatal(err)
	}
	size := w.Size()
	w.Write(make([]byte, 1<<20)) // more than fits the buffer
	if got := w.Size(); got != size {
		t.Errorf("size: got %d with what is not committed, want %d", got, size)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := read(content(t, name)); err != io.EOF || len(got) != 1 {
		t.Errorf("got %d records, %v, want 1", len(got), err)
	}
}

func TestOneWriterAtATime(t *testing.T) {
	name := write(t)
	w, _, err := Append(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Append(name); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second writer: got error %v", err)
	}
	w.Close()
	add(t, name, Found{})
}

func TestOtherFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(name, []byte("do not touch, this is no such file\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Append(name); !errors.Is(err, ErrFormat) {
		t.Errorf("got error %v, want %v", err, ErrFormat)
	}
	if _, err := read([]byte("x")); err != ErrFormat {
		t.Errorf("one other byte: got error %v, want %v", err, ErrFormat)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(magic))
	f.Add(appendHead([]byte(magic), nil))
	f.Add(append(appendHead([]byte(magic), []byte("one")), "one"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := read(b)
		if err == nil {
			t.Error("no end")
		}
		again := []byte(magic)
		for _, record := range records {
			again = append(appendHead(again, []byte(record)), record...)
		}
		if len(records) > 0 && !bytes.HasPrefix(b, again) {
			t.Errorf("the records of %q are not what is in it: %q", b, records)
		}
	})
}

// What was kept stays, and what could not be written goes.
func TestKeep(t *testing.T) {
	name := filepath.Join(t.TempDir(), "records")
	w, _, err := Append(name)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("kept"))
	if err := w.Keep(); err != nil {
		t.Fatal(err)
	}
	file := w.file
	w.file, err = os.Open(name) // which can't be written to
	if err != nil {
		t.Fatal(err)
	}
	w.out.Reset(w.file)
	w.Write([]byte("lost"))
	if err := w.Keep(); err == nil {
		t.Error("a record was kept in a file that can't be written to")
	}
	w.file.Close()
	w.file = file
	if err := w.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	_, found, err := Append(name)
	if err != nil || found != (Found{Records: 1}) {
		t.Errorf("got %+v, %v; want the record that was kept", found, err)
	}
}
