package overflow

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// mostFuzzed bounds the size of the files.
const mostFuzzed = 1 << 15

// addFixtures adds the files of the fixtures and scenarios to a corpus.
func addFixtures(f *testing.F, add func(data, index []byte)) {
	for _, fixture := range fixtures {
		var files [2][]byte
		for i, name := range []string{dataName, indexName} {
			b, err := os.ReadFile(filepath.Join("testdata", fixture.dir, name))
			if err != nil {
				f.Fatal(err)
			}
			files[i] = b
		}
		add(files[0], files[1])
	}
	for _, s := range scenarios {
		dir := s.make()
		if data, index := dir.files[dataName], dir.files[indexName]; data != nil && index != nil {
			add(data.data, index.data)
		}
	}
}

// FuzzRecover starts with any files. There must be no fault in them that Recover doesn't
// cope with: what it returns can be read to the end, and survives a clean stop.
func FuzzRecover(f *testing.F) {
	addFixtures(f, func(data, index []byte) { f.Add(data, index, false) })
	f.Fuzz(func(t *testing.T, data, index []byte, old bool) {
		if len(data)+len(index) > mostFuzzed {
			t.Skip()
		}
		dir := newMemDir()
		dir.capacity = 4 * mostFuzzed
		dir.put(dataName, data, time.Now())
		age := time.Duration(0)
		if old {
			age = time.Hour
		}
		dir.put(indexName, index, time.Now().Add(-age))
		if _, err := Check(dir.clone(), Global{}, nil); err != nil {
			t.Fatalf("Check: %v", err)
		}
		entries, err := Recover(dir, silent)
		if err != nil {
			t.Fatalf("Recover: %v", err)
		}
		want := make(map[string][]string)
		for i := range 2 {
			copied := dir.clone()
			_, queues, err := publishedEntries(entries).open(copied, silent)
			if err != nil {
				t.Fatalf("open: %v", err)
			}
			for _, e := range entries {
				records := mustDrain(t, queues[e.Name])
				if uint64(len(records)) != e.Records {
					t.Fatalf("%s has %d records, want %d", e.Name, len(records), e.Records)
				}
				if i == 0 {
					want[e.Name] = records
				} else if len(records) != len(want[e.Name]) {
					t.Fatalf("%s has %d records after a clean stop, %d before", e.Name, len(records), len(want[e.Name]))
				}
			}
			stopped, _, err := publishedEntries(entries).open(dir, silent)
			if err != nil {
				t.Fatal(err)
			}
			if err := stopped.Close(); err != nil {
				t.Fatal(err)
			}
			if entries, err = Recover(dir, silent); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzTake attaches a State to any file. Taking must come to an end, and what is pushed
// then must come back.
func FuzzTake(f *testing.F) {
	addFixtures(f, func(data, index []byte) {
		f.Add(data, uint32(1), int64(8), int64(45), uint64(2), uint64(11))
		f.Add(data, uint32(2), int64(56), int64(651), uint64(4), uint64(57))
		if len(data) > 187 {
			marked := bytes.Clone(data)
			putMark(marked[118+markOffset:], 2)
			f.Add(marked, uint32(2), int64(56), int64(651), uint64(4), uint64(57))
			putMark(marked[118+markOffset:], 200)
			f.Add(marked, uint32(2), int64(56), int64(651), uint64(4), uint64(57))
		}
	})
	f.Fuzz(func(t *testing.T, data []byte, id uint32, first, last int64, records, size uint64) {
		if len(data) > mostFuzzed {
			t.Skip()
		}
		dir := newMemDir()
		dir.capacity = 4 * mostFuzzed
		dir.put(dataName, data, time.Now())
		owner := newPublished()
		owner.states["q"] = State{id, first, last, records, size}
		if _, err := Check(dir.clone(), Global{}, owner.entries()); err != nil {
			t.Fatalf("Check: %v", err)
		}
		_, queues, err := owner.open(dir, silent)
		if err != nil {
			return
		}
		q := queues["q"]
		mustDrain(t, q)
		for _, want := range []string{"one", "two"} {
			if err := q.Push([]byte(want)); err != nil {
				t.Fatal(err)
			}
		}
		if got := mustDrain(t, q); len(got) != 2 || got[0] != "one" || got[1] != "two" {
			t.Fatalf("pushed one, two, got %q", got)
		}
	})
}
