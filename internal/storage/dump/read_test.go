package dump

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

func TestFixturesAreRead(t *testing.T) {
	for name, want := range fixtureRecords {
		dir := fixtures(t, filepath.Dir(name))
		r, err := Open(dir, filepath.Base(name))
		if err != nil {
			t.Fatal(err)
		}
		size := uint64(len(run(want...)))
		if r.Records() != uint64(len(want)) || r.Size() != size || r.Trailing() != 0 {
			t.Errorf("%s: got %d records, %d bytes, %d behind them, want %d, %d, 0",
				name, r.Records(), r.Size(), r.Trailing(), len(want), size)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if got, err := readAll(dir, filepath.Base(name)); !slices.Equal(got, want) || err != nil {
			t.Errorf("%s: got %q %v, want %q", name, got, err, want)
		}
	}
}

// The rules are the rows of storage spec §2.6, of which L2 is not this package's.
func TestChecks(t *testing.T) {
	const (
		a  = "0100000000000000 61 "
		bc = "0200000000000000 6263 "
	)
	for _, c := range []struct {
		rule     string
		file     string
		want     []string // records
		offset   int64
		reason   string // "" = intact
		trailing uint64
	}{
		{"L1: an empty file", "",
			nil, 0, "it has 0 bytes, and its header takes 12", 0},
		{"L1: not even the number of records", "010000",
			nil, 0, "it has 3 bytes, and its header takes 12", 0},
		{"L1: no size", "01000000",
			nil, 0, "it has 4 bytes, and its header takes 12", 0},
		{"L1: half a size", "01000000 12000000000000",
			nil, 0, "it has 11 bytes, and its header takes 12", 0},
		{"L3: nothing behind the header", "01000000 0900000000000000",
			nil, 12, "the file ends 9 bytes too early", 0},
		{"L3: the last payload is cut off", "02000000 1300000000000000" + a + "0200000000000000 62",
			[]string{"a"}, 21, "the file ends 1 bytes too early", 0},
		{"L3: the last length is cut off", "02000000 1300000000000000" + a + "02000000000000",
			[]string{"a"}, 21, "the file ends 3 bytes too early", 0},
		{"L3: whole records only, but not all", "02000000 1300000000000000" + a,
			[]string{"a"}, 21, "the file ends 10 bytes too early", 0},
		{"L3: all records, but not all bytes", "01000000 ffffffffffffffff" + a,
			[]string{"a"}, 21, "18446744073709551606 bytes are left over behind the last record", 0},
		{"L4: no record, but bytes", "00000000 0900000000000000" + a,
			nil, 12, "9 bytes are left over behind the last record", 0},
		{"L4: no record, but bytes, which are missing", "00000000 0900000000000000",
			nil, 12, "9 bytes are left over behind the last record", 0},
		{"L5: records without bytes", "01000000 0000000000000000" + a,
			nil, 12, "0 bytes are too few for the length of the next record", 9},
		{"L5: fewer bytes than lengths take", "03000000 1300000000000000" + a + bc,
			[]string{"a", "bc"}, 31, "0 bytes are too few for the length of the next record", 0},
		{"L5: all records, the most that are possible", "ffffffff 0800000000000000 0000000000000000",
			[]string{""}, 20, "0 bytes are too few for the length of the next record", 0},
		{"L6: a length beyond the end", "02000000 1000000000000000" + a + bc,
			[]string{"a"}, 21, "7 bytes are too few for the length of the next record", 3},
		{"L6: a payload beyond the end", "02000000 1200000000000000" + a + bc,
			[]string{"a"}, 21, "the next record has a length of 2, and only 1 bytes follow", 1},
		{"L6: a payload beyond the end and the file", "02000000 1300000000000000" + a + "0300000000000000 6263",
			[]string{"a"}, 21, "the next record has a length of 3, and only 2 bytes follow", 0},
		{"L6: the largest length", "02000000 1300000000000000" + a + "ffffffffffffffff 6263",
			[]string{"a"}, 21, "the next record has a length of 18446744073709551615, and only 2 bytes follow", 0},
		{"L6: a length that overflows with its 8 bytes", "01000000 0900000000000000 f8ffffffffffffff 61",
			nil, 12, "the next record has a length of 18446744073709551608, and only 1 bytes follow", 0},
		{"L6: a length that is plausible for the announced end only", "01000000 ffffffffffffffff f7ffffffffffffff 61",
			nil, 12, "the file ends 18446744073709551606 bytes too early", 0},
		{"L7: one byte is left over", "01000000 0a00000000000000" + a + "62",
			[]string{"a"}, 21, "1 bytes are left over behind the last record", 0},
		{"L7: a record is left over", "01000000 1300000000000000" + a + bc,
			[]string{"a"}, 21, "10 bytes are left over behind the last record", 0},

		{"intact", "02000000 1300000000000000" + a + bc,
			[]string{"a", "bc"}, 0, "", 0},
		{"12 zero bytes are an empty storage", "00000000 0000000000000000",
			nil, 0, "", 0},
		{"what is behind an empty storage is ignored", "00000000 0000000000000000" + a,
			nil, 0, "", 9},
		{"what is behind the announced end is ignored", "01000000 0900000000000000" + a + bc,
			[]string{"a"}, 0, "", 10},
		{"records may all be empty", "02000000 1000000000000000 0000000000000000 0000000000000000",
			[]string{"", ""}, 0, "", 0},
	} {
		t.Run(c.rule, func(t *testing.T) {
			dir := &memoryDir{content: bytesOf(t, c.file)}
			r, err := Open(dir, "orders.rq")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got := r.Trailing(); got != c.trailing {
				t.Errorf("bytes behind the announced end: got %d, want %d", got, c.trailing)
			}
			got, err := readAll(dir, "orders.rq")
			if !slices.Equal(got, c.want) {
				t.Errorf("records: got %q, want %q", got, c.want)
			}
			if c.reason == "" {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			want := DamageError{"data/orders.rq", c.offset, r.Records(), uint64(len(c.want)), c.reason}
			var damage *DamageError
			if !errors.As(err, &damage) || *damage != want {
				t.Errorf("error: got %v, want %v", err, &want)
			}
		})
	}
}

func TestTheMessageOfDamage(t *testing.T) {
	err := &DamageError{"data/orders.rq", 21, 2, 1, "the file ends 1 bytes too early"}
	want := "dump data/orders.rq: damaged at offset 21, where 1 of 2 records have been read: the file ends 1 bytes too early"
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestADumpCutAnywhereYieldsTheRecordsBeforeTheCut(t *testing.T) {
	whole, err := os.ReadFile("testdata/interleaved/logs.rq")
	if err != nil {
		t.Fatal(err)
	}
	records := fixtureRecords["interleaved/logs.rq"]
	ends := []int{25, 33, 46, 59, 76} // of the records, by the lengths in storage spec §8.2
	for size := range len(whole) {
		proven := 0
		for proven < len(ends) && ends[proven] <= size {
			proven++
		}
		offset := 0
		switch {
		case proven > 0:
			offset = ends[proven-1]
		case size >= headerSize:
			offset = headerSize
		}
		got, err := readAll(&memoryDir{content: whole[:size]}, "logs.rq")
		if !slices.Equal(got, records[:proven]) {
			t.Errorf("the first %d bytes: got %q, want %q", size, got, records[:proven])
		}
		var damage *DamageError
		if !errors.As(err, &damage) || damage.Offset != int64(offset) || damage.Got != uint64(proven) {
			t.Errorf("the first %d bytes: got %v, want damage at %d after %d records", size, err, offset, proven)
		}
	}
}

func TestErrorsComeAgain(t *testing.T) {
	for file, want := range map[string]string{
		"00000000 0000000000000000": "EOF",
		"00000000 0100000000000000": "dump data/orders.rq: damaged at offset 12, where 0 of 0 records have been read: 1 bytes are left over behind the last record",
	} {
		r, err := Open(&memoryDir{content: bytesOf(t, file)}, "orders.rq")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if run, n, err := r.Next(); run != nil || n != 0 || err == nil || err.Error() != want {
				t.Errorf("%s: got %d records in %x, %v, want none and %s", file, n, run, err, want)
			}
		}
		r.Close()
	}
}

func TestADumpNeedsNoMoreMemoryThanItHasBytes(t *testing.T) {
	large := strings.Repeat("x", 3*bufferSize)
	for _, c := range []struct {
		rule    string
		content []byte
		size    int64 // of the file, if it has more than the content
		want    int   // bytes of the buffer
	}{
		{"a small dump", dumpOf("a", "b"), 0, 18},
		{"a dump larger than the buffer", dumpOf(slices.Repeat([]string{large[:999]}, 5000)...), 0, bufferSize},
		{"a record larger than the buffer", dumpOf("a", large, "b"), 0, 8 + len(large)},
		{"a length that no bytes follow", append(dumpOf()[:0], bytesOf(t, "01000000 ffffffffffffffff 0000000000100000 61")...), 0, 9},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r, err := Open(&memoryDir{content: c.content, size: c.size}, "orders.rq")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			most := 0
			for err == nil {
				_, _, err = r.Next()
				most = max(most, cap(r.buffer))
			}
			if most != c.want {
				t.Errorf("buffer: got %d bytes, want %d", most, c.want)
			}
		})
	}
}

