package storage

import (
	"errors"
	"flag"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

var everyFault = flag.Bool("crash.faults", false, "let every call fail in every way")

// faults are the ways in which a call fails, and all that follow.
var faults = []struct {
	name  string
	fails func(call, faulty int) bool
	err   error
}{
	{"once", func(call, faulty int) bool { return call == faulty }, unix.EIO},
	{"from then on", func(call, faulty int) bool { return call >= faulty }, unix.ENOSPC},
	{"every third time", func(call, faulty int) bool { return call >= faulty && (call-faulty)%3 == 0 }, unix.ENOSPC},
}

// What fails is an error and never a panic, and what the node has acknowledged stays.
func TestFailingOperationsHarmNothingThatIsStored(t *testing.T) {
	step := 5 * len(faults)
	if *everyFault {
		step = 1
	} else if testing.Short() {
		step = 30
	}
	for _, h := range histories {
		for i, f := range faults {
			t.Run(h.name+"/"+f.name, func(t *testing.T) {
				for faulty := i; ; faulty += step {
					calls, failed := 0, false
					n := newTrial(t)
					n.faulty, n.waits = true, faulty/len(faults)%2 > 0
					n.dir.Before = func(c disktest.Call) error {
						defer func() { calls++ }()
						if !f.fails(calls, faulty) {
							return nil
						}
						failed = true
						n.note("  %s fails, as call %d", c, calls)
						return fmt.Errorf("%w: %w", errInjected, f.err)
					}
					h.run(n)
					n.examine(n.dir.Clone(), "at the end", 0)
					n.dir.Release()
					if !failed {
						t.Logf("%d calls", calls)
						return
					}
				}
			})
		}
	}
}

// fill makes the disk full, or not.
func (n *trial) fill(full bool) {
	n.dir.Before = nil
	if full {
		n.dir.Before = func(c disktest.Call) error {
			if c.Op == "write" || c.Op == "create" {
				return fmt.Errorf("%w: %w", errInjected, unix.ENOSPC)
			}
			return nil
		}
	}
}

// Records that the disk has no room for in one queue of a channel are refused for all of
// them, whatever their order: the client will push them again.
func TestAFullDiskRefusesRecordsForAllSubscribers(t *testing.T) {
	const kilo = 1000
	for _, subscribers := range [][]string{{"ahead", "behind"}, {"behind", "ahead"}} {
		n := newTrial(t)
		n.sizes["c"] = 3000 * kilo
		n.start()
		for _, name := range subscribers {
			n.subscribe("c", name)
		}
		n.push("c", false, 2900*kilo, 200*kilo) // the second spills
		ahead := n.attach("c", "ahead")
		n.next(ahead, everything)
		n.next(ahead, everything)
		n.fill(true)
		before := contents(n, n.channels)
		c := n.open("c")
		record := make([]byte, 1200*kilo)
		run := appendRecord(appendRecord(nil, record[:600*kilo]), record[:600*kilo])
		for what, err := range map[string]error{"Push": c.Push(record), "PushRun": c.PushRun(run, 2)} {
			if full := (*disk.FullError)(nil); !errors.As(err, &full) || !errors.Is(err, unix.ENOSPC) {
				t.Errorf("%s: got error %v, want %T", what, err, full)
			}
		}
		c.Commit()
		if after := contents(n, n.channels); !reflect.DeepEqual(after, before) {
			t.Errorf("subscribers %s: the queues have changed", subscribers)
		}
		n.fill(false)
		n.channels.store.dir.Probe()
		n.push("c", false, 1200*kilo)
		n.dir.Release()
	}
}

// A full disk is found out once. After that a push is refused without asking for it again, until
// a probe finds that there is room; what has room already goes on.
func TestAFullDiskIsRemembered(t *testing.T) {
	for _, full := range []struct {
		name string
		fill func(n *trial, full bool)
	}{
		{"the disk says so", (*trial).fill},
		{"min_free", func(n *trial, full bool) {
			n.dir.Space = func() uint64 {
				if full {
					return 999
				}
				return 1 << 40
			}
			n.channels.store.dir.Probe() // there was something written before
		}},
	} {
		for _, first := range []string{"of the queue", "that spills", "of the channel"} {
			t.Run(full.name+", the first record "+first, func(t *testing.T) {
				n := newTrial(t)
				n.faulty = true
				n.options.MinFree = 1000
				n.start()
				n.push("c", false, 10)
				n.subscribe("empty", "s")
				full.fill(n, true)
				channel, payload := "c", make([]byte, 200)
				switch first {
				case "of the queue":
					channel, payload = "empty", payload[:10]
				case "of the channel":
					channel, payload = "new", payload[:10]
				}
				spares := 0
				for calls, refused := n.dir.Calls(), 0; refused < 100; calls = n.dir.Calls() {
					c := openChannel(t, n.channels, channel)
					err := c.Push(payload)
					c.Commit()
					if err == nil { // there was a spare file
						if spares++; spares > 1000 {
							t.Fatal("nothing is ever refused")
						}
						payload = append(payload, make([]byte, 1<<20)...)
						continue
					}
					if full := (*disk.FullError)(nil); !errors.As(err, &full) {
						t.Fatalf("got error %v, want %T", err, full)
					}
					if made := n.dir.Calls() - calls; refused > 0 && made > 0 {
						t.Fatalf("a record was refused after %d calls, want none", made)
					}
					refused++
				}
				full.fill(n, false)
				n.channels.store.dir.Probe()
				push(t, n.channels, channel, string(payload))
			})
		}
	}
}

// No file, no acknowledgement: a record is never stored in memory because its ring has no file.
func TestWithoutAFileARecordIsRefused(t *testing.T) {
	for _, op := range []string{"create", "write", "map"} {
		t.Run(op, func(t *testing.T) {
			n := newTrial(t)
			n.start()
			n.subscribe("c", "s")
			failing := true
			n.dir.Before = func(c disktest.Call) error {
				if _, isRing := ring.ParseFileName(c.Name); failing && c.Op == op && isRing {
					return fmt.Errorf("%w: %w", errInjected, unix.EMFILE)
				}
				return nil
			}
			c := n.open("c")
			if err := c.Push([]byte("1")); !errors.Is(err, unix.EMFILE) {
				t.Errorf("got error %v, want %v", err, unix.EMFILE)
			}
			c.Commit()
			if got := contents(n, n.channels)["s@c"]; len(got) > 0 {
				t.Errorf("the queue has %q", got)
			}
			for _, name := range n.dir.Names() {
				if head, _ := ring.ReadHead(n.dir, name); name != catalogue.FileName && head.Queue != 0 { // else it is a spare
					t.Errorf("%s was left", name)
				}
			}
			failing = false
			n.push("c", false, 10, 200)
			n.stop()
		})
	}
}

// A file that could not be deleted stays without effect, whatever comes then.
func TestAFileThatCannotBeDeletedDoesNotComeBack(t *testing.T) {
	for _, drained := range []bool{false, true} {
		for _, keep := range []bool{false, true} {
			n := newTrial(t)
			n.faulty, n.options.Keep = true, keep
			n.start()
			n.push("c", false, 10, 90, 200)
			n.push("d", false, 10)
			n.dir.Before = func(c disktest.Call) error {
				if _, isRing := ring.ParseFileName(c.Name); isRing && c.Op == "remove" {
					return errInjected
				}
				return nil
			}
			for range 3 {
				if !drained {
					break
				}
				n.pop("c")
				n.deliver(0)
			}
			n.remove("c")
			for range 3 {
				n.stop()
				n.start() // compares
			}
			n.dir.Before = nil
			n.stop()
			n.start() // deletes them
			n.faulty, n.options.Keep = false, false
			n.stop() // there is nothing left
		}
	}
}

// A start that fails, whatever it is that does, leaves every file as it was: the original
// can still be started. What cannot be deleted again may stay, if the original ignores it.
// The next start finds everything.
func TestAStartThatFailsLeavesEveryFileAsItWas(t *testing.T) {
	const tiny = 10 // bytes of a ring: dumps are spilled
	for _, fixture := range []string{"loadfiles", "interleaved", "crash/stale-pushed", "crash/stale-drained"} {
		for _, size := range []uint64{ringSize, tiny} {
			t.Run(fmt.Sprintf("%s, rings of %d", fixture, size), func(t *testing.T) {
				failures := 0
				for faulty, calls := 0, 0; faulty <= calls; faulty++ {
					n := newTrial(t)
					n.options.RingSize = func(string) uint64 { return size }
					n.fixture(fixture)
					before := contentsOf(n.dir, anyName)
					calls = 0
					var failed disktest.Call
					n.dir.Before = func(call disktest.Call) error {
						if calls++; calls-1 != faulty {
							return nil
						}
						failed = call
						return fmt.Errorf("%w: %w", errInjected, unix.EIO)
					}
					cs, err := n.load(n.dir)
					n.dir.Before = nil
					if err != nil {
						failures++
						after := contentsOf(n.dir, func(name string) bool {
							_, old := before[name]
							return old || failed.Op != "remove" && failed.Op != "close"
						})
						if !reflect.DeepEqual(after, before) {
							t.Errorf("%s fails: %v:\n got %.60q\nwant %.60q", failed, err, after, before)
						}
						if cs, err = n.load(n.dir); err != nil {
							t.Fatal(err)
						}
						if got := contents(n, cs); !reflect.DeepEqual(got, fixtures[fixture]) {
							t.Errorf("%s fails, and the next start has\n%q, want\n%q", failed, got, fixtures[fixture])
						}
					}
					cs.Close()
					if after := contentsOf(n.dir, anyName); faulty > calls && !reflect.DeepEqual(after, before) {
						t.Errorf("a start that is undone leaves\n%.60q, want\n%.60q", after, before)
					}
					n.dir.Release()
				}
				if failures < 10 {
					t.Errorf("only %d starts have failed", failures)
				}
			})
		}
	}
}

func anyName(string) bool { return true }

// A start needs room for copies of what comes from the original, and says so before it changes
// anything.
func TestAStartWithoutRoomForCopies(t *testing.T) {
	n := newTrial(t)
	n.fixture("loadfiles")
	before := contentsOf(n.dir, anyName)
	n.dir.Space = func() uint64 { return 1000 }
	_, err := n.load(n.dir)
	if err == nil || !strings.Contains(err.Error(), "bytes of disk space for a copy") {
		t.Errorf("got error %v", err)
	}
	if after := contentsOf(n.dir, anyName); !reflect.DeepEqual(after, before) {
		t.Errorf("there are\n%.60q, want\n%.60q", after, before)
	}
	n.dir.Space = func() uint64 { return 10 << 20 }
	n.start()
}

// A stop without room for the dumps keeps ring files, as one does that fails to write them.
func TestAStopThatCannotDumpKeepsRingFiles(t *testing.T) {
	for _, inFile := range []bool{true, false} {
		for _, fault := range []struct{ op, name string }{
			{"", ""}, {"create", "dump-"}, {"write", "dump-"}, {"rename", "dump-"},
			{"write", "overflow-"}, {"rename", "overflow-"}, {"rename", "ofchannels-"}, {"sync", "dump-"}, {"sync map", "catalogue"},
		} {
			t.Run(fmt.Sprintf("%s %s, rings in files %v", fault.op, fault.name, inFile), func(t *testing.T) {
				n := newTrial(t)
				logs := logged(&n.options)
				n.options.RingInFile = inFile
				n.start()
				n.push("a", false, 10, 20)
				n.push("b", false, 10, 20, 70, 70)
				n.subscribe("d", "s")
				n.pop("b")
				n.pop("b")
				n.deliver(1)
				n.goHome()
				if fault.op == "" {
					n.dir.Space = func() uint64 { return 100 }
				}
				n.dir.Before = func(c disktest.Call) error {
					if c.Op == fault.op && strings.HasPrefix(c.Name, fault.name) {
						return fmt.Errorf("%w: %w", errInjected, unix.EIO)
					}
					return nil
				}
				err := n.channels.Close()
				if err == nil || fault.op != "" && !errors.Is(err, errInjected) {
					t.Errorf("Close: got error %v", err)
				}
				if found := logs.FilterMessageSnippet("to do:").Len(); found == 0 && fault.op != "sync map" {
					t.Errorf("the log does not say what to do: %v", logs.All())
				}
				n.dir.Before, n.dir.Space, n.channels = nil, nil, nil
				n.clean = true // also what was in memory is there
				n.start()
				n.stop()
				n.start()
			})
		}
	}
}
