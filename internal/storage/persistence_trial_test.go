package storage

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// trial is a node with a data directory in memory, and the model of what must survive its
// being killed at any instant. Its methods work on both. A node may have to do with a
// faulty directory; then its errors are counted, and the model knows what is uncertain.
type trial struct {
	t       testing.TB
	dir     *disktest.Dir
	options StoreOptions
	sizes   map[string]uint64 // of rings by channel, where it is not ringSize
	foreign map[string]string // files that nobody may touch
	log     []string          // what was done, to be read after a failure

	channels *Channels // nil while the node is stopped
	queues   []*stored
	readers  []*keptReader
	popped   []*handedOut
	clean    bool // the node has stopped, and nothing failed
	silent   bool // there is no reason for an error in the log of a start
	serial   int

	// at is called, if set, wherever the node might be killed.
	at     func(where string)
	faulty bool
	errors int
}

// stored is the model of a storage.
type stored struct {
	name    string
	renamed string // what it is being renamed to
	exists  certainty
	items   []*item
}

// item is a record.
type item struct {
	payload string
	pushed  certainty
	gone    certainty // delivered
	out     bool      // handed out
	lossy   bool      // in memory, because there was no file for the ring
}

// certainty is what is known of something that a node was to do when it was killed.
type certainty int

const (
	no certainty = iota
	maybe
	yes
)

const ringSize = 100

func newTrial(t testing.TB) *trial {
	n := &trial{t: t, dir: disktest.NewDir(), sizes: make(map[string]uint64)}
	n.options = StoreOptions{
		RingInFile: true,
		RingSize: func(channel string) uint64 {
			if size, ok := n.sizes[channel]; ok {
				return size
			}
			return ringSize
		},
		Logs: func(string) *zap.Logger { return zap.NewNop() },
	}
	return n
}

func (n *trial) note(format string, args ...any) {
	n.log = append(n.log, fmt.Sprintf(format, args...))
}

func (n *trial) fatalf(format string, args ...any) {
	n.t.Helper()
	log := n.log[max(0, len(n.log)-60):]
	n.t.Fatalf("%s\nafter:\n\t%s", fmt.Sprintf(format, args...), strings.Join(log, "\n\t"))
}

// failed takes note of an error and reports whether there was one.
func (n *trial) failed(err error) bool {
	n.t.Helper()
	if err == nil {
		return false
	}
	if !n.faulty || !errors.Is(err, errInjected) {
		n.fatalf("%v", err)
	}
	n.errors++
	n.note("  error: %v", err)
	return true
}

var errInjected = errors.New("injected")

// point is where the node might be killed.
func (n *trial) point(where string) {
	if n.at != nil {
		n.at(where)
	}
}

type unlocked struct{}

func (unlocked) Close() error { return nil }

func (n *trial) load(dir *disktest.Dir) (*Channels, error) {
	cs, err := load(n.options, dir, dir, unlocked{})
	if err == nil {
		cs.shared.store.mostPinned = 60
	}
	return cs, err
}

// start starts the node, on what is in the directory. The model then knows for certain.
func (n *trial) start() {
	n.t.Helper()
	n.note("start")
	n.settle(n.examine(n.dir.Clone(), "before the start", 0))
	cs, err := n.load(n.dir)
	if n.failed(err) {
		return
	}
	n.channels, n.clean = cs, false
	n.markLossy()
	n.point("loaded")
	n.channels.Commit()
	n.markLossy()
}

// markLossy takes note of records that a kill may lose: those of rings in memory, where a
// ring in a file could not be had.
func (n *trial) markLossy() {
	for _, s := range storagesOf(n.channels) {
		if s.ring.InFile() || s.ring.Capacity() == 0 {
			continue
		}
		for _, i := range n.queue(s.name).items {
			i.lossy = true
		}
	}
}

// settle makes the model what was found.
func (n *trial) settle(found map[string][]string) {
	n.queues = nil
	for name, payloads := range found {
		q := n.queue(name)
		q.exists = yes
		for _, p := range payloads {
			q.items = append(q.items, &item{payload: p, pushed: yes})
		}
	}
	slices.SortFunc(n.queues, func(a, b *stored) int { return strings.Compare(a.name, b.name) })
}

