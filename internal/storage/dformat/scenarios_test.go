package dformat

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// scenario is a directory with overflow files and what a start makes of it.
type scenario struct {
	name string
	make func() *testDir

	contents map[string][]string
	aside    string   // names of the files that are set aside
	errors   []string // parts of the findings, in any order
	warnings []string
	infos    []string
}

const (
	dataAside  = "overflow-aside-1.dat"
	indexAside = "ofchannels-aside-1.csv"
	bothAside  = indexAside + " " + dataAside
)

var scenarios = []scenario{
	{
		name: "nothing at all",
		make: newTestDir,
	}, {
		name: "empty files",
		make: func() *testDir {
			d := newTestDir()
			d.Put(dataName, nil)
			d.Put(indexName, nil)
			return d
		},
	}, {
		name: "a data file with only a magic",
		make: func() *testDir { return newBuilder().dir("") },
	}, {
		name: "M1: a data file that ends in the magic",
		make: func() *testDir {
			d := newTestDir()
			d.Put(dataName, []byte(magic[:5]))
			return d
		},
		aside: dataAside, errors: []string{"doesn't begin with QDSKOF01"},
	}, {
		name: "M2: another magic",
		make: func() *testDir {
			b := newBuilder()
			b.push(1, "x")
			b.data[7] = '2'
			return b.dir(line("a", 1, 1, 8, 8))
		},
		aside: bothAside, errors: []string{"doesn't begin with QDSKOF01"},
	}, {
		name: "S1: an index without a data file",
		make: func() *testDir {
			d := newTestDir()
			d.Put(indexName, []byte(line("a", 1, 1, 8, 8)))
			return d
		},
		aside: indexAside, errors: []string{"overflow.dat is empty, but ofchannels.csv is not"},
	}, {
		name: "S2: a name twice",
		make: func() *testDir {
			b := newBuilder()
			x, y := b.push(1, "x"), b.push(2, "y")
			return b.dir(line("a", 1, 1, x, x) + line("a", 1, 1, y, y))
		},
		contents: map[string][]string{"a": {"x"}},
		aside:    bothAside, errors: []string{"is listed twice", "id 2, 1 record of 1 bytes, offsets 41 to 41"},
	}, {
		name: "S3: last behind the end of the file",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			return b.dir(line("a", 2, 2, x, 5000))
		},
		contents: map[string][]string{"a": {"x"}}, warnings: []string{"1 records of 1 bytes at offsets 8 to 8, not 2 of 2"},
	}, {
		name: "S5: first is no record",
		make: func() *testDir {
			b := newBuilder()
			b.push(1, "x")
			y := b.push(2, "y")
			return b.dir(line("a", 1, 1, 20, 20) + line("b", 1, 1, y, y))
		},
		contents: map[string][]string{"b": {"y"}},
		aside:    bothAside, errors: []string{"storage a (1 records, 1 bytes, offsets 20 to 20) has no record", "id 1, "},
	}, {
		name: "S5: first is the dummy record",
		make: func() *testDir {
			b := newBuilder()
			d := b.pushNew(0, "dummy")
			y := b.push(2, "y")
			return b.dir(line("a", 1, 1, d, d) + line("b", 1, 1, y, y))
		},
		contents: map[string][]string{"b": {"y"}},
		aside:    bothAside, errors: []string{"storage a (1 records, 1 bytes, offsets 8 to 8) has no record"},
	}, {
		name: "S9: one chain for two storages",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			y := b.push(1, "y")
			return b.dir(line("a", 2, 2, x, y) + line("b", 1, 1, y, y))
		},
		contents: map[string][]string{"a": {"x", "y"}},
		aside:    bothAside, errors: []string{"storage b (1 records, 1 bytes, offsets 41 to 41) has the records of another storage"},
	}, {
		name: "storage spec §3.12 case 1: nothing changed; consumed, removed and drained storages",
		make: func() *testDir {
			b := newBuilder()
			b.push(9, "removed")
			b.push(1, "consumed")
			x := b.push(1, "x")
			b.push(2, "drained")
			y := b.push(1, "y")
			return b.dir(line("a", 2, 2, x, y))
		},
		contents: map[string][]string{"a": {"x", "y"}},
		infos:    []string{"id 2, 1 record of 7 bytes", "id 9, 1 record of 7 bytes"},
	}, {
		name: "storage spec §3.12 case 1: a storage that was drained and used again",
		make: func() *testDir {
			b := newBuilder()
			b.push(1, "old")
			b.push(1, "older")
			x := b.pushNew(1, "x")
			return b.dir(line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"a": {"x"}},
	}, {
		name: "storage spec §3.12 case 2: no index",
		make: func() *testDir {
			b := newBuilder()
			b.push(1, "x")
			b.push(2, "yy")
			b.push(1, "z")
			d := b.dir("")
			d.Remove(indexName)
			return d
		},
		aside: dataAside,
		errors: []string{"names are unknown", "the files are kept, overflow.dat as overflow-aside-1.dat",
			"id 1, 2 records of 2 bytes, offsets 8 to 75", "id 2, 1 record of 2 bytes, offsets 41 to 41"},
	}, {
		name: "storage spec §3.12 cases 3 and 6: pushed to, and a new storage",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(1, "y")
			b.push(2, "new")
			b.push(1, "z")
			return b.dir(line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"a": {"x", "y", "z"}},
		aside:    bothAside, errors: []string{"names are unknown", "id 2, ", "storage a has 3 records of 3 bytes at offsets 8 to 109, not 1 of 1 at 8 to 8"},
	}, {
		name: "storage spec §3.12 case 5: drained, then pushed to, several times",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.pushNew(1, "y")
			b.pushNew(1, "z")
			b.push(1, "zz")
			return b.dir(line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"a": {"z", "zz"}},
		warnings: []string{"storage a has 2 records of 3 bytes at offsets 74 to 107, not 1 of 1 at 8 to 8"},
	}, {
		name: "storage spec §3.12 case 7: a removed channel that the index still lists comes back",
		make: func() *testDir {
			b := newBuilder()
			s1 := b.push(1, "s1")
			x := b.push(3, "x")
			t1 := b.push(2, "t1")
			s2 := b.push(1, "s2")
			return b.killed(line("s@removed", 2, 4, s1, s2) + line("t@removed", 1, 2, t1, t1) + line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"s@removed": {"s1", "s2"}, "t@removed": {"t1"}, "a": {"x"}},
		warnings: []string{"was written before"},
	}, {
		name: "storage spec §3.12 case 7: a removed channel that the index still lists, and another was pushed to since",
		make: func() *testDir {
			b := newBuilder()
			r := b.push(2, "r1")
			x := b.push(1, "x")
			s := b.push(2, "r2")
			b.push(1, "y")
			b.push(1, "z")
			return b.killed(line("removed", 2, 4, r, s) + line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"removed": {"r1", "r2"}, "a": {"x", "y", "z"}},
		warnings: []string{"storage a has 3 records of 3 bytes"},
	}, {
		name: "storage spec §3.12 case 7: a removed channel that the index still lists was made again: the new records have no name",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			r := b.push(2, "old")
			b.push(3, "new")
			b.push(3, "newer")
			return b.killed(line("a", 1, 1, x, x) + line("removed", 1, 3, r, r))
		},
		contents: map[string][]string{"a": {"x"}, "removed": {"old"}},
		aside:    bothAside, errors: []string{"names are unknown", "id 3, 2 records of 8 bytes, offsets 76 to 111"},
	}, {
		name: "storage spec §3.12 case 7: records of removed channels behind an exact index are dead",
		make: func() *testDir {
			b := newBuilder()
			b.push(2, "first")
			x := b.push(1, "x")
			b.push(3, "between")
			y := b.push(1, "y")
			b.push(3, "last")
			b.push(2, "last")
			return b.dir(line("a", 2, 2, x, y))
		},
		contents: map[string][]string{"a": {"x", "y"}},
		infos:    []string{"id 2, 2 records of 9 bytes", "id 3, 2 records of 11 bytes"},
	}, {
		name: "storage spec §3.12 case 7: an exact index lists who has the id of a removed channel now",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(2, "removed")
			b.push(2, "removed")
			y := b.pushNew(2, "y")
			z := b.push(2, "z")
			return b.dir(line("a", 1, 1, x, x) + line("next", 2, 2, y, z))
		},
		contents: map[string][]string{"a": {"x"}, "next": {"y", "z"}},
	}, {
		name: "storage spec §3.12 case 7: behind a stale index, the records of a removed channel may be those of a new one",
		make: func() *testDir {
			b := newBuilder()
			b.push(2, "removed")
			x := b.push(1, "x")
			b.push(2, "removed")
			b.push(1, "y")
			return b.killed(line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"a": {"x", "y"}},
		aside:    bothAside, errors: []string{"names are unknown", "id 2, 2 records of 14 bytes, offsets 8 to 80"},
	}, {
		name: "storage spec §3.12 case 8: renamed by a first subscription and pushed to since: all under the old name",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(1, "y")
			return b.killed(line("plain", 1, 1, x, x))
		},
		contents: map[string][]string{"plain": {"x", "y"}}, warnings: []string{"storage plain has 2 records of 2 bytes"},
	}, {
		name: "storage spec §3.12 case 8: renamed by a first subscription, and the queue of a second overflowed",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(1, "y")
			b.push(2, "y")
			return b.killed(line("plain", 1, 1, x, x))
		},
		contents: map[string][]string{"plain": {"x", "y"}},
		aside:    bothAside, errors: []string{"names are unknown", "id 2, 1 record of 1 bytes, offsets 74 to 74"},
	}, {
		name: "an index that is older than the data file, with records without a name",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(2, "y")
			return b.killed(line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"a": {"x"}},
		aside:    bothAside, errors: []string{"ofchannels.csv was written before overflow.dat", "id 2, "},
	}, {
		name: "an index that is older than the data file, but knows all",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			return b.killed(line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"a": {"x"}}, warnings: []string{"was written before"},
	}, {
		name: "an older index: whatever it doesn't list in front of the last that it does is dead",
		make: func() *testDir {
			b := newBuilder()
			b.push(2, "consumed")
			x := b.push(1, "x")
			b.raw(garbageBytes(100))
			b.push(3, "consumed")
			y := b.push(1, "y")
			return b.killed(line("a", 2, 2, x, y))
		},
		contents: map[string][]string{"a": {"x", "y"}}, warnings: []string{"was written before"},
		infos: []string{"id 2, 1 record of 8 bytes", "id 3, 1 record of 8 bytes"},
	}, {
		name: "an older index: what has been pushed to a storage since doesn't change that",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(3, "consumed")
			y := b.push(2, "y")
			b.push(1, "xx")
			b.pushNew(2, "yy")
			return b.killed(line("a", 1, 1, x, x) + line("b", 1, 1, y, y))
		},
		contents: map[string][]string{"a": {"x", "xx"}, "b": {"yy"}}, warnings: []string{"was written before", "storage a has 2 records"},
		infos: []string{"id 3, 1 record of 8 bytes"},
	}, {
		name: "an older index: only what lies in front of the last record that it lists is dead",
		make: func() *testDir {
			b := newBuilder()
			b.push(2, "consumed")
			b.push(3, "consumed")
			x := b.push(1, "x")
			b.push(3, "new?")
			b.raw(garbageBytes(50))
			return b.killed(line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"a": {"x"}}, aside: bothAside,
		errors: []string{"records of 1 storages whose names are unknown", "50 bytes of overflow.dat are no records", "id 3, "},
		infos:  []string{"id 2, 1 record of 8 bytes"},
	}, {
		name: "an older index: a dangling link hides newer records of the id in front of its end",
		make: func() *testDir {
			b := newBuilder()
			o := b.push(2, "old")
			x := b.push(1, "x")
			b.pushNew(2, "new")
			b.link(o, len(b.data)+100)
			return b.killed(line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"a": {"x"}}, aside: bothAside, errors: []string{"names are unknown", "id 2, "},
	}, {
		name: "an older index that is cut in an entry proves nothing",
		make: func() *testDir {
			b := newBuilder()
			b.push(2, "y")
			x := b.push(1, "x")
			return b.killed(line("a", 1, 1, x, x) + "b 1")
		},
		contents: map[string][]string{"a": {"x"}}, aside: bothAside, errors: []string{"names are unknown", "id 2, "},
	}, {
		name: "an older index of which an entry doesn't fit proves nothing",
		make: func() *testDir {
			b := newBuilder()
			b.push(3, "z")
			x := b.push(1, "x")
			b.push(1, "y")
			y := b.push(2, "y")
			return b.killed(line("a", 3, 3, x, y) + line("b", 1, 1, y, y))
		},
		contents: map[string][]string{"a": {"x", "y"}, "b": {"y"}}, aside: bothAside, errors: []string{"names are unknown", "id 3, "},
	}, {
		name: "an older index: garbage in front of the last record that it lists hides one that it lists, too",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			y := b.push(1, "y")
			z := b.push(2, "z")
			copy(b.data[y:], garbageBytes(headerSize+1))
			return b.killed(line("a", 2, 2, x, y) + line("b", 1, 1, z, z))
		},
		contents: map[string][]string{"a": {"x"}, "b": {"z"}}, aside: bothAside, errors: []string{"33 bytes of overflow.dat are no records"},
	}, {
		name: "storage spec §3.12 case 9: the head was truncated",
		make: func() *testDir {
			b := newBuilder()
			b.pushNew(0, strings.Repeat("\x00", 100))
			x := b.push(1, "x")
			return b.dir(line("a", 1, 1, 1<<20+x, 1<<20+x))
		},
		aside: bothAside, errors: []string{"has no record at its first offset", "id 1, "},
	}, {
		name: "storage spec §3.12 case 10: the index is cut in an entry",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(2, "y")
			return b.dir(line("a", 1, 1, x, x) + "b 1 1")
		},
		contents: map[string][]string{"a": {"x"}},
		aside:    bothAside, errors: []string{"entry 2: first offset of storage \"b\": unexpected EOF", "id 2, "},
	}, {
		name: "storage spec §3.12 case 10: the index is cut in the last number",
		make: func() *testDir {
			b := newBuilder()
			for range 5 {
				b.push(1, "x")
			}
			return b.dir("a 5 5 8 14")
		},
		contents: map[string][]string{"a": {"x", "x", "x", "x", "x"}},
		warnings: []string{"storage a has 5 records of 5 bytes at offsets 8 to 140, not 5 of 5 at 8 to 14"},
	}, {
		name: "storage spec §3.12 case 10: the index is cut in the last number, and what is left is the offset of a record, too",
		make: func() *testDir {
			b := newBuilder()
			for range 23 {
				b.push(1, "four")
			}
			return b.dir("a 23 92 8 80")
		},
		contents: map[string][]string{"a": slices.Repeat([]string{"four"}, 23)},
		warnings: []string{"storage a has 23 records of 92 bytes at offsets 8 to 800, not 23 of 92 at 8 to 80"},
	}, {
		name: "an index with wrong numbers of bytes that fill the file",
		make: func() *testDir {
			b := newBuilder()
			x, y := b.push(1, "x"), b.push(2, "y")
			return b.dir(line("a", 1, 2, x, x) + line("b", 1, 0, y, y))
		},
		contents: map[string][]string{"a": {"x"}, "b": {"y"}},
		aside:    bothAside, errors: []string{"(1 records, 2 bytes, offsets 8 to 8) has 1 record of 1 bytes there", "(1 records, 0 bytes, offsets 41 to 41) has 1 record of 1 bytes there"},
	}, {
		name: "an index with wrong numbers of records that fill the file",
		make: func() *testDir {
			b := newBuilder()
			x, y := b.push(1, "x"), b.push(2, strings.Repeat("y", 40))
			b.push(1, "x")
			z := b.push(1, "x")
			return b.dir(line("a", 2, 3, x, z) + line("b", 1, 72, y, y))
		},
		contents: map[string][]string{"a": {"x", "x", "x"}, "b": {strings.Repeat("y", 40)}},
		aside:    bothAside, errors: []string{"(2 records, 3 bytes, offsets 8 to 146) has 3 records of 3 bytes there"},
	}, {
		name: "storage spec §3.13: a dangling last link",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.link(x, len(b.data))
			return b.dir(line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"a": {"x"}},
	}, {
		name: "storage spec §3.13: a failed append at the end",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(1, "failed")
			b.data = b.data[:len(b.data)-3]
			return b.dir(line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"a": {"x"}},
		infos:    []string{"35 bytes are no records"},
	}, {
		name: "storage spec §3.13: a failed append in the middle, after which the chain healed",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			g := b.push(1, "failed")
			b.data = b.data[:len(b.data)-3]
			y := b.push(2, "y")
			z := b.pushNew(1, "z")
			b.link(x, z)
			_ = g
			return b.dir(line("a", 2, 2, x, z) + line("b", 1, 1, y, y))
		},
		contents: map[string][]string{"a": {"x", "z"}, "b": {"y"}},
		infos:    []string{"35 bytes are no records"},
	}, {
		name: "storage spec §3.13: a header cut short in the middle",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(1, "failed")
			b.data = b.data[:len(b.data)-len("failed")-9]
			y := b.push(2, "y")
			z := b.pushNew(1, "z")
			b.link(x, z)
			return b.dir(line("a", 2, 2, x, z) + line("b", 1, 1, y, y))
		},
		contents: map[string][]string{"a": {"x", "z"}, "b": {"y"}},
		infos:    []string{"23 bytes are no records"},
	}, {
		name: "storage spec §3.13: the very first append failed in the header",
		make: func() *testDir {
			b := newBuilder()
			b.push(1, "failed")
			b.data = b.data[:magicSize+20]
			return b.killed("")
		},
		warnings: []string{"was written before"},
		infos:    []string{"20 bytes are no records"},
	}, {
		name: "storage spec §3.13: the very first append failed in the payload",
		make: func() *testDir {
			b := newBuilder()
			b.push(1, "failed")
			b.data = b.data[:len(b.data)-3]
			return b.killed("")
		},
		aside: bothAside, errors: []string{"35 bytes of overflow.dat are no records"},
	}, {
		name: "garbage in the middle of consumed records",
		make: func() *testDir {
			b := newBuilder()
			b.raw(garbageBytes(1000))
			x := b.push(1, "x")
			b.raw(garbageBytes(31))
			y := b.push(1, "y")
			return b.dir(line("a", 2, 2, x, y))
		},
		contents: map[string][]string{"a": {"x", "y"}},
		infos:    []string{"1031 bytes are no records"},
	}, {
		name: "garbage in the middle of a chain",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			y := b.push(1, "y")
			z := b.push(1, "z")
			copy(b.data[y:], garbageBytes(33))
			return b.dir(line("a", 3, 3, x, z))
		},
		contents: map[string][]string{"a": {"x", "z"}},
		aside:    bothAside, errors: []string{"storage a (3 records, 3 bytes, offsets 8 to 74) lacks records", "33 bytes that are no records"},
	}, {
		name: "the first record is damaged: the others go on",
		make: func() *testDir {
			b := newBuilder()
			x, y := b.push(1, "x"), b.push(2, "y")
			b.push(1, "xx")
			z := b.push(1, "xxx")
			copy(b.data[x:], garbageBytes(16))
			return b.dir(line("a", 3, 6, x, z) + line("b", 1, 1, y, y))
		},
		contents: map[string][]string{"a": {"xx", "xxx"}, "b": {"y"}},
		aside:    bothAside, errors: []string{"storage a (3 records, 6 bytes, offsets 8 to 108) has no record at its first offset"},
	}, {
		name: "the last record is damaged: the others go on",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(1, "xx")
			y := b.push(1, "xxx")
			copy(b.data[y:], garbageBytes(16))
			return b.dir(line("a", 3, 6, x, y))
		},
		contents: map[string][]string{"a": {"x", "xx"}},
		aside:    bothAside, errors: []string{"35 bytes of overflow.dat are no records", "storage a has 2 records of 3 bytes at offsets 8 to 41, not 3 of 6"},
	}, {
		name: "a link in the middle is damaged, and the records do not lie together",
		make: func() *testDir {
			b := newBuilder()
			x, y := b.push(1, "x"), b.push(2, "y")
			m := b.push(1, "xx")
			b.push(2, "yy")
			b.push(1, "xxx")
			z, last := b.push(2, "yyy"), b.push(1, "xxxx")
			b.link(m, last)
			return b.dir(line("a", 4, 10, x, last) + line("b", 3, 6, y, z))
		},
		contents: map[string][]string{"a": {"x", "xx", "xxxx"}, "b": {"y", "yy", "yyy"}},
		aside:    bothAside, errors: []string{"(4 records, 10 bytes, offsets 8 to 212) has 3 records of 7 bytes there"},
	}, {
		name: "the first record is damaged, and others were consumed: the ones behind it go on",
		make: func() *testDir {
			b := newBuilder()
			b.push(1, "consumed")
			x, y := b.push(1, "x"), b.push(2, "y")
			b.push(1, "xx")
			z := b.push(1, "xxx")
			copy(b.data[x:], garbageBytes(33))
			return b.dir(line("a", 3, 6, x, z) + line("b", 1, 1, y, y))
		},
		contents: map[string][]string{"a": {"xx", "xxx"}, "b": {"y"}},
		aside:    bothAside, errors: []string{"storage a (3 records, 6 bytes, offsets 48 to 148) has no record at its first offset"},
	}, {
		name: "garbage in the middle of a chain, and others were consumed",
		make: func() *testDir {
			b := newBuilder()
			b.push(1, "consumed")
			x, y := b.push(1, "x"), b.push(1, "y")
			z := b.push(1, "z")
			copy(b.data[y:], garbageBytes(33))
			return b.dir(line("a", 3, 3, x, z))
		},
		contents: map[string][]string{"a": {"x", "z"}},
		aside:    bothAside, errors: []string{"storage a (3 records, 3 bytes, offsets 48 to 114) lacks records", "33 bytes of overflow.dat are no records"},
	}, {
		name: "garbage and a stale index: something may be hidden",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(1, "y")
			b.raw(garbageBytes(100))
			return b.dir(line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"a": {"x", "y"}},
		aside:    bothAside, errors: []string{"100 bytes of overflow.dat are no records"},
	}, {
		name: "space that was reserved but not used",
		make: func() *testDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(1, "y")
			b.raw(strings.Repeat("\x00", 5000))
			return b.dir(line("a", 1, 1, x, x))
		},
		contents: map[string][]string{"a": {"x", "y"}}, warnings: []string{"storage a has 2 records"},
		infos: []string{"8 bytes are no records"},
	}, {
		name: "the id of records that were never published is used again",
		make: func() *testDir {
			b := newBuilder()
			u := b.pushNew(3, "unpublished")
			b.link(u, u+500)
			b.push(1, strings.Repeat("p", 100))
			x := b.pushNew(3, "x")
			y := b.push(3, "y")
			return b.dir(line("a", 2, 2, x, y))
		},
		contents: map[string][]string{"a": {"x", "y"}}, infos: []string{"id 1, "},
	}, {
		name: "payloads that look like records",
		make: func() *testDir {
			inner := newBuilder()
			inner.push(1, "inner")
			inner.push(2, "inner")
			b := newBuilder()
			x := b.push(1, string(inner.data))
			y := b.push(1, string(inner.data[8:]))
			return b.dir(line("a", 2, len(inner.data)*2-8, x, y))
		},
		contents: map[string][]string{"a": func() []string {
			inner := newBuilder()
			inner.push(1, "inner")
			inner.push(2, "inner")
			return []string{string(inner.data), string(inner.data[8:])}
		}()},
	}, {
		name: "files set aside before are kept, and both new ones get the same number",
		make: func() *testDir {
			b := newBuilder()
			b.push(1, "x")
			d := b.dir("")
			d.Put("overflow-aside-1.dat", []byte("precious"))
			d.Put("ofchannels-aside-2.csv", []byte("precious"))
			return d
		},
		aside: "ofchannels-aside-3.csv overflow-aside-3.dat", errors: []string{"id 1, "},
	},
}

