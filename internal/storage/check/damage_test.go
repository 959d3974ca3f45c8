package check

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

// damaged calls try for each way of truncating a file of a directory, and of flipping a bit
// in each of its bytes, or in every so many. Of large files only some zero bytes count.
func damaged(t *testing.T, path string, every int, try func()) {
	for _, name := range list(t, path) {
		content, err := os.ReadFile(filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		variant := func(content string) {
			write(t, path, name, content)
			sameAge(t, path)
			try()
		}
		for i, b := range content {
			if i%every > 0 || len(content) > 4000 && b == 0 && i%50021 > 0 {
				continue
			}
			variant(string(content[:i]))
			flipped := slices.Clone(content)
			flipped[i] ^= 1 << (i % 8)
			variant(string(flipped))
		}
		write(t, path, name, string(content))
	}
}

// What the check says of a damaged directory of a node that stopped, or of an original one,
// is what the next start does: it has the records that the report tells, or there are faults
// and it does not start.
func TestDamagedDirectories(t *testing.T) {
	every := 37 // a start takes much longer than a check
	if testing.Short() {
		every = 200
	}
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			original := fixture(t, name)
			count := 0
			damaged(t, original, 1, func() {
				report, err := Directory(original, "")
				if err != nil {
					t.Fatal(err)
				}
				if count++; count%every > 0 {
					return
				}
				path := filepath.Join(t.TempDir(), "data")
				copyDir(t, path, original)
				before := contents(t, path)
				want, err := recovered(path)
				switch {
				case err != nil && len(report.Faults) == 0:
					t.Fatalf("a start fails: %v, but the report is:\n%s", err, text(report))
				case err == nil && !reflect.DeepEqual(report.counted(), want):
					t.Fatalf("files %q: a start finds %v, but the report is:\n%s", before, want, text(report))
				}
			})
		})
	}
}

// Damage to the directory of a node that was killed is not overlooked. A storage that
// storages.dat has forgotten can only be told by the ring file that it leaves.
func TestDamagedDirectoryOfKilledNode(t *testing.T) {
	path := killed(t)
	intact := watched(t, path, "").Totals
	every := 1
	if testing.Short() {
		every = 11
	}
	damaged(t, path, every, func() {
		report, err := Directory(path, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Faults)+len(report.Notes) == 0 && report.Totals != intact {
			t.Errorf("the records were %+v, and now the report is:\n%s", intact, text(report))
		}
	})
}

// What the check says of a damaged overflow of a node that was killed is what the next start
// delivers, not only what it counts at first.
func TestDamagedOverflowOfKilledNode(t *testing.T) {
	const header, size = 32, 32 + 8 // of the small records
	first, second := int64(8), int64(8+header+60)
	third := second + header + 4
	for _, c := range []struct {
		name   string
		flip   []int64 // offsets of bytes with a wrong bit
		length int64   // that the file is cut to, if not 0
		want   uint64  // of 2 records in the ring and 202 in the overflow
	}{
		{"nothing", nil, 0, 204},
		{"the first header", []int64{first + 16}, 0, 203},
		{"one in the middle", []int64{third + 10*size + 8}, 0, 203},
		{"the first one and one in the middle", []int64{first, third + 10*size + 24}, 0, 202},
		{"the last header", []int64{third + 199*size + 24}, 0, 203},
		{"the first and the last header", []int64{first + 8, third + 199*size}, 0, 2},
		{"the second half", nil, third + 100*size + 7, 104},
		{"all but the first record", nil, second, 3},
		{"everything", nil, 8, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := killedWith(t, 200)
			content := []byte(contents(t, path)[dataFile])
			for _, offset := range c.flip {
				content[offset] ^= 4
			}
			if c.length > 0 {
				content = content[:c.length]
			}
			write(t, path, dataFile, string(content))
			report := watched(t, path, "")
			if got := report.counted()["jobs"]; got != c.want || (got < 204) != (len(report.Faults) > 0) {
				t.Errorf("want %d records, the report is:\n%s", c.want, text(report))
			}
			if got := popped(t, path, "jobs"); got != c.want {
				t.Errorf("the next start delivers %d records, want %d", got, c.want)
			}
		})
	}
}

// Files are put together of parts, without what is unused in them: the first bytes and a
// slot of the state file, and a ring with its header.
func FuzzDirectory(f *testing.F) {
	for _, name := range fixtures {
		files := contents(f, filepath.Join("..", "overflow", "testdata", name))
		f.Add([]byte(files[dataFile]), []byte(files[indexFile]), []byte(files["logs.rq"]), []byte{}, []byte{}, []byte{})
	}
	files := contents(f, killed(f))
	state, ring := []byte(files["storages.dat"]), []byte(files["ring-000001.dat"])
	slot := state[len(state)-1024:] // the one that is used first
	f.Add([]byte(files[dataFile][:256]), []byte{}, []byte{}, state[:96], slot[:900], append(ring[:32:32], ring[4096:]...))
	f.Fuzz(func(t *testing.T, data, index, dump, header, slot, ring []byte) {
		path := t.TempDir()
		put := func(name string, content []byte) {
			if len(content) == 0 {
				return
			}
			if err := os.WriteFile(filepath.Join(path, name), content, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		put(dataFile, data)
		put(indexFile, index)
		put("logs.rq", dump)
		if len(header) > 0 {
			state := make([]byte, 4096+60*1024)
			copy(state, header)
			copy(state[4096:], slot)
			put("storages.dat", state)
		}
		if len(ring) > 32 {
			put("ring-000001.dat", slices.Concat(ring[:32], make([]byte, 4096-32), ring[32:]))
		}
		watched(t, path, "")
	})
}

// Whatever bytes a name has become, the text shows them and remains text.
func TestNamesThatAreNotText(t *testing.T) {
	const bad = "ev\xff\x1b[2Jents"
	for _, dumped := range []bool{false, true} {
		path := killed(t)
		identify(t, path, state.Identity{Storage: bad, Dumped: dumped})
		write(t, path, "\xfe.rq", "")
		write(t, path, "\xfd", "")
		got := text(watched(t, path, ""))
		for _, want := range []string{`storage "ev\xff\x1b[2Jents":`, `FAULT "\xfe.rq":`, `"\xfd": ignored`} {
			if !strings.Contains(got, want) {
				t.Errorf("dumped %v: the text lacks %s", dumped, want)
			}
		}
		for _, r := range got {
			if r != '\n' && (r == utf8.RuneError || !strconv.IsPrint(r)) {
				t.Errorf("dumped %v: the text has the rune %q", dumped, r)
			}
		}
		if t.Failed() {
			t.Logf("%q", got)
		}
	}
}
