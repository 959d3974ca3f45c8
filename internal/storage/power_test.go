package storage

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

var powerSeeds = flag.Uint64("power.seeds", 12, "number of random histories with power failures")

// powered is a trial with power failures. What is pushed has to survive the second sync after it,
// and what is delivered must not come back after the first.
type powered struct {
	*trial
	random  *rand.Rand
	noted   map[*item]bool // pushed before the last sync
	certain map[*item]bool // durable, unless it is delivered
	gone    map[*item]bool // delivered before the last sync
	names   map[*stored][]string
	removed []*stored // since the last sync
	cuts    int
}

func newPowered(t testing.TB, seed uint64) *powered {
	n := &powered{trial: newTrial(t), random: rand.New(rand.NewPCG(seed, 0x706f7765))}
	n.dir.KeepStable()
	n.options.Sync = time.Second
	n.options.RingSize = func(channel string) uint64 { return map[string]uint64{"a": 100, "b": 700, "c": 3000}[channel] }
	n.forget()
	n.silent = true
	n.hook()
	return n
}

func (n *powered) forget() {
	n.noted, n.certain, n.gone = make(map[*item]bool), make(map[*item]bool), make(map[*item]bool)
	n.names, n.removed = make(map[*stored][]string), nil
}

func (n *powered) hook() {
	n.at = func(where string) {
		n.t.Helper()
		if n.random.IntN(4) == 0 {
			n.dir.Drift(n.random)
		}
		if n.random.IntN(12) == 0 {
			n.cut(where)
		}
	}
	n.dir.After = func(c disktest.Call) {
		n.t.Helper()
		if interesting(c) {
			n.at("after " + c.String())
		}
	}
	n.dir.Before = func(c disktest.Call) error {
		if c.Op == "sync map" && n.at != nil { // what is to be durable is stored, and perhaps written already
			n.t.Helper()
			n.at("before " + c.String())
		}
		return nil
	}
	n.dir.Store = func(name string) { n.at("before something is stored in " + name) }
}

// cut looks at what a power failure now leaves.
func (n *powered) cut(where string) map[string][]string {
	n.t.Helper()
	n.cuts++
	dir := n.dir.PowerCut(n.random)
	defer dir.Release()
	return n.look(dir, where)
}

// look starts a node on a directory after a power failure, and compares.
func (n *powered) look(dir *disktest.Dir, where string) map[string][]string {
	n.t.Helper()
	options := n.options
	logs := logged(&options)
	cs, err := load(options, dir, dir, unlocked{})
	if err == nil {
		err = cs.Serve()
	}
	if err != nil {
		n.fatalf("power failed %s: %v", where, err)
	}
	for _, e := range logs.All() {
		if e.Level > 0 {
			n.fatalf("power failed %s: logged was %s %v", where, e.Message, e.ContextMap())
		}
	}
	found := contents(n.trial, cs)
	if err := n.compareDurable(found); err != nil {
		n.fatalf("power failed %s: %v", where, err)
	}
	if n.random.IntN(8) == 0 { // what is there now is durable: it is after another failure
		again := dir.PowerCut(n.random)
		defer again.Release()
		cs, err := load(options, again, again, unlocked{})
		if err != nil {
			n.fatalf("power failed %s, and again: %v", where, err)
		}
		if got := contents(n.trial, cs); !maps.EqualFunc(got, found, slices.Equal[[]string]) {
			n.fatalf("power failed %s, and again: got %.200q, want %.200q", where, got, found)
		}
	}
	return found
}

// compareDurable says how what was found differs from what a power failure may leave.
func (n *powered) compareDurable(found map[string][]string) error {
	all := append(slices.Clone(n.queues), n.removed...)
	called := func(q *stored, name string) bool {
		return q.name == name || q.renamed == name || slices.Contains(n.names[q], name)
	}
	for name, got := range found {
		var err error
		if !slices.ContainsFunc(all, func(q *stored) bool {
			if !called(q, name) {
				return false
			}
			why := n.matchDurable(q, got)
			if why != nil {
				err = fmt.Errorf("of\n%s", n.tell(q))
			}
			return why == nil
		}) {
			return fmt.Errorf("there is storage %s with\n\t%.60q\n%w", name, got, err)
		}
	}
	for _, q := range n.queues {
		there := slices.ContainsFunc(slices.Collect(maps.Keys(found)), func(name string) bool { return called(q, name) })
		for _, i := range q.items {
			if !there && n.certain[i] && i.gone == no && q.exists == yes {
				return fmt.Errorf("storage %s is missing, with %.20q", q.name, i.payload)
			}
		}
	}
	return nil
}

func (n *powered) tell(q *stored) string {
	lines := strings.Split(q.String(), "\n")
	for i, item := range q.items {
		lines[i] += fmt.Sprintf(", noted %v, certain %v, gone for long %v", n.noted[item], n.certain[item], n.gone[item])
	}
	return strings.Join(lines, "\n")
}