// queue returns the model of a storage.
func (n *trial) queue(name string) *stored {
	for _, q := range n.queues {
		if q.name == name {
			return q
		}
	}
	q := &stored{name: name}
	n.queues = append(n.queues, q)
	return q
}

// of returns the models of the storages of a channel.
func (n *trial) of(channel string) (all []*stored) {
	for _, q := range n.queues {
		if q.name == channel || strings.HasSuffix(q.name, "@"+channel) {
			all = append(all, q)
		}
	}
	return all
}

func (n *trial) payload(size int) string {
	n.serial++
	p := fmt.Sprintf("%d:", n.serial)
	return p + strings.Repeat("x", max(0, size-len(p)))
}

// open opens a channel, or returns nil.
func (n *trial) open(channel string) *Channel {
	n.t.Helper()
	if n.channels == nil {
		return nil
	}
	if n.channels.Find([]byte(channel)) == nil {
		n.queue(channel).exists = maybe
	}
	c, err := n.channels.Open([]byte(channel))
	if n.failed(err) {
		return nil
	}
	for _, s := range c.storages {
		n.queue(s.name).exists = yes
	}
	return c
}

// push pushes records to a channel, one by one or as a run.
func (n *trial) push(channel string, asRun bool, sizes ...int) {
	n.t.Helper()
	n.note("push %s %v", channel, sizes)
	c := n.open(channel)
	if c == nil {
		return
	}
	var added []*item
	var run []byte
	var err error
	for _, size := range sizes {
		p := ""
		if size > 0 {
			p = n.payload(size)
		}
		for _, q := range n.of(channel) {
			i := &item{payload: p, pushed: maybe}
			q.items = append(q.items, i)
			added = append(added, i)
		}
		run = appendRecord(run, []byte(p))
		if !asRun && err == nil {
			err = c.Push([]byte(p))
		}
	}
	if asRun {
		err = c.PushRun(run, len(sizes))
	}
	n.markLossy()
	n.point("pushed, but not unlocked")
	c.Unlock()
	if !n.failed(err) {
		for _, i := range added {
			i.pushed = yes
		}
	}
	n.point("pushed")
}

// subscribe adds a subscriber.
func (n *trial) subscribe(channel, subscriber string) {
	n.t.Helper()
	name := subscriber + "@" + channel
	n.note("subscribe %s", name)
	c := n.open(channel)
	if c == nil {
		return
	}
	q := n.queue(channel)
	if c.subscribed {
		q = n.queue(name)
		q.exists = max(q.exists, maybe)
	} else {
		q.renamed = name
	}
	_, err := c.Subscribe(subscriber)
	n.point("subscribed, but not unlocked")
	c.Unlock()
	if !n.failed(err) {
		q.name, q.renamed, q.exists = name, "", yes
	}
	n.point("subscribed")
}

// remove removes a channel.
func (n *trial) remove(channel string) {
	n.note("remove %s", channel)
	if n.channels == nil {
		return
	}
	removed := n.of(channel)
	for _, q := range removed {
		q.exists = min(q.exists, maybe)
	}
	n.channels.Remove([]byte(channel))
	n.queues = slices.DeleteFunc(n.queues, func(q *stored) bool {
		_, undeleted := n.dir.Content(q.name + ".rq") // the dump of which an error was logged
		return slices.Contains(removed, q) && !undeleted
	})
	for _, r := range slices.Clone(n.readers) {
		if slices.Contains(removed, r.queue) {
			n.leave(r, 0)
		}
	}
	n.point("removed")
}

// handedOut is a run, and the records in it.
type handedOut struct {
	run   *Run
	items []*item
}

func (n *trial) handedOut(q *stored, run *Run) *handedOut {
	h := &handedOut{run: run}
	next := 0
	for _, p := range runPayloads(run.Bytes()) {
		for next < len(q.items) && (q.items[next].payload != p || q.items[next].out || q.items[next].gone == yes) {
			next++
		}
		if next == len(q.items) {
			n.fatalf("%s handed out %.20q, which it does not have", q.name, p)
		}
		q.items[next].out = true
		h.items = append(h.items, q.items[next])
	}
	return h
}

