// Package datadir reads and writes data directories. It is written from the storage specification
// alone and shares no code with the node.
package datadir

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

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Fixtures holds the data directories of storage spec §8, seen from a package of tests.
const Fixtures = "../../docs/spec/fixtures"

// UseFixture makes the data directory of a node that has not been started yet a copy of one
// of the specification's.
func UseFixture(t *testing.T, node *nodetest.Node, name string) {
	t.Helper()
	if err := os.CopyFS(node.Path("data"), os.DirFS(filepath.Join(Fixtures, name))); err != nil {
		t.Fatal(err)
	}
}

// FilesOf returns the names and the contents of the files in a directory.
func FilesOf(t *testing.T, dir string) map[string]string {
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

// NamesOf returns the names of the files in a directory, sorted.
func NamesOf(t *testing.T, dir string) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(FilesOf(t, dir)))
}

// DiskSpace is how many bytes of the disk the files of that pattern take.
func DiskSpace(t *testing.T, dir, pattern string) (size int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	nodetest.Must(t, err)
	for _, name := range names {
		var s unix.Stat_t
		if err := unix.Stat(name, &s); err == nil { // else it was deleted just then
			size += s.Blocks * 512
		}
	}
	return size
}

// WantSameFiles requires a directory to hold the same files as before.
func WantSameFiles(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	after := FilesOf(t, dir)
	for name, content := range before {
		if got, there := after[name]; !there {
			t.Errorf("%s is gone", name)
		} else if got != content {
			t.Errorf("%s has changed: %s, before %s", name, clients.Excerpt(got), clients.Excerpt(content))
		}
	}
	for name := range after {
		if _, there := before[name]; !there {
			t.Errorf("%s is new", name)
		}
	}
}

// Saved is what a clean stop has left of a storage.
type Saved struct {
	Memory []string // records of the dump
	Disk   []string // records of the overflow
}

func (s Saved) All() []string { return append(slices.Clone(s.Memory), s.Disk...) }

// ReadStopped reads a data directory that a clean stop has left, by storage. Everything that
// storage spec §9 does not allow is an error, also a dump larger than the limit of its ring.
func ReadStopped(dir string, limit func(channel string) int) (map[string]Saved, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	storages := make(map[string]Saved)
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
			storages[storage] = Saved{Memory: records}
		}
	}
	chains, err := readOverflow(data, index)
	if err != nil {
		return nil, err
	}
	for storage, records := range chains {
		storages[storage] = Saved{storages[storage].Memory, records}
	}
	return storages, wantNoMix(storages)
}

// storageName is what a storage can be called: storage spec §2.4.
var storageName = regexp.MustCompile(`^([A-Za-z0-9_-]*@)?[A-Za-z0-9_-]+$`)

// wantNoMix requires that no channel has both a plain storage and subscribers (storage spec §2.5).
func wantNoMix(storages map[string]Saved) error {
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

// DumpOf returns the dump of some records, storage spec §2.1.
func DumpOf(records ...string) string {
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
	Channel uint32
	Next    int64
	Payload string
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
	records, err := ReadOverflow(data)
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
		id := records[first].Channel
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

// ReadOverflow reads all records of overflow.dat, whoever they belong to, by offset.
// They must reach to its end.
func ReadOverflow(data []byte) (map[int64]overflowRecord, error) {
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
			Channel: binary.LittleEndian.Uint32(b),
			Next:    int64(binary.LittleEndian.Uint64(b[8:])),
			Payload: string(b[32 : 32+length]),
		}
		at += 32 + int(length)
	}
	return records, nil
}

// readChain follows the links from an offset on to the newest record.
func readChain(records map[int64]overflowRecord, first int64) (chain []string, last int64, err error) {
	id := records[first].Channel
	for at := first; ; {
		r, there := records[at]
		if !there || r.Channel != id || id == 0 || r.Next < 0 {
			return nil, 0, fmt.Errorf("record %d of the chain: nothing of id %d at offset %d", len(chain), id, at)
		}
		chain = append(chain, r.Payload)
		if r.Next == 0 {
			return chain, at, nil
		}
		at += r.Next
	}
}

// AnySize is no limit for ReadStopped.
func AnySize(string) int { return 1 << 40 }

// WantStopped requires a data directory to hold exactly these records, by storage, in the
// order in which they will be read.
func WantStopped(t *testing.T, dir string, want map[string][]string) {
	t.Helper()
	got, err := ReadStopped(dir, AnySize)
	if err != nil {
		t.Fatal(err)
	}
	for storage, records := range want {
		if s, there := got[storage]; !there || !slices.Equal(s.All(), records) {
			t.Errorf("storage %s: got %s (saved: %t), want %s", storage, clients.Excerpts(s.All()), there, clients.Excerpts(records))
		}
	}
	for storage := range got {
		if _, there := want[storage]; !there {
			t.Errorf("storage %s is saved with %s, want nothing of it", storage, clients.Excerpts(got[storage].All()))
		}
	}
}

// WantFailedStart starts a node that can't, for a reason that its console has to tell, and
// requires its data directory to stay as it was.
func WantFailedStart(t *testing.T, node *nodetest.Node, reason ...string) {
	t.Helper()
	before := FilesOf(t, node.Path("data"))
	node.Launch()
	if status := node.Wait(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	for _, text := range reason {
		if !strings.Contains(node.Console(), text) {
			t.Errorf("the console does not mention %q:\n%s", text, node.Console())
		}
	}
	WantSameFiles(t, node.Path("data"), before)
}
