package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

// dumpOf is a dump file of these records (storage spec §2.1).
func dumpOf(records ...string) []byte {
	var run []byte
	for _, r := range records {
		run = appendRecord(run, []byte(r))
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(records)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(run)))
	return append(b, run...)
}

// dumpSizes returns the number of bytes of records in each dump.
func dumpSizes(dir *disktest.Dir) map[string]uint64 {
	sizes := make(map[string]uint64)
	for _, name := range dir.Names() {
		if b, _ := dir.Content(name); strings.HasSuffix(name, ".rq") {
			sizes[name] = binary.LittleEndian.Uint64(b[4:])
		}
	}
	return sizes
}

func TestWhatDoesNotFitTheRingGoesToTheOverflowInOrder(t *testing.T) {
	n := newTrial(t)
	n.fixture("interleaved")
	for _, size := range []uint64{64, 63, 40, 8, 7, 0} {
		n.sizes = map[string]uint64{"logs": size, "events": size}
		n.start()
		if got := contents(n, n.channels); !reflect.DeepEqual(got, fixtures["interleaved"]) {
			t.Errorf("rings of %d bytes:\n got %.30q\nwant %.30q", size, got, fixtures["interleaved"])
		}
		n.stop()
		for name, got := range dumpSizes(n.dir) {
			if got > size && !strings.HasPrefix(name, "new-chan") {
				t.Errorf("rings of %d bytes: %s has %d bytes, which the original refuses", size, name, got)
			}
		}
	}
}

func TestDamagedDumpsAreLoadedAsFarAsTheyProve(t *testing.T) {
	intact := dumpOf("one", "two", "three")
	for name, test := range map[string]struct {
		content []byte
		want    []string
	}{
		"cut in a record":         {intact[:len(intact)-1], []string{"one", "two"}},
		"cut in the header":       {intact[:11], nil},
		"nothing":                 {nil, nil},
		"one record announced":    {append([]byte{1}, intact[1:]...), []string{"one"}},
		"a length too large":      {append(append([]byte{}, intact[:12+11]...), append([]byte{255}, intact[12+12:]...)...), []string{"one"}},
		"more bytes announced":    {append(append([]byte{}, intact[:4]...), append([]byte{255}, intact[5:]...)...), []string{"one", "two", "three"}},
		"larger than memory, too": {append(append([]byte{}, intact[:10]...), append([]byte{255, 127}, intact[12:]...)...), []string{"one", "two", "three"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newTrial(t)
			logs := logged(&n.options)
			n.dir.Put("c.rq", test.content)
			want := map[string][]string{"c": test.want}
			for _, life := range []string{"first", "second, after a kill", "third, after a kill"} {
				cs, err := n.load(n.dir)
				if err != nil {
					t.Fatalf("%s start: %v", life, err)
				}
				cs.Commit()
				if got := contents(n, cs); !reflect.DeepEqual(got, want) {
					t.Errorf("%s start: got %q, want %q", life, got, want)
				}
				n.dir = n.dir.Clone()
			}
			if got, _ := n.dir.Content("c.rq-aside"); string(got) != string(test.content) {
				t.Errorf("set aside: got %q, want %q; there are %q", got, test.content, n.dir.Names())
			}
			if found := logs.FilterLevelExact(zapcore.ErrorLevel).Len(); found == 0 {
				t.Error("nothing was logged as an error")
			}
		})
	}
}

