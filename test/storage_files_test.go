package test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// This file reads and writes data directories. It is written from the storage
// specification alone and shares no code with the node. In the tests of storage, § is a
// section of that specification.

// fixtures holds the data directories of storage spec §8.
const fixtures = "../docs/spec/fixtures"

// useFixture makes the data directory of a node that has not been started yet a copy of one
// of the specification's.
func useFixture(t *testing.T, node *nodetest.Node, name string) {
	t.Helper()
	if err := os.CopyFS(node.Path("data"), os.DirFS(filepath.Join(fixtures, name))); err != nil {
		t.Fatal(err)
	}
}

// filesOf returns the names and the contents of the files in a directory.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(content)
	}
	return files
}

// namesOf returns the names of the files in a directory, sorted.
func namesOf(t *testing.T, dir string) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(filesOf(t, dir)))
}

// diskSpace is how many bytes of the disk the files of that pattern take.
func diskSpace(t *testing.T, dir, pattern string) (size int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	must(t, err)
	for _, name := range names {
		var s unix.Stat_t
		if err := unix.Stat(name, &s); err == nil { // else it was deleted just then
			size += s.Blocks * 512
		}
	}
	return size
}

// wantSameFiles requires a directory to hold the same files as before.
func wantSameFiles(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	after := filesOf(t, dir)
	for name, content := range before {
		if got, there := after[name]; !there {
			t.Errorf("%s is gone", name)
		} else if got != content {
			t.Errorf("%s has changed: %s, before %s", name, excerpt(got), excerpt(content))
		}
	}
	for name := range after {
		if _, there := before[name]; !there {
			t.Errorf("%s is new", name)
		}
	}
}

// saved is what a clean stop has left of a storage.
type saved struct {
	memory []string // records of the dump
	disk   []string // records of the overflow
}

func (s saved) all() []string { return append(slices.Clone(s.memory), s.disk...) }

// readStopped reads a data directory that a clean stop has left, by storage. Everything that
// storage spec §9 does not allow is an error, also a dump larger than the limit of its ring.
func readStopped(dir string, limit func(channel string) int) (map[string]saved, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	storages := make(map[string]saved)
	var data, index []byte
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		storage, isDump := strings.CutSuffix(e.Name(), ".rq")
		switch {
		case strings.HasPrefix(e.Name(), "falloctest_"): // a start was killed just then: storage spec §3.8
		case e.Name() == "overflow.dat":
			data = content
		case e.Name() == "ofchannels.csv":
			index = content
		case !isDump || !storageName.MatchString(storage):
			return nil, fmt.Errorf("%s: want only dumps, overflow.dat and ofchannels.csv", e.Name())
		default:
			channel := storage[strings.LastIndexByte(storage, '@')+1:]
			records, err := readDump(content, limit(channel))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", e.Name(), err)
			}
			storages[storage] = saved{memory: records}
		}
	}
	chains, err := readOverflow(data, index)
	if err != nil {
		return nil, err
	}
	for storage, records := range chains {
		storages[storage] = saved{storages[storage].memory, records}
	}
	return storages, wantNoMix(storages)
}

// storageName is what a storage can be called: storage spec §2.4.
var storageName = regexp.MustCompile(`^([A-Za-z0-9_-]*@)?[A-Za-z0-9_-]+$`)

// wantNoMix requires that no channel has both a plain storage and subscribers (storage spec §2.5).
func wantNoMix(storages map[string]saved) error {
	for storage := range storages {
		if _, channel, subscribed := strings.Cut(storage, "@"); subscribed {
			if _, plain := storages[channel]; plain {
				return fmt.Errorf("channel %s is saved both with and without subscribers", channel)
			}
		}
	}
	return nil
}