func TestAReaderGivesItsMemoryBack(t *testing.T) {
	dir := &memoryDir{content: dumpOf("a", strings.Repeat("x", bufferSize))}
	before := addressSpace(t)
	const dumps = 200
	for range dumps {
		r, err := Open(dir, "orders.rq")
		for err == nil {
			_, _, err = r.Next()
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if grown := addressSpace(t) - before; grown > dumps/2*bufferSize {
		t.Errorf("address space after %d dumps: got %d bytes more, want none to speak of", dumps, grown)
	}
}

// addressSpace is how many bytes the process has mapped.
func addressSpace(t *testing.T) int {
	t.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var pages int
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// A file may have holes, and so seem to have any number of bytes.
func TestARecordLargerThanMemoryIsAnError(t *testing.T) {
	for _, length := range []string{"ffffffffffff7f00", "ffffffffffffff7f"} {
		content := bytesOf(t, "02000000 ffffffffffffffff 0100000000000000 61"+length)
		content = append(content, make([]byte, bufferSize)...)
		got, err := readAll(&memoryDir{content: content, size: 1<<63 - 1}, "orders.rq")
		var damage *DamageError
		switch {
		case !slices.Equal(got, []string{"a"}):
			t.Errorf("length %s: records: got %q, want a", length, got)
		case length == "ffffffffffff7f00" && !errors.Is(err, syscall.ENOMEM):
			t.Errorf("length %s: got %v, want %v", length, err, syscall.ENOMEM)
		case length == "ffffffffffffff7f" && !errors.As(err, &damage):
			t.Errorf("length %s: got %v, want damage, as the file has fewer bytes", length, err)
		}
	}
}

func TestOpenOfAMissingFile(t *testing.T) {
	dir, _ := tempDir(t)
	_, err := Open(dir, "orders.rq")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir.Path("orders.rq")) {
		t.Errorf("got %v, want the file and %v", err, fs.ErrNotExist)
	}
}

// Whichever call fails: what was read before is a beginning, and a fault is not damage.
func TestEveryFaultOfARead(t *testing.T) {
	payloads, size, all := large()
	real, _ := tempDir(t)
	if err := Write(real, "orders.rq", uint64(len(payloads)), size, runs(all)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		fault, want error
		transfers   bool
		from        int // the call
	}{
		{syscall.EIO, syscall.EIO, false, 1},
		{syscall.EIO, syscall.EIO, true, 1},
		{io.EOF, io.ErrUnexpectedEOF, true, 3}, // the file became shorter after open and size
		{nil, io.ErrUnexpectedEOF, true, 3},
	} {
		faults := 0
		for at := c.from; ; at++ {
			dir := &faultyDir{Dir: real, fault: c.fault, failAt: at, transfers: c.transfers}
			got, err := readAll(dir, "orders.rq")
			if dir.hit == nil || dir.hit[0] == "close" {
				if !slices.Equal(got, payloads) || err != nil {
					t.Errorf("no fault: got %d records, %v, want %d", len(got), err, len(payloads))
				}
				break
			}
			faults++
			var damage *DamageError
			if !errors.Is(err, c.want) || errors.As(err, &damage) || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), real.Path("orders.rq")) {
				t.Errorf("%v of call %d, %s: got %v, want the file and %v", c.fault, at, dir.hit, err, c.want)
			}
			if len(got) > len(payloads) || !slices.Equal(got, payloads[:len(got)]) {
				t.Errorf("%v of call %d, %s: the %d records are not the first ones", c.fault, at, dir.hit, len(got))
			}
			if dir.open != 0 {
				t.Errorf("%v of call %d, %s: %d files are still open", c.fault, at, dir.hit, dir.open)
			}
		}
		if faults < 5 {
			t.Errorf("%v: got %d failing calls, want that of several reads", c.fault, faults)
		}
	}
}

// unwritable is a directory whose files can only be read, as those that somebody else owns.
type unwritable struct{ disk.Dir }

func (d unwritable) Open(name string) (disk.File, error) {
	return nil, &fs.PathError{Op: "open", Path: d.Path(name), Err: syscall.EACCES}
}

func (d unwritable) OpenToRead(name string) (disk.File, error) { return disk.OpenToRead(d.Dir, name) }

func TestADumpThatCanOnlyBeRead(t *testing.T) {
	dir, path := tempDir(t)
	if err := os.WriteFile(filepath.Join(path, "orders.rq"), dumpOf("one"), 0o444); err != nil {
		t.Fatal(err)
	}
	r, err := Open(unwritable{dir}, "orders.rq")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, records, err := r.Next(); string(got) != string(run("one")) || records != 1 || err != nil {
		t.Errorf("got %q, %d records, %v, want one", got, records, err)
	}
}