func runPayloads(run []byte) (all []string) {
	for len(run) > 0 {
		record, _ := ring.Cut(run, 1, 1)
		all = append(all, string(record[ring.HeaderSize:]))
		run = run[len(record):]
	}
	return all
}

// settling takes note that a run is about to be settled after the first sent bytes of it
// have arrived; the function that it returns, that it is.
func (n *trial) settling(h *handedOut, sent int) (settled func()) {
	var delivered []*item
	for i, p := range runPayloads(h.run.Bytes()) {
		if p != h.items[i].payload {
			n.fatalf("what was handed out as %.20q has become %.20q", h.items[i].payload, p)
		}
	}
	for _, i := range h.items {
		i.out = false
		if sent -= ring.HeaderSize + len(i.payload); sent >= 0 {
			i.gone = maybe
			delivered = append(delivered, i)
		} else {
			sent = -1
		}
	}
	return func() {
		for _, i := range delivered {
			i.gone = yes
		}
	}
}

// pop takes the oldest record of a channel.
func (n *trial) pop(channel string) {
	n.note("pop %s", channel)
	c := n.open(channel)
	if c == nil {
		return
	}
	run, err := c.Pop(false)
	c.Unlock()
	if err != ErrSubscribed && !n.failed(err) && run != nil {
		n.popped = append(n.popped, n.handedOut(n.queue(channel), run))
	}
}

// deliver settles a run that was popped.
func (n *trial) deliver(i int) {
	n.note("deliver %d of %d", i, len(n.popped))
	if i >= len(n.popped) && n.faulty {
		return
	}
	h := n.popped[i]
	n.popped = slices.Delete(n.popped, i, i+1)
	settled := n.settling(h, math.MaxInt)
	h.run.Deliver()
	settled()
	n.point("delivered")
}

// giveBack settles a run that was popped.
func (n *trial) giveBack(i, sent int) {
	n.note("give back %d of %d, %d bytes sent", i, len(n.popped), sent)
	h := n.popped[i]
	n.popped = slices.Delete(n.popped, i, i+1)
	settled := n.settling(h, sent)
	h.run.GiveBack(sent)
	settled()
	n.point("given back")
}

// keptReader is a consumer.
type keptReader struct {
	Consumer
	queue *stored
	runs  []*Run
	outs  []*handedOut
}

func (*keptReader) Wake() {}

// attach adds a consumer of a subscriber that exists.
func (n *trial) attach(channel, subscriber string) *keptReader {
	name := subscriber + "@" + channel
	n.note("attach to %s", name)
	c := n.open(channel)
	if c == nil {
		return nil
	}
	defer c.Unlock()
	for _, s := range c.storages {
		if s.name == name {
			r := &keptReader{queue: n.queue(name)}
			r.Attach(s, r)
			n.readers = append(n.readers, r)
			return r
		}
	}
	return nil
}

// next lets a consumer settle what it has and take more.
func (n *trial) next(r *keptReader, enough int) {
	if r == nil {
		return
	}
	n.note("next of %s, enough %d", r.queue.name, enough)
	var settled []func()
	for _, h := range r.outs {
		settled = append(settled, n.settling(h, math.MaxInt))
	}
	runs, _, err := r.Next(r.runs, enough, false)
	for _, f := range settled {
		f()
	}
	r.runs, r.outs = runs, nil
	n.failed(err)
	for _, run := range runs {
		r.outs = append(r.outs, n.handedOut(r.queue, run))
	}
	n.point("next")
}

// leave ends a consumer after the first sent bytes have arrived.
func (n *trial) leave(r *keptReader, sent int) {
	if r == nil || !slices.Contains(n.readers, r) {
		return
	}
	n.note("leave %s, %d bytes sent", r.queue.name, sent)
	n.readers = slices.DeleteFunc(n.readers, func(other *keptReader) bool { return other == r })
	var settled []func()
	left := sent
	for _, h := range r.outs {
		size := len(h.run.Bytes())
		settled = append(settled, n.settling(h, min(left, size)))
		left = max(0, left-size)
	}
	r.Leave(r.runs, sent)
	for _, f := range settled {
		f()
	}
	n.point("left")
}