func TestOverflowFiles(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			dir := s.make()
			before := dir.state()
			d, got := mustRead(t, dir)
			if !reflect.DeepEqual(dir.state(), before) {
				t.Error("reading has changed the directory")
			}
			checkContents(t, got, s.contents)
			if got := asideOf(d.Sources); got != s.aside {
				t.Errorf("to be set aside: %q, want %q", got, s.aside)
			}
			for severity, want := range map[Severity][]string{Error: s.errors, Warning: s.warnings, Info: s.infos} {
				checkFindings(t, d, severity, want)
			}
			sources := d.Sources
			if err := Finish(dir, sources); err != nil {
				t.Fatal(err)
			}
			checkFinished(t, dir, before, sources)
			restart(t, dir.Dir, got)
		})
	}
}

// checkFindings compares findings with parts of them; there must be no finding without one.
func checkFindings(t *testing.T, d *Directory, severity Severity, want []string) {
	t.Helper()
	var all []string
	for _, f := range d.Findings {
		if f.Severity == severity {
			all = append(all, f.Problem+"; "+f.Meaning)
		}
	}
	for _, part := range want {
		if !slices.ContainsFunc(all, func(f string) bool { return strings.Contains(f, part) }) {
			t.Errorf("findings of severity %d lack %q:\n%s", severity, part, strings.Join(all, "\n"))
		}
	}
	if len(want) == 0 && len(all) > 0 {
		t.Errorf("findings of severity %d: %q", severity, all)
	}
}

// Finish can be killed after any operation: the next call comes to the same end.
func TestFinishCanBeKilledAtAnyPoint(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			dir := s.make()
			before := dir.state()
			d, _ := mustRead(t, dir)
			for i, point := range dir.points(t, func() error { return Finish(dir, d.Sources) }) {
				if err := Finish(point, d.Sources); err != nil {
					t.Fatalf("killed after operation %d: %v", i, err)
				}
				checkFinished(t, point, before, d.Sources)
			}
		})
	}
}
