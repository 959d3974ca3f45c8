package overflow

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestCheckAgreesWithRecoverAndChangesNothing(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			dir := s.make()
			dir.after = func() { t.Error("Check has changed something") }
			report, err := Check(dir, Global{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if clean := s.aside == "" && s.warnings == nil; (len(report.Faults) == 0) != clean {
				t.Errorf("faults %q, want none: %t", report.Faults, clean)
			}
			live := make(map[string]int)
			for _, e := range report.Live {
				live[e.Name] = int(e.Records)
			}
			want := make(map[string]int)
			for name, records := range s.contents {
				want[name] = len(records)
			}
			if !reflect.DeepEqual(live, want) {
				t.Errorf("live records %v, want %v", live, want)
			}
		})
	}
}

func TestCheckOfStates(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(dir *memDir, owner *published, at []int)
		faults []string
	}{
		{"intact", func(*memDir, *published, []int) {}, nil},
		{"newer records than published", func(_ *memDir, owner *published, at []int) {
			owner.states["q"] = State{1, int64(at[0]), int64(at[1]), 2, 6}
		}, nil},
		{"some consumed", func(_ *memDir, owner *published, at []int) {
			owner.states["q"] = State{1, int64(at[1]), int64(at[2]), 2, 8}
		}, nil},
		{"wrong counters", func(_ *memDir, owner *published, at []int) {
			owner.states["q"] = State{1, int64(at[0]), int64(at[2]), 7, 11}
		}, []string{"storage q (7 records, 11 bytes, offsets 45 to 115) has 3 records of 11 bytes there"}},
		{"a damaged record", func(dir *memDir, _ *published, at []int) {
			copy(dir.files[dataName].data[at[1]:], garbageBytes(32))
		}, []string{"has 2 records of 8 bytes there"}},
		{"a damaged newest record", func(dir *memDir, _ *published, at []int) {
			copy(dir.files[dataName].data[at[2]:], garbageBytes(32))
		}, []string{"has no record at its last offset", "37 bytes of overflow.dat are no records", "storage q has 2 records of 6 bytes"}},
		{"a damaged oldest record", func(dir *memDir, _ *published, at []int) {
			dir.files[dataName].data[at[0]+16] ^= 1
		}, []string{"has 2 records of 8 bytes there"}},
		{"a link that is missing", func(dir *memDir, _ *published, at []int) {
			header{1, 0, 3}.put(dir.files[dataName].data[at[1]:])
		}, []string{"has 2 records of 8 bytes there"}},
		{"a link that is half-written", func(dir *memDir, _ *published, at []int) {
			dir.files[dataName].data[at[2]+8] = 40
		}, nil},
		{"a record that is marked as delivered", func(dir *memDir, _ *published, at []int) {
			putMark(dir.files[dataName].data[at[1]+markOffset:], 1)
		}, nil},
		{"a record that is marked as delivered, and a damaged newest record", func(dir *memDir, _ *published, at []int) {
			putMark(dir.files[dataName].data[at[1]+markOffset:], 1)
			copy(dir.files[dataName].data[at[2]:], garbageBytes(32))
		}, []string{"has no record at its last offset", "37 bytes of overflow.dat are no records", "storage q has 2 records of 6 bytes"}},
		{"newer records than published, and a damaged newest record of another storage", func(dir *memDir, owner *published, at []int) {
			owner.states["q"] = State{1, int64(at[0]), int64(at[1]), 2, 6}
			dir.files[dataName].data[owner.states["other"].Last+16] ^= 1
		}, []string{"storage other (2 records, 12 bytes, offsets 8 to 152) has no record at its last offset",
			"39 bytes of overflow.dat are no records", "storage other has 1 records"}},
		{"no data file", func(dir *memDir, _ *published, _ []int) { delete(dir.files, dataName) },
			[]string{"storage other: none of its 2 records is in overflow.dat", "storage q: none of its 3 records"}},
		{"a head truncation of another file", func(_ *memDir, owner *published, _ []int) {
			owner.global = Global{Cut: 5, CutSize: 10}
		}, []string{"size of the file was changed", "records of 2 storages whose names are unknown", "ofchannels.csv is empty"}},
		{"an interrupted recovery", func(dir *memDir, _ *published, _ []int) {
			dir.files[rebuilt.data] = dir.files[indexName]
		}, []string{"the next start finishes it"}},
	} {
		dir, owner, at := chainOf("one", "two", "three")
		c.change(dir, owner, at)
		report, err := Check(dir, owner.global, owner.entries())
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if len(report.Faults) != len(c.faults) {
			t.Errorf("%s: faults %q, want %q", c.name, report.Faults, c.faults)
			continue
		}
		for i, want := range c.faults {
			if !strings.Contains(report.Faults[i], want) {
				t.Errorf("%s: fault %q, want …%s", c.name, report.Faults[i], want)
			}
		}
		want := make(map[string]int)
		for name, records := range delivered(t, dir.clone(), owner) {
			want[name] = len(records)
		}
		live := make(map[string]int)
		for _, e := range report.Live {
			live[e.Name] = int(e.Records)
		}
		if !reflect.DeepEqual(live, want) {
			t.Errorf("%s: the records are %v, a start delivers %v", c.name, live, want)
		}
	}
}

// delivered starts with States, as an owner does, and returns what is in the queues then.
func delivered(t *testing.T, dir *memDir, owner *published) map[string][]string {
	t.Helper()
	f, err := open(dir, fileNames{dataName, indexName}, silent, owner.global, func(Global) {})
	if err == nil {
		queues := make(map[string]*Queue)
		var attached, lost []Entry
		for _, e := range owner.entries() {
			q, err := f.Attach(e.Name, e.State)
			if err != nil {
				lost = append(lost, e)
				continue
			}
			queues[e.Name] = q
			attached = append(attached, Entry{e.Name, q.State()})
		}
		if lost == nil {
			return drainAll(t, queues)
		}
		if err := f.Leave(append(attached, lost...)); err != nil {
			t.Fatal(err)
		}
	} else if !errors.Is(err, ErrResized) {
		t.Fatal(err)
	}
	entries, err := Recover(dir, silent)
	if err != nil {
		t.Fatal(err)
	}
	_, queues := publishedEntries(entries).mustOpen(t, dir)
	return drainAll(t, queues)
}
