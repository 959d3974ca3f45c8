package dformat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// builder makes data files, as a D node would or worse.
type builder struct {
	data []byte
	last map[uint32]int // offset of the newest record by id
}

func newBuilder() *builder {
	return &builder{data: []byte(magic), last: make(map[uint32]int)}
}

// push appends a record and links it. It returns its offset.
func (b *builder) push(id uint32, payload string) int {
	if last, ok := b.last[id]; ok {
		b.link(last, len(b.data))
	}
	return b.pushNew(id, payload)
}

// pushNew appends the first record of a chain.
func (b *builder) pushNew(id uint32, payload string) int {
	at := len(b.data)
	b.last[id] = at
	h := make([]byte, headerSize)
	header{channel: id, length: uint64(len(payload))}.put(h)
	b.data = append(append(b.data, h...), payload...)
	return at
}

// raw appends any bytes and returns their offset.
func (b *builder) raw(text string) int {
	at := len(b.data)
	b.data = append(b.data, text...)
	return at
}

// link makes the record at one offset point to another.
func (b *builder) link(from, to int) {
	h, _ := parseHeader(b.data[from:], int64(len(b.data)-from))
	h.next = int64(to - from)
	h.put(b.data[from:])
}

// dir returns a directory with the data file and that index.
func (b *builder) dir(index string) *testDir {
	d := newTestDir()
	d.Put(dataName, b.data)
	d.Put(indexName, []byte(index))
	return d
}

// killed returns such a directory of a node that was killed long after it had written the
// index.
func (b *builder) killed(index string) *testDir {
	d := b.dir(index)
	d.old = indexName
	return d
}

// line returns a line of an index.
func line(name string, records, bytes, first, last int) string {
	return fmt.Sprintf("%s %d %d %d %d\n", name, records, bytes, first, last)
}

// garbageBytes returns n bytes that are no header wherever one looks.
func garbageBytes(n int) string { return strings.Repeat("\xa5\x5a\xff", n)[:n] }

// testDir is a directory of which one file may be a minute older than it is.
type testDir struct {
	*disktest.Dir
	old string
}

func newTestDir() *testDir { return &testDir{Dir: disktest.NewDir()} }

func (d *testDir) Stat(name string) (fs.FileInfo, error) {
	info, err := d.Dir.Stat(name)
	if err == nil && name == d.old {
		info = aged{info}
	}
	return info, err
}

var errTest = errors.New("a fault of a test")

// failing makes one operation fail, with one file.
func (d *testDir) failing(op, file string) {
	d.Before = func(c disktest.Call) error {
		if c.Op == op && c.Name == file {
			return errTest
		}
		return nil
	}
}

type aged struct{ fs.FileInfo }

func (a aged) ModTime() time.Time { return a.FileInfo.ModTime().Add(-time.Minute) }

// state is the contents of all files.
func (d *testDir) state() map[string]string {
	files := make(map[string]string)
	for _, name := range d.Names() {
		content, _ := d.Content(name)
		files[name] = string(content)
	}
	return files
}

// points returns the directory as it is before, and after each change that do makes.
func (d *testDir) points(t *testing.T, do func() error) []*testDir {
	t.Helper()
	points := []*testDir{{d.Clone(), d.old}}
	d.After = func(c disktest.Call) {
		if c.Changes {
			points = append(points, &testDir{d.Clone(), d.old})
		}
	}
	err := do()
	d.After = nil
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range points {
			p.Release()
		}
	})
	return points
}

// mustRead reads a directory and all that is in it. The directory is released at the end.
func mustRead(t *testing.T, dir *testDir) (*Directory, map[string][]string) {
	t.Helper()
	t.Cleanup(dir.Release)
	d, err := Read(dir, Left{})
	if err != nil {
		t.Fatal(err)
	}
	return d, contentsOf(t, d)
}

// contentsOf reads all records by storage, and checks what is said about them.
func contentsOf(t *testing.T, d *Directory) map[string][]string {
	t.Helper()
	contents := make(map[string][]string)
	for _, q := range d.Queues {
		records := append(recordsOf(t, &q.Dump), recordsOf(t, &q.Overflow)...)
		contents[q.Storage] = records
	}
	return contents
}