// matchDurable checks that what is there is, in order, all that is certain; that nothing is that was
// delivered long ago; and that what is missing is missing from the end.
func (n *powered) matchDurable(q *stored, got []string) error {
	type state struct {
		found int
		ended bool // a record was missing: no later one may be there
	}
	states := map[state]bool{{}: true}
	for _, i := range q.items {
		next := make(map[state]bool)
		for s := range states {
			if s.found < len(got) && got[s.found] == i.payload && !n.gone[i] && !s.ended {
				next[state{s.found + 1, false}] = true
			}
			switch {
			case i.gone != no || i.pushed != yes || slices.Contains(n.removed, q):
				next[s] = true
			case !n.certain[i]:
				next[state{s.found, true}] = true
			}
		}
		states = next
	}
	if !states[state{len(got), false}] && !states[state{len(got), true}] {
		return fmt.Errorf("which can't be")
	}
	return nil
}

// tick syncs, and takes note of what has to survive from then on.
func (n *powered) tick() {
	n.t.Helper()
	noted, gone := make(map[*item]bool), make(map[*item]bool)
	removed := n.removed
	for _, q := range append(slices.Clone(n.queues), removed...) {
		for _, i := range q.items {
			if i.pushed == yes {
				noted[i] = true
			}
			if i.gone == yes {
				gone[i] = true
			}
		}
	}
	if n.options.Synced {
		n.note("sync")
		n.failed(n.channels.sync(all))
		maps.Copy(n.certain, noted)
	} else {
		n.trial.tick()
	}
	maps.Copy(n.certain, n.noted)
	n.noted, n.gone = noted, gone
	n.removed = slices.DeleteFunc(n.removed, func(q *stored) bool { return slices.Contains(removed, q) })
	clear(n.names)
}

func (n *powered) subscribe(channel, subscriber string) {
	n.t.Helper()
	for _, q := range n.of(channel) {
		n.names[q] = append(n.names[q], q.name)
	}
	n.trial.subscribe(channel, subscriber)
}

func (n *powered) remove(channel string) {
	n.t.Helper()
	n.removed = append(n.removed, n.of(channel)...)
	n.trial.remove(channel)
}

// fail lets the power fail, and goes on with what is left.
func (n *powered) fail() {
	n.t.Helper()
	n.note("the power fails")
	old := n.dir
	old.Before, old.After, old.Store = nil, nil, nil
	dir := old.PowerCut(n.random)
	copied := dir.Clone()
	found := n.look(copied, "for good")
	copied.Release()
	old.Release()
	n.dir = dir
	n.channels, n.readers, n.popped = nil, nil, nil
	n.settle(found)
	n.started()
}

// started starts the node: what there is is durable from then on.
func (n *powered) started() {
	n.t.Helper()
	n.dir.After, n.dir.Store = nil, nil
	n.trial.at = nil
	cs, err := n.load(n.dir)
	if err == nil {
		err = cs.Serve()
	}
	if err != nil {
		n.fatalf("start: %v", err)
	}
	n.channels = cs
	n.forget()
	for _, q := range n.queues {
		for _, i := range q.items {
			if i.pushed == yes && i.gone == no {
				n.certain[i] = true
			}
		}
	}
	n.hook()
}

// killed kills the node, and starts it again: nothing is lost.
func (n *powered) killed() {
	n.t.Helper()
	n.dir.After, n.dir.Store = nil, nil
	n.trial.at = nil
	n.crash()
	n.settle(n.examine(n.dir.Clone(), "before the start", 0))
	n.started()
}

// A power failure at any instant, whatever the disk has of what was not synced, costs only records
// that are younger than two syncs, or one if replies wait for it, and those from the end of their queue.
func TestAPowerFailureCostsOnlyWhatIsNew(t *testing.T) {
	seeds, cuts := *powerSeeds, 0
	if testing.Short() {
		seeds /= 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			n := newPowered(t, seed)
			n.options.Synced = seed%3 == 0
			defer func() { n.dir.Release() }()
			n.started()
			for range 150 {
				n.step()
			}
			cuts += n.cuts
		})
	}
	t.Logf("%d power failures", cuts)
}

func (n *powered) step() {
	n.t.Helper()
	rng := n.random
	channel := []string{"a", "b", "c"}[rng.IntN(3)]
	subscriber := []string{"", "s", "t"}[rng.IntN(3)]
	switch rng.IntN(40) {
	case 0:
		n.subscribe(channel, subscriber)
	case 1, 2:
		n.attach(channel, subscriber)
	case 3:
		switch rng.IntN(8) {
		case 0:
			n.remove(channel)
		case 1, 2, 3:
			n.clear(channel, subscriber)
			n.push(channel, true, 30, 40) // where they were
		case 4:
			n.fail()
		case 5:
			n.killed()
		}
	case 4, 5, 6, 7, 8, 9:
		if len(n.readers) > 0 {
			n.next(n.readers[rng.IntN(len(n.readers))], 1+rng.IntN(500))
		}
	case 10:
		if len(n.readers) > 0 {
			n.leave(n.readers[rng.IntN(len(n.readers))], rng.IntN(100))
		}
	case 11, 12, 13, 14:
		n.pop(channel)
	case 15, 16, 17:
		if len(n.popped) > 0 {
			n.deliver(rng.IntN(len(n.popped)))
		}
	case 18, 19, 20, 21, 22, 23, 24:
		n.tick()
	case 25:
		n.push(channel, false, []int{0, 1500, 4000, 300_000}[rng.IntN(4)])
	case 26, 27, 28, 29:
		var sizes []int
		for range 1 + rng.IntN(6) {
			sizes = append(sizes, 1+rng.IntN(200))
		}
		n.push(channel, true, sizes...)
	default:
		n.push(channel, false, rng.IntN(60))
	}
}