// tick does the periodic work.
func (n *trial) tick() {
	n.note("tick")
	if n.channels == nil {
		return
	}
	st := n.channels.shared.store
	_, err := st.overflow.CutHead()
	n.failed(err)
	n.failed(st.overflow.WriteIndex(n.channels.entries()))
	n.failed(n.channels.sync())
	n.point("ticked")
}

// stop is a clean stop. Records that are handed out go back.
func (n *trial) stop() {
	n.t.Helper()
	n.note("stop")
	if n.channels == nil {
		return
	}
	n.goHome()
	err := n.channels.Close()
	n.channels = nil
	if !n.failed(err) {
		n.clean = true
		for _, q := range n.queues {
			if q.empty() && !strings.Contains(q.name, "@") {
				q.exists = no
			}
		}
	}
	n.point("stopped")
}

// goHome gives back all that is handed out.
func (n *trial) goHome() {
	for len(n.readers) > 0 {
		n.leave(n.readers[0], 0)
	}
	for len(n.popped) > 0 {
		n.giveBack(0, 0)
	}
}

// crash kills the node.
func (n *trial) crash() {
	n.note("crash")
	old := n.dir
	n.dir = old.Clone()
	n.dir.Before, n.dir.After = old.Before, old.After
	old.Release()
	n.channels, n.readers, n.popped = nil, nil, nil
	for _, q := range n.queues {
		for _, i := range q.items {
			i.out = false
		}
	}
}

func (q *stored) empty() bool {
	return !slices.ContainsFunc(q.items, func(i *item) bool { return i.gone != yes })
}

// examine starts another node on a directory and compares what it holds with the model.
// With depth, that node too is killed after each of its changes, and so on.
func (n *trial) examine(dir *disktest.Dir, where string, depth int) map[string][]string {
	n.t.Helper()
	defer dir.Release()
	if depth > 0 {
		dir.After = func(c disktest.Call) {
			if c.Changes && !strings.HasPrefix(c.Name, "falloctest_") {
				n.examine(dir.Clone(), where+", then killed again after "+c.String(), depth-1)
			}
		}
	}
	var logs *observer.ObservedLogs
	usual := n.options.Logs
	if n.silent {
		logs = logged(&n.options)
	}
	cs, err := n.load(dir)
	n.options.Logs = usual
	if err != nil {
		n.fatalf("killed %s: load: %v", where, err)
	}
	if n.silent && logs.FilterLevelExact(zapcore.ErrorLevel).Len() > 0 {
		n.fatalf("killed %s: errors were logged: %v", where, logs.FilterLevelExact(zapcore.ErrorLevel).All())
	}
	cs.Commit()
	found := contents(n, cs)
	if err := n.compare(found); err != nil {
		n.fatalf("killed %s: %v", where, err)
	}
	for name, want := range n.foreign {
		if got, ok := dir.Content(name); !ok || string(got) != want {
			n.fatalf("killed %s: file %s is %q, want %q", where, name, got, want)
		}
	}
	if depth > 0 {
		dir.After = nil
		n.goesOn(dir, cs, found, where)
	}
	return found
}

// storagesOf returns all storages, which nobody else may be using.
func storagesOf(cs *Channels) (all []*Storage) {
	for _, c := range cs.All() {
		all = append(all, c.storages...)
	}
	return all
}

// contents hands out everything, and takes it back.
func contents(n *trial, cs *Channels) map[string][]string {
	found := make(map[string][]string)
	for _, s := range storagesOf(cs) {
		found[s.name] = nil
		var runs []*Run
		for {
			s.channel.mu.Lock()
			run, err := s.take(1000, everything, false)
			s.channel.mu.Unlock()
			if err != nil {
				n.fatalf("take from %s: %v", s.name, err)
			}
			if run == nil {
				break
			}
			found[s.name] = append(found[s.name], runPayloads(run.Bytes())...)
			runs = append(runs, run)
		}
		for _, run := range runs {
			run.GiveBack(0)
		}
	}
	return found
}