func recordsOf(t *testing.T, p *Part) (records []string) {
	t.Helper()
	size := 0
	for run, err := range p.Runs() {
		if err != nil {
			t.Fatal(err)
		}
		if run.Records == 0 || len(run.Bytes) > RunSize && run.Records > 1 {
			t.Errorf("a run of %d records, %d bytes", run.Records, len(run.Bytes))
		}
		size += len(run.Bytes)
		n := 0
		for rest := run.Bytes; len(rest) > 0; n++ {
			length := binary.LittleEndian.Uint64(rest)
			records = append(records, string(rest[8:8+length]))
			rest = rest[8+length:]
		}
		if n != run.Records {
			t.Errorf("a run of %d records says it has %d", n, run.Records)
		}
	}
	if p.Records != uint64(len(records)) || p.Bytes != uint64(size) {
		t.Errorf("%d records of %d bytes were said to be there, but there are %d of %d", p.Records, p.Bytes, len(records), size)
	}
	return records
}

func checkContents(t *testing.T, got, want map[string][]string) {
	t.Helper()
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("contents:\n got %.300q\nwant %.300q", got, want)
	}
}

func asideOf(sources []Source) string {
	var names []string
	for _, s := range sources {
		if s.Aside != "" {
			names = append(names, s.Aside)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// checkFinished checks that of the files that were there before, those that were sources are
// gone, or have the name that they should, and all others are as they were.
func checkFinished(t *testing.T, dir *testDir, before map[string]string, sources []Source) {
	t.Helper()
	want := make(map[string]string)
	for name, content := range before {
		want[name] = content
	}
	for _, s := range sources {
		delete(want, s.Name)
		if s.Aside != "" {
			want[s.Aside] = before[s.Name]
		}
	}
	if got := dir.state(); !reflect.DeepEqual(got, want) {
		t.Errorf("files:\n got %.300q\nwant %.300q", got, want)
	}
}

// restart leaves contents in a directory, all of it in the overflow, as a clean stop does. A
// start must find the same, and nothing to complain about.
func restart(t *testing.T, dir *disktest.Dir, contents map[string][]string) {
	t.Helper()
	var left []Content
	for i, storage := range sortedKeys(contents) {
		left = append(left, Content{Number: uint64(i + 1), Storage: storage, Overflow: stream(contents[storage], 3)})
	}
	stop(t, dir, left)
	again, got := mustRead(t, &testDir{Dir: dir})
	checkContents(t, got, contents)
	if len(again.Findings) > 0 {
		t.Errorf("after a clean stop: %v", again.Findings)
	}
}

func stop(t *testing.T, dir *disktest.Dir, contents []Content) {
	t.Helper()
	if err := Write(dir, contents); err != nil {
		t.Fatal(err)
	}
	if err := Commit(dir, contents); err != nil {
		t.Fatal(err)
	}
}

// stream is records, so many in each run.
func stream(records []string, perRun int) Stream {
	s := Stream{Records: uint64(len(records))}
	var runs []Run
	for i, r := range records {
		if i%perRun == 0 {
			runs = append(runs, Run{})
		}
		run := &runs[len(runs)-1]
		run.Bytes = append(binary.LittleEndian.AppendUint64(run.Bytes, uint64(len(r))), r...)
		run.Records++
		s.Bytes += 8 + uint64(len(r))
	}
	s.Runs = func(yield func(Run, error) bool) {
		for _, r := range runs {
			if !yield(r, nil) {
				return
			}
		}
	}
	var _ iter.Seq2[Run, error] = s.Runs
	return s
}

func sortedKeys(m map[string][]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

const fixtures = "../../../docs/spec/fixtures"

// fixture is a copy of a directory that the original has left.
func fixture(t *testing.T, name string) *testDir {
	t.Helper()
	d := newTestDir()
	entries, err := os.ReadDir(filepath.Join(fixtures, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(fixtures, name, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		d.Put(e.Name(), bytes.Clone(content))
	}
	return d
}
