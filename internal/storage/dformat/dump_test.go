package dformat

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// dumpDir is a directory with one dump.
func dumpDir(name string, content []byte) *testDir {
	d := newTestDir()
	d.Put(name, content)
	return d
}

func bytesOf(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The rules are the rows of storage spec §2.6, of which L2 is not this package's.
func TestDumpsAreReadAsFarAsTheyProve(t *testing.T) {
	const (
		a  = "0100000000000000 61 "
		bc = "0200000000000000 6263 "
	)
	for _, c := range []struct {
		rule   string
		file   string
		want   []string // records
		offset int64
		reason string // "" = intact
	}{
		{"L1: an empty file", "",
			nil, 0, "it has 0 bytes, and its header takes 12"},
		{"L1: not even the number of records", "010000",
			nil, 0, "it has 3 bytes, and its header takes 12"},
		{"L1: no size", "01000000",
			nil, 0, "it has 4 bytes, and its header takes 12"},
		{"L1: half a size", "01000000 12000000000000",
			nil, 0, "it has 11 bytes, and its header takes 12"},
		{"L3: nothing behind the header", "01000000 0900000000000000",
			nil, 12, "the file ends 9 bytes too early"},
		{"L3: the last payload is cut off", "02000000 1300000000000000" + a + "0200000000000000 62",
			[]string{"a"}, 21, "the file ends 1 bytes too early"},
		{"L3: the last length is cut off", "02000000 1300000000000000" + a + "02000000000000",
			[]string{"a"}, 21, "the file ends 3 bytes too early"},
		{"L3: whole records only, but not all", "02000000 1300000000000000" + a,
			[]string{"a"}, 21, "the file ends 10 bytes too early"},
		{"L3: all records, but not all bytes", "01000000 ffffffffffffffff" + a,
			[]string{"a"}, 21, "18446744073709551606 bytes are left over behind the last record"},
		{"L4: no record, but bytes", "00000000 0900000000000000" + a,
			nil, 12, "9 bytes are left over behind the last record"},
		{"L4: no record, but bytes, which are missing", "00000000 0900000000000000",
			nil, 12, "9 bytes are left over behind the last record"},
		{"L5: records without bytes", "01000000 0000000000000000" + a,
			nil, 12, "0 bytes are too few for the length of the next record"},
		{"L5: fewer bytes than lengths take", "03000000 1300000000000000" + a + bc,
			[]string{"a", "bc"}, 31, "0 bytes are too few for the length of the next record"},
		{"L5: all records, the most that are possible", "ffffffff 0800000000000000 0000000000000000",
			[]string{""}, 20, "0 bytes are too few for the length of the next record"},
		{"L6: a length beyond the end", "02000000 1000000000000000" + a + bc,
			[]string{"a"}, 21, "7 bytes are too few for the length of the next record"},
		{"L6: a payload beyond the end", "02000000 1200000000000000" + a + bc,
			[]string{"a"}, 21, "the next record has a length of 2, and only 1 bytes follow"},
		{"L6: a payload beyond the end and the file", "02000000 1300000000000000" + a + "0300000000000000 6263",
			[]string{"a"}, 21, "the next record has a length of 3, and only 2 bytes follow"},
		{"L6: the largest length", "02000000 1300000000000000" + a + "ffffffffffffffff 6263",
			[]string{"a"}, 21, "the next record has a length of 18446744073709551615, and only 2 bytes follow"},
		{"L6: a length that overflows with its 8 bytes", "01000000 0900000000000000 f8ffffffffffffff 61",
			nil, 12, "the next record has a length of 18446744073709551608, and only 1 bytes follow"},
		{"L6: a length that is plausible for the announced end only", "01000000 ffffffffffffffff f7ffffffffffffff 61",
			nil, 12, "the file ends 18446744073709551606 bytes too early"},
		{"L7: one byte is left over", "01000000 0a00000000000000" + a + "62",
			[]string{"a"}, 21, "1 bytes are left over behind the last record"},
		{"L7: a record is left over", "01000000 1300000000000000" + a + bc,
			[]string{"a"}, 21, "10 bytes are left over behind the last record"},

		{"intact", "02000000 1300000000000000" + a + bc,
			[]string{"a", "bc"}, 0, ""},
		{"12 zero bytes are an empty storage", "00000000 0000000000000000",
			nil, 0, ""},
		{"what is behind an empty storage is ignored", "00000000 0000000000000000" + a,
			nil, 0, ""},
		{"what is behind the announced end is ignored", "01000000 0900000000000000" + a + bc,
			[]string{"a"}, 0, ""},
		{"records may all be empty", "02000000 1000000000000000 0000000000000000 0000000000000000",
			[]string{"", ""}, 0, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			dir := dumpDir("orders.rq", bytesOf(t, c.file))
			d, got := mustRead(t, dir)
			checkContents(t, got, map[string][]string{"orders": c.want})
			if c.reason == "" {
				if len(d.Findings) > 0 || asideOf(d.Sources) != "" {
					t.Errorf("got %v, and %q set aside, want nothing", d.Findings, asideOf(d.Sources))
				}
				return
			}
			if len(d.Findings) != 1 || asideOf(d.Sources) != "orders.rq-aside" {
				t.Fatalf("got %v, and %q set aside, want one finding", d.Findings, asideOf(d.Sources))
			}
			got1 := d.Findings[0]
			want := fmt.Sprintf("damaged: %s; %d of ", c.reason, len(c.want))
			if !strings.HasPrefix(got1.Problem, want) || got1.Offset != c.offset || got1.Severity != Error || got1.Storage != "orders" || got1.File != "orders.rq" {
				t.Errorf("got %+v, want offset %d: %s…", got1, c.offset, want)
			}
			if again := contentsOf(t, d); !reflect.DeepEqual(again["orders"], c.want) || len(d.Findings) != 1 {
				t.Errorf("read again: %q, %v", again, d.Findings)
			}
		})
	}
}