// goesOn checks that a node that was started after a kill works: what is pushed now is there
// after another kill, and after a clean stop.
func (n *trial) goesOn(dir *disktest.Dir, cs *Channels, found map[string][]string, where string) {
	n.t.Helper()
	want := make(map[string][]string)
	for _, s := range storagesOf(cs) {
		want[s.name] = append(slices.Clone(found[s.name]), "later", "")
	}
	for _, c := range cs.All() {
		c.Lock()
		for _, p := range []string{"later", ""} {
			if err := c.Push([]byte(p)); err != nil {
				n.fatalf("killed %s: push: %v", where, err)
			}
		}
		c.Unlock()
	}
	check := func(dir *disktest.Dir, what string) {
		defer dir.Release()
		cs, err := n.load(dir)
		if err != nil {
			n.fatalf("killed %s, then %s: load: %v", where, what, err)
		}
		if got := contents(n, cs); !reflect.DeepEqual(got, want) {
			n.fatalf("killed %s, then %s:\n got %.100q\nwant %.100q", where, what, got, want)
		}
	}
	check(dir.Clone(), "pushed to, and killed again")
	if err := cs.Close(); err != nil {
		n.fatalf("killed %s: close: %v", where, err)
	}
	for _, name := range dir.Names() {
		_, foreign := n.foreign[name]
		known := name == "overflow.dat" || name == "ofchannels.csv" || strings.HasSuffix(name, ".rq")
		if !foreign && !known {
			n.fatalf("killed %s: a clean stop leaves file %s", where, name)
		}
	}
	check(dir.Clone(), "pushed to, and stopped")
}

// compare says how what was found after a kill differs from what it may be.
func (n *trial) compare(found map[string][]string) error {
	known := make(map[string]bool)
	for _, q := range n.queues {
		name := q.name
		if _, ok := found[name]; !ok && q.renamed != "" {
			name = q.renamed
		}
		got, ok := found[name]
		plainAndEmpty := q.empty() && !strings.Contains(name, "@")
		switch {
		case !ok && q.exists == yes && !plainAndEmpty:
			return fmt.Errorf("storage %s is missing", q.name)
		case ok && q.exists == no:
			return fmt.Errorf("storage %s with %.100q came back", name, got)
		}
		known[name] = true
		if ok && !q.match(got, n.clean) {
			return fmt.Errorf("storage %s has\n\t%.60q\nof\n%s", name, got, q)
		}
	}
	for name, got := range found {
		if !known[name] {
			return fmt.Errorf("there is also storage %s with %.100q", name, got)
		}
	}
	return nil
}

// match reports whether these records may be found after a kill, or after a clean stop.
func (q *stored) match(got []string, clean bool) bool {
	at := map[int]bool{0: true} // how many of got the items so far may account for
	for _, i := range q.items {
		next := make(map[int]bool)
		for j := range at {
			if i.pushed != yes || i.gone != no || i.lossy && !clean {
				next[j] = true
			}
			if j < len(got) && got[j] == i.payload && i.gone != yes {
				next[j+1] = true
			}
		}
		at = next
	}
	return at[len(got)]
}

func (q *stored) String() string {
	var b strings.Builder
	for _, i := range q.items {
		fmt.Fprintf(&b, "\t%.20q", i.payload)
		for _, c := range []struct {
			certainty
			what string
		}{{i.pushed, "pushed"}, {i.gone, "delivered"}} {
			b.WriteString([]string{" not ", " perhaps ", " "}[c.certainty] + c.what)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// fixture puts the files of a directory of testdata there.
func (n *trial) fixture(name string) {
	n.t.Helper()
	dir := filepath.Join("testdata", name)
	entries, err := os.ReadDir(dir)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			n.t.Fatal(err)
		}
		n.dir.Put(e.Name(), content)
	}
	n.settle(fixtures[name])
}
