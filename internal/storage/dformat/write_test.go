package dformat

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

func TestLayout(t *testing.T) {
	dir := newTestDir()
	t.Cleanup(dir.Release)
	stop(t, dir.Dir, []Content{
		{Number: 3, Storage: "s@c", Dump: stream([]string{"a", ""}, 1), Overflow: stream([]string{"bc", ""}, 9)},
		{Number: 1, Storage: "empty"},
		{Number: 9, Storage: "@c"},
		{Number: 1 << 40, Storage: "d", Overflow: stream([]string{"e"}, 1)},
	})
	want := map[string]string{
		"s@c.rq": "02000000 1100000000000000 0100000000000000 61 0000000000000000",
		"@c.rq":  "00000000 0000000000000000",
		dataName: hex.EncodeToString([]byte(magic)) +
			"03000000 00000000 2200000000000000 23 00000000000000 0200000000000000 6263" +
			"03000000 00000000 0000000000000000 03 00000000000000 0000000000000000" +
			"01000000 00000000 0000000000000000 00 00000000000000 0100000000000000 65",
		indexName: hex.EncodeToString([]byte("s@c 2 2 8 42\nd 1 1 74 74\n")),
	}
	for name, content := range dir.state() {
		if text := strings.ReplaceAll(want[name], " ", ""); hex.EncodeToString([]byte(content)) != text {
			t.Errorf("%s:\n got %x\nwant %s", name, content, text)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestIDsAreUnique(t *testing.T) {
	var chains []Content
	for _, n := range []uint64{2, 0, 1 << 32, 1<<32 - 1, 1} {
		chains = append(chains, Content{Number: n})
	}
	if got, want := overflowIDs(chains), []uint32{2, 3, 4, math.MaxUint32, 1}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWriteRefusesWhatIsNotAsAnnounced(t *testing.T) {
	good := stream([]string{"abc", "def"}, 2)
	for name, s := range map[string]Stream{
		"more records":  {3, good.Bytes, good.Runs},
		"fewer records": {1, good.Bytes, good.Runs},
		"more bytes":    {2, good.Bytes + 1, good.Runs},
		"fewer bytes":   {2, good.Bytes - 1, good.Runs},
		"half a record": {1, 11, func(yield func(Run, error) bool) { yield(Run{make([]byte, 11), 1}, nil) }},
		"another number in runs": {2, good.Bytes, func(yield func(Run, error) bool) {
			good.Runs(func(r Run, _ error) bool { r.Records++; return yield(r, nil) })
		}},
		"unreadable":          {2, good.Bytes, func(yield func(Run, error) bool) { yield(Run{}, errTest) }},
		"too many for a dump": {1 << 32, 1 << 35, nil},
	} {
		for _, c := range []Content{{Number: 1, Storage: "a", Dump: s}, {Number: 1, Storage: "a", Overflow: s}} {
			if s.Runs == nil && c.Dump.Records == 0 {
				continue
			}
			dir := disktest.NewDir()
			err := Write(dir, []Content{{Number: 2, Storage: "b", Dump: good, Overflow: good}, c})
			if err == nil || !strings.Contains(err.Error(), "of a: ") {
				t.Errorf("%s: got %v, want an error that names the storage", name, err)
			}
			if left := dir.Names(); len(left) > 0 {
				t.Errorf("%s: there is still %v", name, left)
			}
			dir.Release()
		}
	}
}

// Some file systems tell of a full disk only then.
func TestAFileThatCannotBeClosedIsNotWritten(t *testing.T) {
	contents, _ := fewContents()
	for _, name := range []string{newDataName, newIndexName, temporaryDump(1)} {
		dir := newTestDir()
		dir.failing("close", name)
		if err := Write(dir, contents); !errors.Is(err, errTest) || len(dir.Names()) > 0 {
			t.Errorf("%s: got %v, and there is still %v", name, err, dir.Names())
		}
		dir.Release()
	}
}

func TestWriteReplacesWhatAnEarlierOneHasLeft(t *testing.T) {
	dir := newTestDir()
	t.Cleanup(dir.Release)
	for _, name := range []string{newDataName, newIndexName, temporaryDump(1)} {
		dir.Put(name, make([]byte, 1000))
	}
	want := map[string][]string{"a": {"x", "y"}}
	stop(t, dir.Dir, []Content{{Number: 1, Storage: "a", Dump: stream(want["a"][:1], 1), Overflow: stream(want["a"][1:], 1)}})
	_, got := mustRead(t, dir)
	checkContents(t, got, want)
}

func TestOnlyTemporaryFilesAreDiscarded(t *testing.T) {
	dir := newTestDir()
	t.Cleanup(dir.Release)
	for _, name := range []string{"dump-000001.dat", "dump-1234567.dat", newDataName, newIndexName} {
		dir.Put(name, nil)
	}
	kept := "a.rq dump-.dat dump-0000001.dat dump-000001.csv dump-00001x.dat dump-1.dat ofchannels.csv overflow.dat ring-000001.dat"
	for _, name := range strings.Fields(kept) {
		dir.Put(name, nil)
	}
	if err := Discard(dir); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(dir.Names(), " "); got != kept {
		t.Errorf("what is left is %s, want %s", got, kept)
	}
}

// randomContents makes queues with records of all sizes, in dump, overflow or both.
func randomContents(r *rand.Rand) (contents []Content, want map[string][]string) {
	want = make(map[string][]string)
	for i := range 1 + r.IntN(12) {
		var part [2][]string
		for p := range part {
			for range r.IntN(3) * r.IntN(40) {
				size := r.IntN(40)
				if r.IntN(30) == 0 {
					size = r.IntN(2 * largestBlock)
				}
				part[p] = append(part[p], strings.Repeat(string(rune('a'+r.IntN(26))), size))
			}
		}
		storage := fmt.Sprintf("c%d", i)
		if r.IntN(2) == 0 {
			storage = fmt.Sprintf("s%d@c%d", i, i)
		}
		all := append(append([]string(nil), part[0]...), part[1]...)
		if len(all) > 0 || strings.Contains(storage, "@") {
			want[storage] = all
		}
		perRun := 1 + r.IntN(20)
		contents = append(contents, Content{Number: uint64(i + 1), Storage: storage, Dump: stream(part[0], perRun), Overflow: stream(part[1], perRun)})
	}
	r.Shuffle(len(contents), func(i, j int) { contents[i], contents[j] = contents[j], contents[i] })
	return contents, want
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for seed := range uint64(100) {
		contents, want := randomContents(rand.New(rand.NewPCG(seed, 1)))
		dir := newTestDir()
		stop(t, dir.Dir, contents)
		d, got := mustRead(t, dir)
		checkContents(t, got, want)
		if len(d.Findings) > 0 || asideOf(d.Sources) != "" {
			t.Errorf("findings: %v", d.Findings)
		}
		var size uint64
		for _, content := range dir.state() {
			size += blocks(uint64(len(content)))
		}
		if need := Need(contents); need < size || need > size+diskBlock {
			t.Errorf("it needs %d bytes, and takes %d", need, size)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func fewContents() ([]Content, map[string][]string) {
	want := map[string][]string{"a": {"1", "2", "3"}, "s@b": {"4", "5"}, "@b": {}, "c": {"6"}}
	return []Content{
		{Number: 1, Storage: "a", Dump: stream(want["a"][:1], 1), Overflow: stream(want["a"][1:], 1)},
		{Number: 2, Storage: "s@b", Overflow: stream(want["s@b"], 2)},
		{Number: 3, Storage: "@b"},
		{Number: 4, Storage: "c", Dump: stream(want["c"], 1)},
	}, map[string][]string{"a": want["a"], "s@b": want["s@b"], "@b": nil, "c": want["c"]}
}

// A stop can be killed after any operation. As long as nothing has its name, Discard leaves an
// empty directory; after that, Commit goes on.
func TestAStopCanBeKilledAtAnyPoint(t *testing.T) {
	contents, want := fewContents()
	dir := newTestDir()
	t.Cleanup(dir.Release)
	for i, point := range dir.points(t, func() error { return Write(dir, contents) }) {
		d, got := mustRead(t, point)
		if len(got) > 0 || len(d.Findings) > 0 || len(d.Sources) > 0 {
			t.Errorf("killed after operation %d of writing: a start finds %q, %v", i, got, d.Findings)
		}
		if err := Discard(point); err != nil || len(point.Names()) > 0 {
			t.Errorf("killed after operation %d of writing: %v is left, %v", i, point.Names(), err)
		}
	}
	for i, point := range dir.points(t, func() error { return Commit(dir, contents) }) {
		if names := strings.Join(point.Names(), " "); strings.Contains(names, dataName) && !strings.Contains(names, indexName) {
			t.Errorf("killed after operation %d of renaming: without an index, a D node loses the overflow: %s", i, names)
		}
		if err := Commit(point, contents); err != nil {
			t.Errorf("killed after operation %d of renaming: %v", i, err)
		}
		d, got := mustRead(t, point)
		checkContents(t, got, want)
		if len(d.Findings) > 0 {
			t.Errorf("killed after operation %d of renaming: %v", i, d.Findings)
		}
	}
}

// Whatever operation fails, nothing is lost, and another try succeeds.
func TestEveryFaultOfAStartAndAStop(t *testing.T) {
	contents, want := fewContents()
	made := newTestDir()
	t.Cleanup(made.Release)
	stop(t, made.Dir, contents)
	for n := 0; ; n++ {
		dir := &testDir{Dir: made.Clone()}
		left, failed := n, ""
		dir.Before = func(c disktest.Call) error {
			if left--; left == -1 {
				failed = c.String()
				return errTest
			}
			return nil
		}
		if err := startAndStop(dir); err != nil && !errors.Is(err, errTest) {
			t.Fatalf("%s failed: %v", failed, err)
		}
		if failed == "" {
			dir.Release()
			return // there are no more operations
		}
		dir.Before = nil
		if err := errors.Join(Commit(dir, contents), Discard(dir)); err != nil {
			t.Fatal(err)
		}
		d, got := mustRead(t, dir)
		if !reflect.DeepEqual(got, want) || len(d.Findings) > 0 {
			t.Fatalf("%s failed: got %q, %v", failed, got, d.Findings)
		}
	}
}

// startAndStop reads a directory, writes all of it again, and lets the new files take the place
// of the old ones.
func startAndStop(dir *testDir) error {
	d, err := Read(dir, Left{})
	if err != nil {
		return err
	}
	var contents []Content
	for i, q := range d.Queues {
		contents = append(contents, Content{uint64(i + 1), q.Storage,
			Stream{q.Dump.Records, q.Dump.Bytes, q.Dump.Runs()}, Stream{q.Overflow.Records, q.Overflow.Bytes, q.Overflow.Runs()}})
	}
	if err = Write(dir, contents); err != nil {
		return errors.Join(err, Discard(dir))
	}
	for range 2 { // what fails is tried again
		if err = errors.Join(Finish(dir, d.Sources), Commit(dir, contents)); err == nil {
			return nil
		}
	}
	return err
}
