package storage

import (
	"errors"
	"flag"
	"fmt"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
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
	step := len(faults) // so that every call fails in one of the ways
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
					n.faulty = true
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
		n.push("c", false, 2900*kilo, 200*kilo) // the second goes to the overflow
		ahead := n.attach("c", "ahead")
		n.next(ahead, everything)
		n.next(ahead, everything)
		n.dir.Before = func(c disktest.Call) error {
			if c.Op == "allocate" {
				return fmt.Errorf("%w: %w", errInjected, unix.ENOSPC)
			}
			return nil
		}
		before := contents(n, n.channels)
		c := n.open("c")
		record := make([]byte, 1200*kilo)
		run := appendRecord(appendRecord(nil, record[:600*kilo]), record[:600*kilo])
		for what, err := range map[string]error{"Push": c.Push(record), "PushRun": c.PushRun(run, 2)} {
			if !errors.Is(err, unix.ENOSPC) {
				t.Errorf("%s: got error %v, want %v", what, err, unix.ENOSPC)
			}
		}
		c.Unlock()
		if after := contents(n, n.channels); !reflect.DeepEqual(after, before) {
			t.Errorf("subscribers %s: the queues have changed", subscribers)
		}
		n.dir.Release()
	}
}

// A start that fails, whatever it is that does, leaves every file as it was: the original
// can still be started. What cannot be deleted again may stay, if the original ignores it.
// The next start finds everything.
func TestAStartThatFailsLeavesEveryFileAsItWas(t *testing.T) {
	const tiny = 10 // bytes of a ring: dumps go to the overflow
	consumed := "\x63\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x64\x00\x00\x00\x00\x00\x00\x00" + "\x07\x00\x00\x00\x00\x00\x00\x00" + "removed" // id 99
	for _, c := range []struct {
		name, fixture string
		ring          uint64
		behind        string // is at the end of the data file
	}{
		{"", "loadfiles", ringSize, ""},
		{"", "interleaved", ringSize, ""},
		{"", "crash/stale-pushed", ringSize, ""},
		{"", "crash/stale-drained", ringSize, ""},
		{", tiny rings", "loadfiles", tiny, ""},
		{", tiny rings", "interleaved", tiny, ""},
		{", tiny rings, consumed records at the end", "interleaved", tiny, consumed},
	} {
		t.Run(c.fixture+c.name, func(t *testing.T) {
			failures, undone := 0, 0
			for faulty, calls := 0, 0; faulty <= calls; faulty++ {
				n := newTrial(t)
				n.options.RingSize = func(string) uint64 { return c.ring }
				n.fixture(c.fixture)
				n.append("overflow.dat", c.behind)
				before, age := contentsOf(n.dir), n.age("overflow.dat")
				calls = 0
				var failed disktest.Call
				appended := false
				n.dir.Before = func(call disktest.Call) error {
					appended = appended || call.Op+" "+call.Name == "map overflow.dat"
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
					if appended {
						undone++
					}
					after := contentsOf(n.dir)
					for name := range after {
						if _, ok := before[name]; !ok && failed.Op == "remove" {
							delete(after, name)
						}
					}
					if !reflect.DeepEqual(after, before) || !n.age("overflow.dat").Equal(age) {
						t.Errorf("%s fails: %v:\n got %.60q\nwant %.60q", failed, err, after, before)
					}
					if cs, err = n.load(n.dir); err != nil {
						t.Fatal(err)
					}
					if got := contents(n, cs); !reflect.DeepEqual(got, fixtures[c.fixture]) {
						t.Errorf("%s fails, and the next start has\n%q, want\n%q", failed, got, fixtures[c.fixture])
					}
				}
				cs.Close()
				n.dir.Release()
			}
			t.Logf("%d starts have failed, %d of them when the overflow was appended to", failures, undone)
			if failures == 0 || (undone > 0) != (c.ring == tiny) {
				t.Errorf("%d starts have failed, %d of them when the overflow was appended to", failures, undone)
			}
		})
	}
}

// append puts bytes at the end of a file, which stays as old as it is.
func (n *trial) append(name, bytes string) {
	content, _ := n.dir.Content(name)
	age := n.age(name)
	n.dir.Put(name, append(content, bytes...))
	if err := n.dir.SetModTime(name, age); err != nil {
		n.t.Fatal(err)
	}
}

func (n *trial) age(name string) time.Time {
	info, err := n.dir.Stat(name)
	if err != nil {
		n.t.Fatal(err)
	}
	return info.ModTime()
}

func contentsOf(dir *disktest.Dir) map[string]string {
	all := make(map[string]string)
	for _, name := range dir.Names() {
		content, _ := dir.Content(name)
		all[name] = string(content)
	}
	return all
}