// readDump reads a dump by the rules of storage spec §2.6; nothing may lie behind its records.
func readDump(content []byte, limit int) (records []string, err error) {
	if len(content) < 12 {
		return nil, fmt.Errorf("it has %d bytes, want at least the header", len(content))
	}
	count, size := binary.LittleEndian.Uint32(content), binary.LittleEndian.Uint64(content[4:])
	b := content[12:]
	switch {
	case size != uint64(len(b)):
		return nil, fmt.Errorf("the header tells %d bytes of records, but %d follow", size, len(b))
	case len(b) > limit:
		return nil, fmt.Errorf("%d bytes of records, want at most the %d of the ring", len(b), limit)
	}
	for len(b) > 0 {
		if len(b) < 8 || binary.LittleEndian.Uint64(b) > uint64(len(b)-8) {
			return nil, fmt.Errorf("record %d is not whole", len(records))
		}
		end := 8 + binary.LittleEndian.Uint64(b)
		records = append(records, string(b[8:end]))
		b = b[end:]
	}
	if uint32(len(records)) != count {
		return nil, fmt.Errorf("the header tells %d records, but there are %d", count, len(records))
	}
	return records, nil
}

// dumpOf returns the dump of some records, storage spec §2.1.
func dumpOf(records ...string) string {
	var b []byte
	for _, r := range records {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(r)))
		b = append(b, r...)
	}
	header := binary.LittleEndian.AppendUint32(nil, uint32(len(records)))
	header = binary.LittleEndian.AppendUint64(header, uint64(len(b)))
	return string(append(header, b...))
}

// overflowRecord is a record of overflow.dat with its header, storage spec §3.3.
type overflowRecord struct {
	channel uint32
	next    int64
	payload string
}

// readOverflow reads the records of each storage in the index, which must match the data
// file exactly.
func readOverflow(data, index []byte) (map[string][]string, error) {
	if len(data) == 0 && len(index) == 0 {
		return nil, nil
	}
	if len(data) == 0 || len(index) == 0 {
		return nil, fmt.Errorf("overflow.dat has %d bytes and ofchannels.csv %d, want both or none", len(data), len(index))
	}
	records, err := readOverflowRecords(data)
	if err != nil {
		return nil, err
	}
	chains := make(map[string][]string)
	ids, firsts := make(map[uint32]bool), make(map[int64]bool)
	for _, line := range strings.Split(strings.TrimSuffix(string(index), "\n"), "\n") {
		var name string
		var count, size, first, last int64
		n, err := fmt.Sscanf(line, "%s %d %d %d %d", &name, &count, &size, &first, &last)
		if err != nil || n != 5 || line != fmt.Sprintf("%s %d %d %d %d", name, count, size, first, last) {
			return nil, fmt.Errorf("ofchannels.csv: line %q", line)
		}
		chain, end, err := readChain(records, first)
		if err != nil {
			return nil, fmt.Errorf("ofchannels.csv: line %q: %w", line, err)
		}
		id := records[first].channel
		if !storageName.MatchString(name) || chains[name] != nil || ids[id] || firsts[first] {
			return nil, fmt.Errorf("ofchannels.csv: line %q: a bad or repeated name, or the id %d or offset of another", line, id)
		}
		if int64(len(chain)) != count || int64(len(strings.Join(chain, ""))) != size || end != last {
			return nil, fmt.Errorf("ofchannels.csv: line %q, but the chain has %d records of %d bytes and ends at %d",
				line, len(chain), len(strings.Join(chain, "")), end)
		}
		chains[name], ids[id], firsts[first] = chain, true, true
	}
	return chains, nil
}

// readOverflowRecords reads all records of overflow.dat, whoever they belong to, by offset.
// They must reach to its end.
func readOverflowRecords(data []byte) (map[int64]overflowRecord, error) {
	if !bytes.HasPrefix(data, []byte("QDSKOF01")) {
		return nil, fmt.Errorf("overflow.dat begins with % x", data[:min(8, len(data))])
	}
	records := make(map[int64]overflowRecord)
	for at := 8; at < len(data); {
		b := data[at:]
		if len(b) < 32 {
			return nil, fmt.Errorf("overflow.dat: %d bytes at its end are no record", len(b))
		}
		parity := b[16]
		for _, field := range [][]byte{b[0:4], b[8:16], b[24:32]} { // channel, next, length
			for _, x := range field {
				parity ^= x
			}
		}
		length := binary.LittleEndian.Uint64(b[24:])
		if parity != 0 || length > uint64(len(b)-32) {
			return nil, fmt.Errorf("overflow.dat: no record at offset %d: % x", at, b[:32])
		}
		records[int64(at)] = overflowRecord{
			channel: binary.LittleEndian.Uint32(b),
			next:    int64(binary.LittleEndian.Uint64(b[8:])),
			payload: string(b[32 : 32+length]),
		}
		at += 32 + int(length)
	}
	return records, nil
}