// A dump that cannot be read keeps the node from starting, whatever else is there, and before
// anything is repaired, set aside or deleted.
func TestADumpThatCannotBeReadEndsTheStartBeforeAnyChange(t *testing.T) {
	for situation, prepare := range map[string]func(n *trial){
		"stopped":    func(n *trial) { n.fixture("loadfiles") },
		"lost index": func(n *trial) { n.fixture("crash/lost-index") }, // the overflow is set aside
		"killed": func(n *trial) {
			n.start()
			n.push("a", false, 10, 200)
			n.crash()
			stray, _ := n.dir.Content("ring-000001.dat")
			n.dir.Put("ring-000007.dat", stray)
		},
		"killed, dumps not deleted": func(n *trial) {
			n.fixture("loadfiles")
			if _, err := n.load(n.dir); err != nil {
				t.Fatal(err)
			}
			n.crash()
		},
	} {
		for op, fault := range map[string]error{"stat": unix.EACCES, "open": unix.EACCES, "size": unix.EIO, "read": unix.EIO} {
			t.Run(situation+", "+op, func(t *testing.T) {
				n := newTrial(t)
				prepare(n)
				n.dir.Put("unreadable.rq", dumpOf("1"))
				before := contentsOf(n.dir)
				n.dir.Before = func(c disktest.Call) error {
					if c.Op == op && c.Name == "unreadable.rq" {
						return fault
					}
					return nil
				}
				_, err := n.load(n.dir)
				for _, want := range []string{n.dir.Path("unreadable.rq"), "move it"} {
					if !errors.Is(err, fault) || !strings.Contains(err.Error(), want) {
						t.Errorf("got error %v, want %v and %q", err, fault, want)
					}
				}
				if after := contentsOf(n.dir); !reflect.DeepEqual(after, before) {
					t.Errorf("files:\n got %.30q\nwant %.30q", after, before)
				}
				n.dir.Before = nil
				cs, err := n.load(n.dir)
				if err != nil {
					t.Fatalf("now that it can be read: %v", err)
				}
				if got := contents(n, cs)["unreadable"]; !reflect.DeepEqual(got, []string{"1"}) {
					t.Errorf("now that it can be read: got %q, want its record", got)
				}
			})
		}
	}
}

// The same for a dump that an interrupted stop has written, but not named: its ring is there.
func TestADumpWithoutItsNameThatCannotBeRead(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.push("c", false, 10)
	var killed *disktest.Dir
	n.dir.Before = func(c disktest.Call) error {
		if c.Op == "rename" && strings.HasPrefix(c.Name, "dump-") {
			killed = n.dir.Clone()
		}
		return nil
	}
	n.stop()
	before := contentsOf(killed)
	killed.Before = func(c disktest.Call) error {
		if c.Op == "read" && strings.HasPrefix(c.Name, "dump-") {
			return unix.EIO
		}
		return nil
	}
	if _, err := n.load(killed); !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "data/dump-0") {
		t.Errorf("got error %v, want %v and the file", err, unix.EIO)
	}
	if after := contentsOf(killed); !reflect.DeepEqual(after, before) {
		t.Errorf("files:\n got %.30q\nwant %.30q", after, before)
	}
	killed.Before = nil
	n.examine(killed, "before the dump got its name", 0)
}

