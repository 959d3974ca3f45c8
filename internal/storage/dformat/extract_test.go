package dformat

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// extracted returns the records of a dump that Extract makes.
func extracted(t *testing.T, dir *testDir, name string, id uint32) (all []string, damage string) {
	t.Helper()
	var dump bytes.Buffer
	written, damage, err := Extract(dir, name, id, &dump)
	if err != nil {
		t.Fatalf("%s, id %d: %v", name, id, err)
	}
	d, got := mustRead(t, dumpDir("x.rq", dump.Bytes()))
	if q := d.Queues[0]; len(d.Findings) > 0 || q.Dump.Count() != written {
		t.Errorf("%s, id %d: %v are said to be in %x, %v", name, id, written, dump.Bytes(), d.Findings)
	}
	return got["x"], damage
}

func TestExtract(t *testing.T) {
	y := strings.Repeat("y", 57)
	for _, c := range []struct {
		directory, file string
		id              uint32
		want            []string
	}{
		{"interleaved", "overflow.dat", 2, []string{"log-4-" + strings.Repeat("x", 24), "", "log-8", "log-9-after-truncation"}},
		{"interleaved", "overflow.dat", 4, []string{"e1-" + y, "e3-" + y}},
		{"interleaved", "overflow.dat", 5, []string{"orphan-" + strings.Repeat("z", 57)}},
		{"interleaved", "logs.rq", 0, []string{"log-1", "", "log-3", "log-5", "log-6-abc"}},
		{"crash/lost-index", "overflow.dat", 1, []string{"first", "third"}},
		{"crash/stale-pushed", "overflow.dat", 1, []string{"first", "second", "third", "fourth"}},
		{"crash/stale-drained", "overflow.dat", 2, []string{"new"}}, // what was before was consumed
	} {
		dir := fixture(t, c.directory)
		t.Cleanup(dir.Release)
		if got, damage := extracted(t, dir, c.file, c.id); !reflect.DeepEqual(got, c.want) || damage != "" {
			t.Errorf("%s/%s, id %d: got %q, damage %q, want %q", c.directory, c.file, c.id, got, damage, c.want)
		}
	}
}

// The index that was set aside with the data file gives names, and tells what was consumed.
func TestExtractFromFilesSetAside(t *testing.T) {
	dir := fixture(t, "crash/stale-pushed")
	t.Cleanup(dir.Release)
	dir.Rename(dataName, "overflow-aside-3.dat")
	dir.Remove(indexName)
	dir.Put("ofchannels-aside-3.csv", []byte("ch1 1 6 45 45\n"))
	for _, id := range []uint32{0, 7} {
		_, _, err := Extract(dir, "overflow-aside-3.dat", id, &bytes.Buffer{})
		if want := "id 1, 3 records of 17 bytes of storage ch1"; !errors.Is(err, ErrWhich) || !strings.Contains(err.Error(), want) {
			t.Errorf("id %d: got error %v, want it to tell: %s", id, err, want)
		}
	}
	if got, _ := extracted(t, dir, "overflow-aside-3.dat", 1); !reflect.DeepEqual(got, []string{"second", "third", "fourth"}) {
		t.Errorf("got %q", got)
	}
}

// What a start has set aside can be extracted, and a start loads it.
func TestWhatIsSetAsideIsExtractedAndLoaded(t *testing.T) {
	dir := fixture(t, "crash/lost-index")
	d, _ := mustRead(t, dir)
	if err := Finish(dir, d.Sources); err != nil {
		t.Fatal(err)
	}
	var dump bytes.Buffer
	if _, _, err := Extract(dir, "overflow-aside-1.dat", 1, &dump); err != nil {
		t.Fatal(err)
	}
	dir.Put("sub@ch.rq", dump.Bytes())
	_, got := mustRead(t, dir)
	checkContents(t, got, map[string][]string{"sub@ch": {"first", "third"}})
}