// readChain follows the links from an offset on to the newest record.
func readChain(records map[int64]overflowRecord, first int64) (chain []string, last int64, err error) {
	id := records[first].channel
	for at := first; ; {
		r, there := records[at]
		if !there || r.channel != id || id == 0 || r.next < 0 {
			return nil, 0, fmt.Errorf("record %d of the chain: nothing of id %d at offset %d", len(chain), id, at)
		}
		chain = append(chain, r.payload)
		if r.next == 0 {
			return chain, at, nil
		}
		at += r.next
	}
}

// anySize is no limit for readStopped.
func anySize(string) int { return 1 << 40 }

// wantStopped requires a data directory to hold exactly these records, by storage, in the
// order in which they will be read.
func wantStopped(t *testing.T, dir string, want map[string][]string) {
	t.Helper()
	got, err := readStopped(dir, anySize)
	if err != nil {
		t.Fatal(err)
	}
	for storage, records := range want {
		if s, there := got[storage]; !there || !slices.Equal(s.all(), records) {
			t.Errorf("storage %s: got %s (saved: %t), want %s", storage, excerpts(s.all()), there, excerpts(records))
		}
	}
	for storage := range got {
		if _, there := want[storage]; !there {
			t.Errorf("storage %s is saved with %s, want nothing of it", storage, excerpts(got[storage].all()))
		}
	}
}

// The reader must find what it is there for, else the tests that rely on it prove nothing.
func TestReaderOfStoppedDirectories(t *testing.T) {
	good := filesOf(t, filepath.Join(fixtures, "interleaved"))
	write := func(t *testing.T, change func(files map[string]string)) error {
		files := maps.Clone(good)
		change(files)
		dir := t.TempDir()
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, err := readStopped(dir, func(string) int { return 64 })
		return err
	}
	set := func(name string, at int, to string) func(map[string]string) {
		return func(files map[string]string) {
			files[name] = files[name][:at] + to + files[name][min(len(files[name]), at+len(to)):]
		}
	}
	cut := func(name string, by int) func(map[string]string) {
		return func(files map[string]string) { files[name] = files[name][:len(files[name])-by] }
	}
	replace := func(name, old, with string) func(map[string]string) {
		return func(files map[string]string) { files[name] = strings.Replace(files[name], old, with, 1) }
	}
	if err := write(t, func(map[string]string) {}); err != nil {
		t.Errorf("the fixture itself: %v", err)
	}
	for name, change := range map[string]func(map[string]string){
		"another file":           set("ring-000001.dat", 0, "x"),
		"an invalid name":        set("a.b.rq", 0, dumpOf()),
		"a mixed channel":        set("events.rq", 0, dumpOf("x")),
		"a dump beyond its ring": set("big.rq", 0, dumpOf(strings.Repeat("x", 57))),
		"a wrong record count":   set("logs.rq", 0, "\x04"),
		"a cut dump":             cut("logs.rq", 1),
		"a cut overflow":         cut("overflow.dat", 1),
		"a wrong parity":         set("overflow.dat", 56+16, "\x00"),
		"no index":               func(files map[string]string) { delete(files, "ofchannels.csv") },
		"a missing index line":   set("ofchannels.csv", 0, "\n"),
		"wrong records":          replace("ofchannels.csv", "logs 4", "logs 3"),
		"wrong bytes":            replace("ofchannels.csv", " 57 ", " 58 "),
		"a wrong first":          replace("ofchannels.csv", " 56 ", " 118 "),
		"a wrong last":           replace("ofchannels.csv", " 651", " 150"),
		"an index entry twice":   replace("ofchannels.csv", "new-chan 1 70 705 705", "other 1 70 705 705\nnew-chan 1 70 705 705"),
	} {
		if err := write(t, change); err == nil {
			t.Errorf("%s: the reader finds no fault", name)
		}
	}
}