// Dumps and the index are durable. What a start makes of them has to be when they are gone, so
// that records that a clean stop has saved survive a power failure.
func TestADumpIsDeletedWhenItsRecordsAreDurable(t *testing.T) {
	n := newTrial(t)
	n.options.Sync = 0
	n.fixture("loadfiles")
	cs, err := n.load(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	storages := storagesOf(cs)
	durable, deleted := make(map[string]bool), 0
	n.dir.Before = func(c disktest.Call) error {
		switch {
		case c.Op == "sync map" || c.Op == "sync" || c.Op == "sync dir":
			durable[c.Op+" "+strings.Replace(c.Name, "-new", "", 1)] = true // the name when it was opened
		case c.Op == "remove" && strings.HasSuffix(c.Name, ".rq"):
			deleted++
			for _, s := range storages {
				if ring := "sync map " + ringFile(s.kept.ringFile); !durable[ring] {
					t.Errorf("%s is deleted before there was: %s", c.Name, ring)
				}
			}
			if !durable["sync map "+state.FileName] {
				t.Errorf("%s is deleted before %s was made durable", c.Name, state.FileName)
			}
		}
		return nil
	}
	cs.Commit()
	n.dir.Before = nil
	if deleted == 0 {
		t.Error("no dump was deleted")
	}
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAChannelWithAndWithoutSubscribers(t *testing.T) {
	t.Run("dumps", func(t *testing.T) {
		n := newTrial(t)
		logs := logged(&n.options)
		n.dir.Put("c.rq", dumpOf("plain"))
		n.dir.Put("s@c.rq", dumpOf("subscribed"))
		cs, err := n.load(n.dir)
		if err != nil {
			t.Fatal(err)
		}
		cs.Commit()
		found := contents(n, cs)
		for file, record := range map[string]string{"c": "plain", "s@c": "subscribed"} {
			aside, kept := n.dir.Content(file + ".rq-aside")
			loaded := reflect.DeepEqual(found[file], []string{record})
			if loaded == kept || kept && string(aside) != string(dumpOf(record)) {
				t.Errorf("%s is loaded: %v, kept aside: %v; want one of both", file, loaded, kept)
			}
		}
		if logs.FilterLevelExact(zapcore.ErrorLevel).Len() == 0 {
			t.Error("nothing was logged as an error")
		}
	})
	t.Run("index", func(t *testing.T) {
		n := newTrial(t)
		n.fixture("loadfiles")
		index, _ := n.dir.Content("ofchannels.csv")
		n.dir.Put("ofchannels.csv", []byte(strings.Replace(string(index), "ch4", "ch5", 1)))
		for range 2 {
			before := n.dir.Clone()
			if _, err := n.load(n.dir); err == nil || !strings.Contains(err.Error(), "ch5") {
				t.Fatalf("got error %v, want one that names the channel", err)
			}
			for _, name := range before.Names() {
				want, _ := before.Content(name)
				if got, ok := n.dir.Content(name); !ok || string(got) != string(want) {
					t.Errorf("a start that failed changed %s from %q to %q", name, want, got)
				}
			}
		}
		n.dir.Put("ofchannels.csv", index) // the operator has repaired it
		n.start()
		n.stop()
	})
}

func TestFilesThatAreNotTheNodesStayAsTheyAre(t *testing.T) {
	n := newTrial(t)
	n.foreign = map[string]string{
		"notes.txt": "x", "noextension": "x", "other.dat": "x", "other.csv": "x", ".hidden.rq": "x", ".rq": "x",
		"@.rq": string(dumpOf("x")), "c@.rq": "x", "@a@b.rq": "x", "a@b@c.rq": "x", "a.b.rq": string(dumpOf("x")), "a:b.rq": "x",
		"z..rq": "x", `back\slash.rq`: "x", "c.rq-aside": "x", "overflow-aside-1.dat": "x", "ofchannels-aside-1.csv": "x",
		"ring-000001.dat": "somebody else's", "ring-1.dat": "x", "ring-x.dat": "x", "dump-x.dat": "x", "falloctest_abcdef": "x",
	}
	for name, content := range n.foreign {
		n.dir.Put(name, []byte(content))
	}
	n.at = func(where string) { n.examine(n.dir.Clone(), where, 0) }
	n.start()
	n.push("a", false, 10, 200)
	n.subscribe("b", "s")
	n.crash()
	n.start()
	n.stop()
	n.start()
	n.remove("a")
	n.stop()
}

func TestSubscriptionsWithoutRecordsSurviveAStop(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.subscribe("c", "s")
	n.push("c", false, 10)
	n.subscribe("c", "")
	n.push("plain", false)
	n.stop()
	if got, _ := n.dir.Content("@c.rq"); string(got) != string(make([]byte, 12)) {
		t.Errorf("dump of a subscription without records: got % x, want 12 zero bytes", got)
	}
	n.start()
	n.push("c", false, 20)
	if got := contents(n, n.channels)["@c"]; len(got) != 1 {
		t.Errorf("the subscriber got %q of what was pushed after a restart, want 1 record", got)
	}
	n.stop()
}

// An imported dump that cannot be deleted must not be loaded twice, whatever happens.
func TestADumpThatCannotBeDeletedIsLoadedOnce(t *testing.T) {
	for _, end := range []string{"kill", "stop", "subscribe and stop", "subscribe and kill", "drain and stop", "drain and kill"} {
		t.Run(end, func(t *testing.T) {
			n := newTrial(t)
			n.faulty = true
			n.dir.Put("c.rq", dumpOf("1", "2", "3"))
			n.settle(map[string][]string{"c": {"1", "2", "3"}})
			failing := true
			n.dir.Before = func(c disktest.Call) error {
				if failing && c.Op == "remove" && c.Name == "c.rq" {
					return fmt.Errorf("%w: %w", errInjected, unix.EACCES)
				}
				return nil
			}
			n.start()
			n.pop("c")
			n.deliver(0)
			if strings.HasPrefix(end, "drain") {
				n.pop("c")
				n.pop("c")
				n.deliver(0)
				n.deliver(0)
			}
			if strings.HasPrefix(end, "subscribe") {
				n.subscribe("c", "s")
			}
			n.push("c", false, 10)
			if strings.HasPrefix(end, "drain") {
				n.pop("c")
				n.deliver(0)
			}
			for range 2 {
				if strings.HasSuffix(end, "kill") {
					n.crash()
				} else {
					n.stop()
				}
				n.start() // compares
			}
			failing = false
			n.stop()
			n.start()
			if n.channels == nil {
				t.Error("the node did not start")
			}
		})
	}
}

func TestADumpThatCannotBeWrittenStaysInItsRing(t *testing.T) {
	// What can fail, and when: all that happens to a dump file.
	for _, fault := range []struct{ op, name string }{
		{"create", "dump-"}, {"write", "dump-"}, {"sync", "dump-"}, {"close", "dump-"}, {"rename", "dump-"},
	} {
		for _, overflows := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, overflow %v", fault.op, overflows), func(t *testing.T) {
				n := newTrial(t)
				n.faulty = true
				n.start()
				n.push("a", false, 10, 20)
				n.push("b", false, 10, 20)
				n.push("c", false, 10, 20)
				n.subscribe("d", "s")
				if overflows {
					n.push("b", false, 70, 70)
				}
				calls := 0
				n.dir.Before = func(c disktest.Call) error {
					if c.Op == fault.op && strings.HasPrefix(c.Name, fault.name) {
						if calls++; calls == 2 {
							return fmt.Errorf("%w: %w", errInjected, unix.ENOSPC)
						}
					}
					return nil
				}
				err := n.channels.Close()
				if !errors.Is(err, unix.ENOSPC) {
					t.Errorf("Close: got error %v, want %v", err, unix.ENOSPC)
				}
				rings, dumps := 0, 0
				for _, name := range n.dir.Names() {
					if strings.HasPrefix(name, "ring-") {
						rings++
					}
					if strings.HasSuffix(name, ".rq") {
						dumps++
					}
				}
				if rings != 1 || dumps != 3 {
					t.Errorf("there are %d rings and %d dumps, want 1 and 3: %q", rings, dumps, n.dir.Names())
				}
				n.dir.Before, n.channels = nil, nil
				n.start()
				n.stop()
				n.start()
			})
		}
	}
}

