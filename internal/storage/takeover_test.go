package storage

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
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

func copyFixture(t testing.TB, name string) (path string) {
	t.Helper()
	path = t.TempDir()
	if err := os.CopyFS(path, os.DirFS(filepath.Join(fixtureDir, name))); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFixturesHoldTheRecordsOfTheSpec(t *testing.T) {
	for name, want := range fixtures {
		t.Run(name, func(t *testing.T) {
			path := copyFixture(t, name)
			before := files(t, path)
			cs := serve(t, realOptions(path))
			if got := contents(newTrial(t), cs); !reflect.DeepEqual(got, want) {
				t.Errorf("records:\n got %q\nwant %q", got, want)
			}
			after := files(t, path)
			if name == "crash/lost-index" && after["overflow-aside-1.dat"] != before["overflow.dat"] {
				t.Errorf("the records that nothing names are not kept aside: there are %d files", len(after))
			}
			for file := range after {
				if strings.HasSuffix(file, ".rq") || file == "overflow.dat" || file == "ofchannels.csv" {
					t.Errorf("while the node serves clients there is still %s", file)
				}
			}
		})
	}
}

// Byte for byte, but for the order of lines of the index (storage spec §8.1).
func TestStartAndStopLeaveWhatTheOriginalLeft(t *testing.T) {
	for _, inFile := range []bool{true, false} {
		path := copyFixture(t, "loadfiles")
		before := files(t, path)
		options := realOptions(path)
		options.RingInFile = inFile
		cs := mustLoad(t, options)
		if err := cs.Serve(); err != nil {
			t.Fatal(err)
		}
		if err := cs.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		after := files(t, path)
		for _, contents := range []map[string]string{before, after} {
			lines := strings.SplitAfter(contents["ofchannels.csv"], "\n")
			slices.Sort(lines)
			contents["ofchannels.csv"] = strings.Join(lines, "")
		}
		if !reflect.DeepEqual(after, before) {
			t.Errorf("rings in files %v, after start and stop:\n got %q\nwant %q", inFile, after, before)
		}
	}
}

// A start that is undone, as one is when a port can't be had, leaves the directory as it was.
func TestAStartThatIsUndoneLeavesTheDirectoryAsItWas(t *testing.T) {
	path := copyFixture(t, "interleaved")
	before := files(t, path)
	if err := mustLoad(t, realOptions(path)).Close(); err != nil {
		t.Fatal(err)
	}
	if after := files(t, path); !reflect.DeepEqual(after, before) {
		t.Errorf("got %.30q, want %.30q", after, before)
	}
}

func TestWhatDoesNotFitTheRingSpillsInOrder(t *testing.T) {
	n := newTrial(t)
	n.fixture("interleaved")
	for _, size := range []uint64{64, 63, 40, 8, 7, 0} {
		for _, n.options.RingInFile = range []bool{true, false} {
			n.sizes = map[string]uint64{"logs": size, "events": size}
			n.start()
			if got := contents(n, n.channels); !reflect.DeepEqual(got, fixtures["interleaved"]) {
				t.Errorf("rings of %d bytes:\n got %.30q\nwant %.30q", size, got, fixtures["interleaved"])
			}
			n.stop()
		}
	}
}

func TestDamagedDumpsAreLoadedAsFarAsTheyProve(t *testing.T) {
	intact := dumpOf("one", "two", "three")
	for name, test := range map[string]struct {
		content []byte
		want    []string
	}{
		"cut in a record":      {intact[:len(intact)-1], []string{"one", "two"}},
		"cut in the header":    {intact[:11], nil},
		"nothing":              {nil, nil},
		"one record announced": {append([]byte{1}, intact[1:]...), []string{"one"}},
		"a length too large":   {append(slices.Clone(intact[:12+11]), append([]byte{255}, intact[12+12:]...)...), []string{"one"}},
		"more bytes announced": {append(slices.Clone(intact[:4]), append([]byte{255}, intact[5:]...)...), []string{"one", "two", "three"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newTrial(t)
			logs := logged(&n.options)
			n.dir.Put("c.rq", test.content)
			n.queue("c").exists = maybe // nothing that a plain queue has
			for _, p := range test.want {
				n.queue("c").items = append(n.queue("c").items, &item{payload: p, pushed: yes})
			}
			for range 3 {
				n.start() // compares
				n.crash()
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
		"killed before it served": func(n *trial) {
			n.fixture("loadfiles")
			if _, err := n.load(n.dir); err != nil {
				t.Fatal(err)
			}
			n.crash()
		},
	} {
		for op, fault := range map[string]error{"stat": unix.EACCES, "open": unix.EACCES, "read": unix.EIO} {
			t.Run(situation+", "+op, func(t *testing.T) {
				n := newTrial(t)
				prepare(n)
				n.dir.Put("unreadable.rq", dumpOf("1"))
				before := contentsOf(n.dir, anyName)
				n.dir.Before = func(c disktest.Call) error {
					if c.Op == op && c.Name == "unreadable.rq" {
						return fault
					}
					return nil
				}
				_, err := n.load(n.dir)
				if !errors.Is(err, fault) || !strings.Contains(err.Error(), n.dir.Path("unreadable.rq")) {
					t.Errorf("got error %v, want %v and the file", err, fault)
				}
				if after := contentsOf(n.dir, anyName); !reflect.DeepEqual(after, before) {
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

// Dumps and overflow are durable. What a start makes of them has to be when they are gone, and a
// clean stop deletes ring files when these files are.
func TestFilesAreDeletedWhenWhatTakesTheirPlaceIsDurable(t *testing.T) {
	n := newTrial(t)
	n.fixture("loadfiles")
	var syncs []string
	deleted := 0
	n.dir.Before = func(c disktest.Call) error {
		original := len(originalFiles(n.dir)) > 0 && (strings.HasSuffix(c.Name, ".rq") || c.Name == "overflow.dat")
		switch {
		case strings.HasPrefix(c.Op, "sync"):
			syncs = append(syncs, c.Op)
		case c.Op == "remove" && n.channels == nil && original:
			deleted++
			if i := slices.Index(syncs, "sync all"); i < 0 {
				t.Errorf("%s is deleted before anything is durable: %v", c.Name, syncs)
			}
		case c.Op == "remove" && n.channels != nil && strings.HasPrefix(c.Name, "ring-"):
			if head, err := ring.ReadHead(n.dir.Clone(), c.Name); err != nil || head.Queue == 0 {
				return err // nobody needs it
			}
			deleted++
			if content, err := catalogue.Read(n.dir.Clone()); err != nil || content.Phase != catalogue.Dumped {
				t.Errorf("%s is deleted while the dump does not count", c.Name)
			}
			if !slices.Contains(syncs, "sync") && !slices.Contains(syncs, "sync all") || syncs[len(syncs)-1] != "sync map" {
				t.Errorf("%s is deleted before the dump is durable: %v", c.Name, syncs)
			}
		}
		return nil
	}
	cs, err := n.load(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	syncs = nil
	if err := cs.Serve(); err != nil {
		t.Fatal(err)
	}
	if deleted == 0 {
		t.Error("no dump was deleted")
	}
	n.channels, syncs, deleted = cs, nil, 0
	if err := cs.Close(); err != nil || deleted == 0 {
		t.Errorf("Close: %v; %d ring files were deleted", err, deleted)
	}
}

func TestAChannelWithAndWithoutSubscribers(t *testing.T) {
	for _, native := range []string{"", "c", "s@c"} {
		n := newTrial(t)
		logs := logged(&n.options)
		n.start()
		switch native {
		case "c":
			n.push("c", false, 10)
		case "s@c":
			n.subscribe("c", "s")
		}
		n.crash()
		n.dir.Put("c.rq", dumpOf("plain"))
		n.dir.Put("t@c.rq", dumpOf("subscribed"))
		for range 2 {
			cs, err := n.load(n.dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := cs.Serve(); err != nil {
				t.Fatal(err)
			}
			found := contents(n, cs)
			for file, record := range map[string]string{"c": "plain", "t@c": "subscribed"} {
				aside, kept := n.dir.Content(file + ".rq-aside")
				loaded := slices.Contains(found[file], record)
				if loaded == kept || kept && string(aside) != string(dumpOf(record)) {
					t.Errorf("with %q: %s is loaded: %v, kept aside: %v; want one of both", native, file, loaded, kept)
				}
			}
			n.dir = n.dir.Clone() // killed
		}
		if logs.FilterLevelExact(zapcore.ErrorLevel).Len() == 0 {
			t.Error("nothing was logged as an error")
		}
	}
}

func TestFilesThatAreNotTheNodesStayAsTheyAre(t *testing.T) {
	n := newTrial(t)
	n.foreign = map[string]string{
		"notes.txt": "x", "noextension": "x", "other.dat": "x", "other.csv": "x", ".hidden.rq": "x", ".rq": "x",
		"@.rq": string(dumpOf("x")), "c@.rq": "x", "@a@b.rq": "x", "a@b@c.rq": "x", "a.b.rq": string(dumpOf("x")), "a:b.rq": "x",
		"z..rq": "x", `back\slash.rq`: "x", "c.rq-aside": "x", "overflow-aside-1.dat": "x", "ofchannels-aside-1.csv": "x",
		"ring-1.dat": "x", "ring-x.dat": "x", "spill-1.dat": "x", "ring-000009-aside.dat": "x", "dump-x.dat": "x",
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

// What was loaded and cannot be deleted must not be loaded twice, whatever happens.
func TestADumpThatCannotBeDeletedIsLoadedOnce(t *testing.T) {
	for _, end := range []string{"kill", "stop", "keeping stop", "subscribe and stop", "subscribe and kill", "drain and stop", "drain and kill"} {
		t.Run(end, func(t *testing.T) {
			n := newTrial(t)
			n.faulty = true
			n.options.Keep = end == "keeping stop"
			n.dir.Put("c.rq", dumpOf("1", "2", "3"))
			n.settle(map[string][]string{"c": {"1", "2", "3"}})
			failing := true
			n.dir.Before = func(c disktest.Call) error {
				if failing && c.Op == "remove" && c.Name == "c.rq" {
					return errInjected
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

// Something that has the name of a dump, and is not one, must not keep the node from
// stopping, nor from starting again.
func TestADirectoryWithTheNameOfADump(t *testing.T) {
	path := t.TempDir()
	cs := mustLoad(t, realOptions(path))
	if err := cs.Serve(); err != nil {
		t.Fatal(err)
	}
	push(t, cs, "c", "1", "2")
	push(t, cs, "d", "3")
	if err := os.Mkdir(filepath.Join(path, "c.rq"), 0o777); err != nil {
		t.Fatal(err)
	}
	closeErr := cs.Close()
	cs = mustLoad(t, realOptions(path))
	defer cs.Close()
	want := map[string][]string{"c": {"1", "2"}, "d": {"3"}}
	if got := contents(newTrial(t), cs); !reflect.DeepEqual(got, want) {
		t.Errorf("after the stop, whose error was %v: got %q, want %q", closeErr, got, want)
	}
}
