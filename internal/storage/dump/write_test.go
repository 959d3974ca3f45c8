package dump

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

func TestLayout(t *testing.T) {
	for _, c := range []struct {
		rule    string
		runs    [][]byte
		records uint64
		want    string
	}{
		{"the example of §2.1", [][]byte{run("Hello ch1!")}, 1,
			"01000000 1200000000000000 0a00000000000000 48656c6c6f2063683121"},
		{"no records make 12 zero bytes", nil, 0,
			"00000000 0000000000000000"},
		{"empty runs are nothing", [][]byte{{}, run("a"), nil}, 1,
			"01000000 0900000000000000 0100000000000000 61"},
		{"an empty record is its length", [][]byte{run("")}, 1,
			"01000000 0800000000000000 0000000000000000"},
		{"runs follow one another, oldest first", [][]byte{run("a", ""), run("bc")}, 3,
			"03000000 1b00000000000000 0100000000000000 61 0000000000000000 0200000000000000 6263"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			dir, path := tempDir(t)
			if err := Write(dir, temporary, c.records, uint64(len(slices.Concat(c.runs...))), runs(c.runs...)); err != nil {
				t.Fatal(err)
			}
			if err := Commit(dir, temporary, "billing@orders"); err != nil {
				t.Fatal(err)
			}
			if got, want := list(t, path), "billing@orders.rq"; got != want {
				t.Errorf("directory: got %q, want %q", got, want)
			}
			got, err := os.ReadFile(filepath.Join(path, "billing@orders.rq"))
			if err != nil {
				t.Fatal(err)
			}
			if want := bytesOf(t, c.want); string(got) != string(want) {
				t.Errorf("file: got %x, want %x", got, want)
			}
		})
	}
}

// What was read from the files of the original is written as they are.
func TestFixturesAreReproducedByteForByte(t *testing.T) {
	for name, records := range fixtureRecords {
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			dir, path := tempDir(t)
			all := run(records...)
			if err := Write(dir, temporary, uint64(len(records)), uint64(len(all)), runs(all)); err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(filepath.Join(path, temporary)); string(got) != string(want) {
				t.Errorf("got %x, want %x", got, want)
			}
		})
	}
}

func TestWriteRefusesWhatIsNotAsAnnounced(t *testing.T) {
	ab := run("a", "b") // 18 bytes
	for _, c := range []struct {
		rule          string
		records, size uint64
		runs          [][]byte
		want          string
	}{
		{"more records than 32 bits count", 1 << 32, 1 << 36, nil, "4294967296 records are more than the 4294967295 it can hold"},
		{"fewer records", 3, 18, [][]byte{ab}, "3 records of 18 bytes in all were announced, but there are 2 of 18"},
		{"more records", 1, 18, [][]byte{ab}, "but there are 2 of 18"},
		{"fewer bytes", 2, 19, [][]byte{ab}, "but there are 2 of 18"},
		{"more bytes", 2, 17, [][]byte{ab}, "but there are 2 of 18"},
		{"none, but some bytes", 0, 18, nil, "but there are 0 of 0"},
		{"a further run", 2, 18, [][]byte{ab, ab, ab}, "but there are 6 of 54"},
		{"a run that ends in a payload", 2, 18, [][]byte{ab[:17], ab[17:]}, "record 2 is not whole"},
		{"a run that ends in a length", 2, 18, [][]byte{ab[:10], ab[10:]}, "record 2 is not whole"},
		{"a length that overflows", 1, 9, [][]byte{bytesOf(t, "ffffffffffffffff 61")}, "record 1 is not whole"},
		{"a length that is negative when signed", 1, 9, [][]byte{bytesOf(t, "f8ffffffffffffff 61")}, "record 1 is not whole"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			dir, path := tempDir(t)
			err := Write(dir, temporary, c.records, c.size, runs(c.runs...))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir.Path(temporary)) {
				t.Errorf("error: got %v, want the file and %q", err, c.want)
			}
			if left := list(t, path); left != "" {
				t.Errorf("left in the directory: %s", left)
			}
		})
	}
}

func TestAsManyRecordsAs32BitsCountMayBeAnnounced(t *testing.T) {
	dir, _ := tempDir(t)
	err := Write(dir, temporary, math.MaxUint32, math.MaxUint32*8, runs())
	if err == nil || !strings.Contains(err.Error(), "but there are 0") {
		t.Errorf("2³²−1 announced records: got %v, want only an error that they are missing", err)
	}
}

func TestWriteReplacesAnOldTemporaryFile(t *testing.T) {
	dir, path := tempDir(t)
	elsewhere := filepath.Join(path, "elsewhere")
	os.WriteFile(elsewhere, []byte("keep me, I am longer than the dump"), 0o666)
	if err := os.Symlink(elsewhere, filepath.Join(path, temporary)); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, temporary, 1, 9, runs(run("a"))); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(dir, temporary); fmt.Sprint(got, err) != "[a] <nil>" {
		t.Errorf("dump: got %v %v, want [a]", got, err)
	}
	if got, _ := os.ReadFile(elsewhere); !strings.HasPrefix(string(got), "keep me") {
		t.Errorf("what the old file was a link to: got %q, want it unchanged", got)
	}
}