// Whoever reads the log of a stop that failed has to know whether records are lost.
func TestTheLogTellsWhatBecomesOfRecordsWithoutADump(t *testing.T) {
	const kept = "they stay in its file, and the next start has them"
	const lost = "are LOST: the ring was in memory"
	for _, test := range []struct {
		rule       string
		ringInFile bool
		records    []int
		fails      func(c disktest.Call) bool
		message    string
		fields     map[string]any
	}{
		{"the ring has a file", true, []int{10, 20}, isDump,
			kept, map[string]any{"records": uint64(2), "bytes": uint64(46), "file": "data/ring-000001.dat"}},
		{"the ring is in memory", false, []int{10, 20}, isDump,
			lost, map[string]any{"records": uint64(2), "bytes": uint64(46)}},
		{"nothing is in the ring", false, nil, isDump,
			"storages.dat has it for the next start", map[string]any{"records": uint64(0), "bytes": uint64(0)}},
		{"the overflow cannot be closed, the ring has a file", true, []int{10, 200}, isIndex,
			kept, map[string]any{"records": uint64(1), "bytes": uint64(18), "file": "data/ring-000001.dat"}},
		{"nothing can be written, the ring is in memory", false, []int{10, 200}, func(c disktest.Call) bool { return isDump(c) || isIndex(c) },
			lost, map[string]any{"records": uint64(1), "bytes": uint64(18)}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			n := newTrial(t)
			logs := logged(&n.options)
			n.options.RingInFile = test.ringInFile
			n.start()
			n.subscribe("c", "s")
			n.push("c", false, test.records...)
			n.dir.Before = func(c disktest.Call) error {
				if test.fails(c) {
					return unix.ENOSPC
				}
				return nil
			}
			if err := n.channels.Close(); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("Close: got error %v, want %v", err, unix.ENOSPC)
			}
			errs := logs.FilterLevelExact(zapcore.ErrorLevel).FilterMessageSnippet("could not be saved").All()
			if len(errs) != 1 || errs[0].LoggerName != "storage:s@c" || !strings.Contains(errs[0].Message, test.message) {
				t.Fatalf("got %v, want one error of s@c with %q", errs, test.message)
			}
			got := errs[0].ContextMap()
			if got["error"] == nil {
				t.Error("the line does not say why")
			}
			delete(got, "error")
			if !reflect.DeepEqual(got, test.fields) {
				t.Errorf("got %v, want %v", got, test.fields)
			}
		})
	}
}