func TestExtractFromADamagedDump(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"03000000 1300000000000000 0100000000000000 61 0300000000000000 6263", "data/c.rq-aside, at offset 21: damaged: "},
		{"02000000 1300000000000000 0100000000000000 61 0300000000000000 6263", "data/c.rq-aside, at offset 21: damaged: "},
	} {
		dir := dumpDir("c.rq-aside", bytesOf(t, c.file))
		t.Cleanup(dir.Release)
		got, damage := extracted(t, dir, "c.rq-aside", 0)
		if !reflect.DeepEqual(got, []string{"a"}) || !strings.HasPrefix(damage, c.want) {
			t.Errorf("got %q, %q, want the first record and %s", got, damage, c.want)
		}
		if _, _, err := Extract(dir, "c.rq-aside", 1, &bytes.Buffer{}); !errors.Is(err, ErrWhich) {
			t.Errorf("with an id: got %v", err)
		}
	}
}

func TestExtractReportsWriteErrors(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	dir := fixture(t, "interleaved")
	defer dir.Release()
	if _, _, err := Extract(dir, "logs.rq", 0, full); err == nil {
		t.Error("no error though nothing could be written")
	}
}

// A file that can't be read is an error and no damage, also if it could be looked at before.
func TestAFileThatCannotBeReadIsNotDamaged(t *testing.T) {
	for _, file := range []string{dataName, "logs.rq"} {
		dir := fixture(t, "interleaved")
		dir.failing("read", file)
		if _, err := Read(dir, Left{}); !errors.Is(err, errTest) {
			t.Errorf("%s: got %v", file, err)
		}
		dir.Before = nil
		d, _ := mustRead(t, dir)
		if asideOf(d.Sources) != "" {
			t.Errorf("%s, again: %v is set aside", file, asideOf(d.Sources))
		}
		dir.failing("read", file)
		failed := 0
		for _, q := range d.Queues {
			for _, p := range []*Part{&q.Dump, &q.Overflow} {
				for _, err := range p.Runs() {
					if errors.Is(err, errTest) && strings.Contains(err.Error(), file) {
						failed++
					}
				}
			}
		}
		if failed == 0 {
			t.Errorf("%s can't be read, and its records are", file)
		}
	}
}

// A file that is changed behind a start's back is an error, too.
func TestAFileThatIsChangedMeanwhile(t *testing.T) {
	for _, file := range []string{dataName, "logs.rq"} {
		whole, _ := fixture(t, "interleaved").Content(file)
		for at := range whole {
			changed := bytes.Clone(whole)
			changed[at] ^= 0x41
			for _, content := range [][]byte{changed, whole[:at]} {
				dir := fixture(t, "interleaved")
				d, err := Read(dir, Left{})
				if err != nil {
					t.Fatal(err)
				}
				dir.Put(file, content)
				for _, q := range d.Queues {
					for _, p := range []*Part{&q.Dump, &q.Overflow} {
						n, size, failed := 0, 0, false
						for run, err := range p.Runs() {
							n, size, failed = n+run.Records, size+len(run.Bytes), err != nil
						}
						if !failed && (uint64(n) != p.Records || uint64(size) != p.Bytes) {
							t.Fatalf("%s, changed at %d: %d records, %d bytes of %s, want %d, %d", file, at, n, size, q.Storage, p.Records, p.Bytes)
						}
					}
				}
				dir.Release()
			}
		}
	}
}

// Whatever is in a directory, a start reads it without end, damage and loss are told, and what it
// reads can be left for the next start.
func FuzzRead(f *testing.F) {
	for _, s := range scenarios {
		dir := s.make()
		data, _ := dir.Content(dataName)
		index, _ := dir.Content(indexName)
		f.Add(data, index, dir.old == "")
		dir.Release()
	}
	f.Fuzz(func(t *testing.T, data, index []byte, young bool) {
		dir := newTestDir()
		dir.Put(dataName, data)
		dir.Put(indexName, index)
		if !young {
			dir.old = indexName
		}
		before := dir.state()
		d, err := Read(dir, Left{})
		if err != nil {
			if !strings.Contains(err.Error(), "to do: ") {
				t.Errorf("refused: %v", err)
			}
			dir.Release()
			return
		}
		first := contentsOf(t, d)
		findings := fmt.Sprint(d.Findings)
		if again := contentsOf(t, d); !reflect.DeepEqual(again, first) || fmt.Sprint(d.Findings) != findings {
			t.Errorf("read again: %q, not %q; %v", again, first, d.Findings)
		}
		if err := Finish(dir, d.Sources); err != nil {
			t.Fatal(err)
		}
		checkFinished(t, dir, before, d.Sources)
		restart(t, dir.Dir, first)
		dir.Release()
	})
}