func TestCommitReplacesAnOldDump(t *testing.T) {
	dir, path := tempDir(t)
	for _, record := range []string{"old", "new"} {
		if err := Write(dir, temporary, 1, 11, runs(run(record))); err != nil {
			t.Fatal(err)
		}
		if err := Commit(dir, temporary, "@orders"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := readAll(dir, "@orders.rq"); fmt.Sprint(got, err) != "[new] <nil>" {
		t.Errorf("dump: got %v %v, want [new]", got, err)
	}
	if got := list(t, path); got != "@orders.rq" {
		t.Errorf("directory: got %q, want only the dump", got)
	}
}

func TestCommitThatFailsChangesNothingAndNamesTheStorage(t *testing.T) {
	dir, path := tempDir(t)
	os.Mkdir(filepath.Join(path, "orders.rq"), 0o777)
	if err := Write(dir, temporary, 0, 0, runs()); err != nil {
		t.Fatal(err)
	}
	err := Commit(dir, temporary, "orders")
	if err == nil || !strings.Contains(err.Error(), "dump of storage orders: ") {
		t.Errorf("a directory in the way: got %v, want an error that names the storage", err)
	}
	if got, want := list(t, path), "orders.rq "+temporary; got != want {
		t.Errorf("directory: got %q, want %q", got, want)
	}
	if err := Commit(dir, "nothing", "orders"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: got %v, want %v", err, fs.ErrNotExist)
	}
}

func TestLargeRunsAreWrittenFromWhereTheyAreAndSmallOnesTogether(t *testing.T) {
	real, _ := tempDir(t)
	inside := func(p, run []byte) bool {
		at, from := uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(unsafe.Pointer(unsafe.SliceData(run)))
		return at >= from && at < from+uintptr(len(run))
	}
	payloads, size, all := large()
	dir := &faultyDir{Dir: real}
	if err := Write(dir, temporary, uint64(len(payloads)), size, runs(all)); err != nil {
		t.Fatal(err)
	}
	copied, total := 0, 0
	for _, p := range dir.writes {
		if len(p) > pieceSize {
			t.Errorf("a write of %d bytes, want at most %d", len(p), pieceSize)
		}
		if !inside(p, all) {
			copied += len(p)
		}
		total += len(p)
	}
	if want := headerSize + len(all); total != want {
		t.Errorf("written: got %d bytes, want %d", total, want)
	}
	if copied > 2*gather {
		t.Errorf("copied: got %d bytes, want at most %d", copied, 2*gather)
	}

	dir.writes = nil
	one, many := run("a"), 100_000
	small := func(yield func([]byte) bool) {
		for i := 0; i < many && yield(one); i++ {
		}
	}
	if err := Write(dir, temporary, uint64(many), uint64(many*len(one)), small); err != nil {
		t.Fatal(err)
	}
	if got, limit := len(dir.writes), many*len(one)/gather+1; got > limit {
		t.Errorf("writes for %d runs of %d bytes: got %d, want at most %d", many, len(one), got, limit)
	}
}

// Whichever call fails: the old dump stays, nothing is left, and the error tells.
func TestEveryFaultOfAWrite(t *testing.T) {
	payloads, size, all := large()
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		for _, transfers := range []bool{false, true} {
			calls := []string{}
			for at := 1; ; at++ {
				real, path := tempDir(t)
				os.WriteFile(filepath.Join(path, "orders.rq"), []byte("old"), 0o666)
				dir := &faultyDir{Dir: real, fault: fault, failAt: at, transfers: transfers}
				err := Write(dir, temporary, uint64(len(payloads)), size, runs(all))
				if dir.hit == nil {
					if err != nil {
						t.Errorf("no fault: got %v, want no error", err)
					}
					break
				}
				calls = append(calls, dir.hit...)
				if !errors.Is(err, fault) || !strings.Contains(err.Error(), real.Path(temporary)) {
					t.Errorf("%v of call %d, %s: error: got %v, want the file and the reason", fault, at, dir.hit, err)
				}
				if got := list(t, path); got != "orders.rq" {
					t.Errorf("%v of call %d, %s: directory: got %q, want only the old dump", fault, at, dir.hit, got)
				}
				if dir.open != 0 {
					t.Errorf("%v of call %d, %s: %d files are still open", fault, at, dir.hit, dir.open)
				}
			}
			for _, call := range []string{"remove", "create", "write", "sync", "close"} {
				if !slices.Contains(calls, call) {
					t.Errorf("failing calls: got %v, want %s among them", calls, call)
				}
			}
		}
	}
}

func TestAWriteOnADyingDiskSaysWhatIsLeft(t *testing.T) {
	for at := 1; ; at++ {
		real, path := tempDir(t)
		dir := &faultyDir{Dir: real, fault: syscall.EIO, failAt: at, forever: true}
		err := Write(dir, temporary, 1, 9, runs(run("a")))
		if dir.hit == nil {
			return
		}
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("EIO from call %d on: got %v, want it", at, err)
		}
		left := list(t, path) != ""
		if said := err != nil && strings.Contains(err.Error(), "still there"); said != left {
			t.Errorf("EIO from call %d on: a file is left: %v, the error: %v", at, left, err)
		}
	}
}

func TestAWriteThatIsShortWithoutAReasonIsAnError(t *testing.T) {
	real, path := tempDir(t)
	dir := &faultyDir{Dir: real, failAt: 3, transfers: true} // after remove and create
	if err := Write(dir, temporary, 1, 9, runs(run("a"))); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v, want %v", err, io.ErrShortWrite)
	}
	if got := list(t, path); got != "" {
		t.Errorf("directory: got %q, want it empty", got)
	}
}

func TestCommitOnADyingDisk(t *testing.T) {
	real, path := tempDir(t)
	os.WriteFile(filepath.Join(path, temporary), nil, 0o666)
	dir := &faultyDir{Dir: real, fault: syscall.EIO, failAt: 1}
	if err := Commit(dir, temporary, "orders"); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want %v", err, syscall.EIO)
	}
	if got := list(t, path); got != temporary {
		t.Errorf("directory: got %q, want %q", got, temporary)
	}
}