func isDump(c disktest.Call) bool { return c.Op == "write" && strings.HasPrefix(c.Name, "dump-") }

func isIndex(c disktest.Call) bool { return c.Op == "write" && strings.HasPrefix(c.Name, "ofchannels") }

// An error in the log about a dump says what can be done about it.
func TestTheLogTellsWhatToDoAboutDumps(t *testing.T) {
	for _, test := range []struct {
		rule  string
		files map[string][]byte
		want  []string
	}{
		{"damaged", map[string][]byte{"c.rq": dumpOf("one", "two")[:30]},
			[]string{"dump file set aside", "intact records have been loaded", "Keep it"}},
		{"another kind of storage", map[string][]byte{"@c.rq": dumpOf("one"), "c.rq": dumpOf("two")},
			[]string{"dump file set aside", "not loaded", "rename it to that of another storage"}},
		{"a name that no storage has", map[string][]byte{"a.b.rq": dumpOf("one")},
			[]string{"ignored: not the name of a storage", "rename it to STORAGE.rq"}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			n := newTrial(t)
			logs := logged(&n.options)
			for name, content := range test.files {
				n.dir.Put(name, content)
			}
			if _, err := n.load(n.dir); err != nil {
				t.Fatal(err)
			}
			errs := logs.FilterLevelExact(zapcore.ErrorLevel).All()
			for _, want := range test.want {
				if len(errs) != 1 || !strings.Contains(errs[0].Message, want) {
					t.Errorf("got %v, want one error with %q", errs, want)
				}
			}
		})
	}
}

// A symbolic link that leads nowhere has no records to lose: the node starts, and leaves it.
func TestALinkWithTheNameOfADumpThatLeadsNowhere(t *testing.T) {
	for target, reason := range map[string]string{"x.rq": "back to itself", "nothing": "does not exist"} {
		path := t.TempDir()
		link := filepath.Join(path, "x.rq")
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "y.rq"), dumpOf("1"), 0o666); err != nil {
			t.Fatal(err)
		}
		options := realStore(path)
		logs := logged(&options)
		cs := mustLoad(t, options)
		cs.Commit()
		if got := contents(newTrial(t), cs); !reflect.DeepEqual(got, map[string][]string{"y": {"1"}}) {
			t.Errorf("a link to %s: got %q, want the record of y.rq", target, got)
		}
		errs := logs.FilterLevelExact(zapcore.ErrorLevel).All()
		if len(errs) != 1 || !strings.Contains(errs[0].Message, reason) || errs[0].ContextMap()["file"] != link {
			t.Errorf("a link to %s: got %v, want one error with %q", target, errs, reason)
		}
		if err := cs.Close(); err != nil {
			t.Error(err)
		}
		if got, err := os.Readlink(link); got != target {
			t.Errorf("the link leads to %q, %v, want %s", got, err, target)
		}
	}
}

// Something that has the name of a dump, and is not one, must not keep the node from
// stopping, nor from starting again.
func TestADirectoryWithTheNameOfADump(t *testing.T) {
	path := t.TempDir()
	cs := mustLoad(t, realStore(path))
	push(t, cs, "c", "1", "2")
	push(t, cs, "d", "3")
	if err := os.Mkdir(filepath.Join(path, "c.rq"), 0o777); err != nil {
		t.Fatal(err)
	}
	closeErr := cs.Close()
	cs = mustLoad(t, realStore(path))
	defer cs.Close()
	want := map[string][]string{"c": {"1", "2"}, "d": {"3"}}
	if got := contents(newTrial(t), cs); !reflect.DeepEqual(got, want) {
		t.Errorf("after the stop, whose error was %v: got %q, want %q", closeErr, got, want)
	}
}
