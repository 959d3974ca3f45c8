package storage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// kept is a directory that a clean stop has left with stop = keep, and what is in its queues.
type kept struct {
	options Options
	dir     *disktest.Dir
	queues  map[string][]string
}

func newKept(t testing.TB) *kept {
	k := &kept{options: realOptions(""), dir: disktest.NewDir(), queues: make(map[string][]string)}
	t.Cleanup(k.dir.Release)
	k.dir.KeepStable()
	k.options.Keep, k.options.inline = true, true
	k.options.RingSize = func(channel string) uint64 { return 100_000 }
	cs := k.load(t, k.dir)
	for channel, records := range map[string]int{"short": 40, "long": 3000, "delivered": 600} {
		for i := range records {
			p := fmt.Sprintf("%s %06d %s", channel, i, strings.Repeat("x", i*37%200))
			push(t, cs, channel, p)
			k.queues[channel] = append(k.queues[channel], p)
		}
	}
	for range 500 {
		if got, ok := popRecord(t, cs, "delivered"); !ok || got != k.queues["delivered"][0] {
			t.Fatalf("popped %q, %v", got, ok)
		}
		k.queues["delivered"] = k.queues["delivered"][1:]
	}
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *kept) load(t testing.TB, dir *disktest.Dir) *Channels {
	t.Helper()
	cs, err := load(k.options, dir, dir, unlocked{})
	if err == nil {
		err = cs.Serve()
	}
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

func popRecord(t testing.TB, cs *Channels, channel string) (payload string, ok bool) {
	t.Helper()
	c := openChannel(t, cs, channel)
	r, err := c.Pop(false)
	c.Commit()
	if err != nil {
		t.Fatalf("Pop from %s: %v", channel, err)
	}
	if r == nil {
		return "", false
	}
	payload = string(r.Payload())
	r.Deliver()
	return payload, true
}

// serves starts a node on the directory and takes everything. It returns how many records are
// missing of each queue; those that are there must be in order.
func (k *kept) serves(t testing.TB, dir *disktest.Dir, what string) (missing map[string]int) {
	t.Helper()
	cs := k.load(t, dir)
	missing = make(map[string]int)
	for channel, records := range k.queues {
		next := 0
		for {
			got, ok := popRecord(t, cs, channel)
			if !ok {
				break
			}
			for next < len(records) && records[next] != got {
				next++
				missing[channel]++
			}
			if next == len(records) {
				t.Fatalf("%s: %s hands out %q, which was not pushed, or not there", what, channel, got)
			}
			next++
		}
		missing[channel] += len(records) - next
	}
	if err := cs.Close(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return missing
}

// One flipped bit in any file costs no more than the records of a block, and nothing else is handed
// out than what was pushed.
func TestOneBitOfAnyFile(t *testing.T) {
	k := newKept(t)
	rng := rand.New(rand.NewPCG(1, 2))
	trials := 200
	if testing.Short() {
		trials = 40
	}
	lost := 0
	for _, name := range k.dir.Names() {
		content, _ := k.dir.Content(name)
		for range trials {
			at, bit := rng.IntN(len(content)), byte(1)<<rng.IntN(8)
			if name == catalogue.FileName {
				at = rng.IntN(5000)
			}
			what := fmt.Sprintf("%s, offset %d, bits %#x", name, at, bit)
			content[at] ^= bit
			dir := k.dir.Clone()
			dir.Put(name, content)
			content[at] ^= bit
			sum := 0
			for _, n := range k.serves(t, dir, what) {
				sum += n
			}
			dir.Release()
			if most := 16*1024/(8+14) + 2; sum > most {
				t.Fatalf("%s: %d records are missing, at most %d can lie in a block", what, sum, most)
			}
			if sum > 0 && name == catalogue.FileName {
				t.Fatalf("%s: %d records are missing", what, sum)
			}
			lost += sum
		}
	}
	if lost == 0 {
		t.Error("no flipped bit has cost a record")
	}
}

// What a clean stop has left is known byte by byte also when the machine has been started again, and so
// is what a node makes of it then.
func TestOneBitAfterTheMachineWasStartedAgain(t *testing.T) {
	k := newKept(t)
	rng := rand.New(rand.NewPCG(3, 4))
	started := k.dir.PowerCut(rng)
	defer started.Release()
	again := started.Clone()
	defer again.Release()
	cs := k.load(t, again)
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
	for what, dir := range map[string]*disktest.Dir{"stopped before": started, "started and stopped": again} {
		for _, name := range dir.Names() {
			if !strings.HasPrefix(name, "spill-") {
				continue
			}
			content, _ := dir.Content(name)
			content[4096+bytes.Index(content[4096:], []byte("xxx"))] ^= 4
			rotten := dir.Clone()
			rotten.Put(name, content)
			missing := 0
			for _, n := range k.serves(t, rotten, what+", "+name) {
				missing += n
			}
			rotten.Release()
			if missing == 0 {
				t.Errorf("%s: what has rotted in %s is not noticed", what, name)
			}
		}
	}
}

// A file that the disk can't read costs its own records, and does not keep the node from starting.
func TestFileThatCannotBeReadAtAStart(t *testing.T) {
	k := newKept(t)
	for _, name := range k.dir.Names() {
		dir := k.dir.Clone()
		dir.Before = func(c disktest.Call) error {
			if c.Op == "read" && c.Name == name {
				return unix.EIO
			}
			return nil
		}
		logs := logged(&k.options)
		missing := k.serves(t, dir, name)
		queues := 0
		for _, n := range missing {
			if n > 0 {
				queues++
			}
		}
		if name == catalogue.FileName && queues > 0 || queues > 1 {
			t.Errorf("without %s, records are missing: %v", name, missing)
		}
		told := false
		for _, entry := range logs.FilterLevelExact(zapcore.ErrorLevel).All() {
			told = told || strings.Contains(fmt.Sprint(entry.Message, entry.ContextMap()), name)
		}
		if !told {
			t.Errorf("nothing tells of %s: %v", name, logs.All())
		}
		if _, ok := dir.Content(asideName(name)); !ok {
			t.Errorf("%s is not kept: %v", name, dir.Names())
		}
		dir.Release()
	}
}
