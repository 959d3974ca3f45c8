package overflow

import (
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
		}, []string{"has no chain of records from the first offset to the last"}},
		{"no data file", func(dir *memDir, _ *published, _ []int) { delete(dir.files, dataName) },
			[]string{"storage other: none of its 2 records is in overflow.dat", "storage q: none of its 3 records"}},
		{"a head truncation of another file", func(_ *memDir, owner *published, _ []int) {
			owner.global = Global{Cut: 5, CutSize: 10}
		}, []string{"size of the file was changed"}},
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
	}
}