func TestADumpCutAnywhereYieldsTheRecordsBeforeTheCut(t *testing.T) {
	whole, _ := fixture(t, "interleaved").Content("logs.rq")
	records := []string{"log-1", "", "log-3", "log-5", "log-6-abc"}
	ends := []int{25, 33, 46, 59, 76} // of the records, by the lengths in storage spec §8.2
	for size := range len(whole) {
		proven := 0
		for proven < len(ends) && ends[proven] <= size {
			proven++
		}
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			d, got := mustRead(t, dumpDir("logs.rq", whole[:size]))
			if !slices.Equal(got["logs"], records[:proven]) || len(d.Findings) != 1 {
				t.Errorf("got %q, %v, want %q", got, d.Findings, records[:proven])
			}
		})
	}
}

func TestLargeRecordsComeAlone(t *testing.T) {
	large := strings.Repeat("x", 3*RunSize)
	want := map[string][]string{"a": {"small", large, "small", large, strings.Repeat("y", RunSize-8), "z"}}
	for _, in := range []string{"dump", "overflow"} {
		dir := newTestDir()
		c := Content{Number: 1, Storage: "a"}
		if in == "dump" {
			c.Dump = stream(want["a"], 1)
		} else {
			c.Overflow = stream(want["a"], 1)
		}
		stop(t, dir.Dir, []Content{c})
		_, got := mustRead(t, dir)
		checkContents(t, got, want)
	}
}

func TestARecordLargerThanMemoryIsAnError(t *testing.T) {
	var b buffer
	if err := b.grow(1 << 62); err == nil || !strings.Contains(err.Error(), "memory for a record of 4611686018427387904 bytes") {
		t.Errorf("got %v", err)
	}
}

// Whatever is in a dump, the records that are handed out are those at its front.
func FuzzDump(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00a"))
	f.Add(make([]byte, 12))
	f.Fuzz(func(t *testing.T, content []byte) {
		_, got := mustRead(t, dumpDir("c.rq", content))
		at := 12
		for _, r := range got["c"] {
			if at += 8; !strings.HasPrefix(string(content[at:]), r) {
				t.Fatalf("record %q is not at %d", r, at)
			}
			at += len(r)
		}
	})
}
