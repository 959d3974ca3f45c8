package storage

import (
	"encoding/binary"
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

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// trial is a node with a data directory in memory, and the model of what must survive its
// being killed at any instant. Its methods work on both. A node may have to do with a
// faulty directory; then its errors are counted, and the model knows what is uncertain.
type trial struct {
	t       testing.TB
	dir     *disktest.Dir
	options Options
	sizes   map[string]uint64 // of rings by channel, where it is not ringSize
	foreign map[string]string // files that nobody may touch
	log     []string          // what was done, to be read after a failure

	channels *Channels // nil while the node is stopped
	queues   []*stored
	readers  []*keptReader
	popped   []*handedOut
	moving   []*item   // they are being moved to a failed channel
	movingTo []*stored // its storages
	clean    bool      // the node has stopped, and nothing failed
	silent   bool      // there is no reason for an error in the log of a start
	waits    bool      // who needs files waits for them; they are made ready when the trial says so
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
	paused  certainty
	items   []*item
}

// item is a record.
type item struct {
	payload string
	pushed  certainty
	gone    certainty // delivered
	out     bool      // handed out
	delayed bool      // returned, and not due
	lossy   bool      // in memory
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
	n.options = Options{
		RingInFile: true,
		Checksums:  true,
		RingSize: func(channel string) uint64 {
			if size, ok := n.sizes[channel]; ok {
				return size
			}
			return ringSize
		},
		Logs:     func(string) *zap.Logger { return zap.NewNop() },
		inline:   true,
		Mappings: 32, // so that files are mapped anew all the time
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
	return load(n.options, dir, dir, unlocked{})
}

// start starts the node, on what is in the directory. The model then knows for certain. Before
// the node serves clients it leaves the files of the original as they are.
func (n *trial) start() {
	n.t.Helper()
	n.note("start")
	n.settle(n.examine(n.dir.Clone(), "before the start", 0))
	before, at := originalFiles(n.dir), n.at
	n.at = func(where string) {
		n.t.Helper()
		n.checkOriginal(before, where)
		if at != nil {
			at(where)
		}
	}
	cs, err := n.load(n.dir)
	n.point("loaded")
	if n.at = at; n.failed(err) {
		return
	}
	n.channels, n.clean = cs, false
	for _, s := range storagesOf(cs) {
		n.queue(s.name).paused = no
		if s.paused {
			n.queue(s.name).paused = yes
		}
		items, size := n.queue(s.name).items, 0
		for _, p := range s.parts {
			size += p.Size()
			if p.Records() > len(items) {
				n.fatalf("%s: the node tells of more records than there are", s.name)
			}
			for _, i := range items[:p.Records()] {
				i.lossy = !p.InFile()
			}
			items = items[p.Records():]
		}
		if s.bytes != size {
			n.fatalf("%s: %d bytes count for its bound after a start, want %d", s.name, s.bytes, size)
		}
	}
	if n.failed(cs.Serve()) {
		n.failed(cs.Close())
		n.channels = nil
		return
	}
	if n.waits {
		cs.store.hurry.some.L, cs.store.hurry.running = &cs.store.hurry.mu, true // by nobody
		cs.store.serving.Store(true)
	}
	n.point("serving")
}

// work does what is waited for, or all there is to do.
func (n *trial) work(until func() bool) {
	if n.channels == nil {
		return
	}
	for w := &n.channels.store.hurry; len(w.work) > 0 && !until(); {
		what := w.work[0]
		w.work = w.work[1:]
		n.point("waiting")
		what()
	}
}

func never() bool { return false }

// atOnce does what waits by blocking, which the trial can't do as nobody else works.
func (n *trial) atOnce(operation func()) {
	serving := &n.channels.store.serving
	waits := serving.Swap(false)
	operation()
	serving.Store(waits)
}

// wait does something again and again until it need not wait any more. unlock and lock are for
// the time in between.
func (n *trial) wait(operation func() error, unlock, lock func()) error {
	n.t.Helper()
	for {
		err := operation()
		w, ok := err.(*Wait)
		if !ok {
			return err
		}
		unlock()
		n.work(w.Over)
		lock()
		if !w.Over() {
			n.fatalf("nobody does what is waited for")
		}
		if err := w.Err(); err != nil {
			return err
		}
	}
}

func (n *trial) onChannel(c *Channel, operation func() error) error {
	n.t.Helper()
	return n.wait(operation, c.Commit, func() { c.lock(true) })
}

func nothing() {}

// originalFiles returns what there is in the formats of the original.
func originalFiles(dir *disktest.Dir) map[string]string {
	return contentsOf(dir, func(name string) bool {
		return name == "overflow.dat" || name == "ofchannels.csv" || strings.HasSuffix(name, ".rq")
	})
}

func contentsOf(dir *disktest.Dir, which func(name string) bool) map[string]string {
	all := make(map[string]string)
	for _, name := range dir.Names() {
		if content, _ := dir.Content(name); which(name) {
			all[name] = string(content)
		}
	}
	return all
}

func (n *trial) checkOriginal(want map[string]string, where string) {
	n.t.Helper()
	if got := originalFiles(n.dir); !reflect.DeepEqual(got, want) {
		n.fatalf("%s: the files of the original are\n%.60q, want\n%.60q", where, got, want)
	}
}

// settle makes the model what was found.
func (n *trial) settle(found map[string][]string) {
	before := n.queues
	n.queues = nil
	for name, payloads := range found {
		q := n.queue(name)
		q.exists = yes
		for _, b := range before {
			if b.name == name {
				q.paused = b.paused
			}
		}
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
	var c *Channel
	err := n.wait(func() (err error) {
		c, err = n.channels.open([]byte(channel), n.waits)
		return err
	}, nothing, nothing)
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
		for _, s := range c.storages {
			spills := len(s.parts) > 0 && s.parts[len(s.parts)-1].Kind() == ring.Spill
			i := &item{payload: p, pushed: maybe, lossy: !n.options.RingInFile && !spills}
			q := n.queue(s.name)
			q.items = append(q.items, i)
			added = append(added, i)
		}
		run = appendRecord(run, []byte(p))
		if !asRun && err == nil {
			err = n.onChannel(c, func() error { return c.Push([]byte(p)) })
		}
	}
	if asRun {
		err = n.onChannel(c, func() error { return c.PushRun(run, len(sizes)) })
	}
	n.point("pushed, but not committed")
	c.Commit()
	if !n.failed(err) {
		for _, i := range added {
			i.pushed = yes
		}
	}
	n.point("pushed")
}

// appendRecord lays a record out as in a ring.
func appendRecord(dst, payload []byte) []byte {
	return append(binary.LittleEndian.AppendUint64(dst, uint64(len(payload))), payload...)
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
	paused := q.paused
	q.paused = min(paused, maybe)
	err := n.onChannel(c, func() error {
		_, err := c.Subscribe(subscriber)
		return err
	})
	n.point("subscribed, but not committed")
	c.Commit()
	if !n.failed(err) {
		q.name, q.exists = name, yes
	}
	q.renamed, q.paused = "", paused // one that failed has changed nothing
	n.point("subscribed")
}

// find returns the queue of a channel without subscribers, or else of that subscriber, or nil.
func (n *trial) find(channel, subscriber string) *stored {
	for _, name := range []string{channel, subscriber + "@" + channel} {
		for _, q := range n.queues {
			if q.name == name && q.exists == yes {
				return q
			}
		}
	}
	return nil
}

// clear drops what waits in a queue.
func (n *trial) clear(channel, subscriber string) {
	n.t.Helper()
	q := n.find(channel, subscriber)
	if q == nil || n.channels == nil {
		return
	}
	n.note("clear %s", q.name)
	var dropped []*item
	for _, i := range q.items {
		if !i.out && i.gone != yes {
			dropped = append(dropped, i)
			i.gone, i.delayed = maybe, false
		}
	}
	var err error
	n.atOnce(func() { _, err = n.channels.Clear(q.name) })
	if n.failed(err) {
		return
	}
	for _, i := range dropped {
		i.gone = yes
	}
	n.point("cleared")
}

// unsubscribe removes a subscriber.
func (n *trial) unsubscribe(channel, subscriber string) {
	n.t.Helper()
	q := n.find(channel, subscriber)
	if q == nil || n.channels == nil || q.name == channel {
		return
	}
	if len(n.of(channel)) == 1 {
		n.remove(channel)
		return
	}
	n.note("unsubscribe %s", q.name)
	q.exists = maybe
	if n.failed(n.channels.RemoveSubscriber(q.name)) {
		q.exists = yes
		return
	}
	n.queues = slices.DeleteFunc(n.queues, func(other *stored) bool { return other == q })
	n.point("unsubscribed")
	for _, r := range slices.Clone(n.readers) {
		if r.queue == q {
			n.leave(r, 0)
		}
	}
}

// remove removes a channel.
func (n *trial) remove(channel string) {
	n.t.Helper()
	n.note("remove %s", channel)
	if n.channels == nil {
		return
	}
	removed := n.of(channel)
	were := make([]certainty, len(removed))
	for i, q := range removed {
		were[i], q.exists = q.exists, min(q.exists, maybe)
	}
	err := n.wait(func() error { return n.channels.remove([]byte(channel), n.waits) }, nothing, nothing)
	if n.failed(err) {
		for i, q := range removed {
			q.exists = were[i]
		}
		return
	}
	n.queues = slices.DeleteFunc(n.queues, func(q *stored) bool { return slices.Contains(removed, q) })
	n.point("removed")
	for _, r := range slices.Clone(n.readers) {
		if slices.Contains(removed, r.queue) {
			n.leave(r, 0)
		}
	}
}

// handedOut is a run, and the records in it.
type handedOut struct {
	run   *Run
	items []*item
}

func (n *trial) handedOut(q *stored, run *Run) *handedOut {
	n.t.Helper()
	h := &handedOut{run: run}
	next := 0
	for _, p := range runPayloads(run.Bytes()) {
		for next < len(q.items) && (q.items[next].payload != p || q.items[next].out || q.items[next].delayed || q.items[next].gone == yes) {
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
	n.t.Helper()
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
	n.t.Helper()
	n.note("pop %s", channel)
	c := n.open(channel)
	if c == nil {
		return
	}
	var run *Run
	err := n.onChannel(c, func() (err error) {
		run, err = c.Pop(false)
		return err
	})
	c.Commit()
	if err != ErrSubscribed && !n.failed(err) && run != nil {
		n.popped = append(n.popped, n.handedOut(n.queue(channel), run))
	}
}

// deliver settles a run that was popped.
func (n *trial) deliver(i int) { n.giveBack(i, math.MaxInt) }

// giveBack settles a run that was popped.
func (n *trial) giveBack(i, sent int) {
	n.t.Helper()
	n.note("settle %d of %d, %d bytes sent", i, len(n.popped), sent)
	if i >= len(n.popped) && n.faulty {
		return
	}
	h := n.popped[i]
	n.popped = slices.Delete(n.popped, i, i+1)
	settled := n.settling(h, sent)
	if sent == math.MaxInt {
		h.run.Deliver()
	} else {
		h.run.GiveBack(sent)
	}
	settled()
	n.point("settled")
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
	n.t.Helper()
	name := subscriber + "@" + channel
	n.note("attach to %s", name)
	c := n.open(channel)
	if c == nil {
		return nil
	}
	defer c.Commit()
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
	n.t.Helper()
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
	for err == nil && len(runs) == 0 && r.storage.stalled {
		n.work(func() bool { return !r.storage.stalled })
		runs, _, err = r.Next(runs, enough, false)
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
	n.t.Helper()
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
	n.t.Helper()
	n.note("tick")
	if n.channels == nil {
		return
	}
	n.work(never)
	n.channels.store.dir.Probe()
	n.channels.trim()
	n.failed(n.channels.sync(lagging))
	n.point("ticked")
}

// stop is a clean stop. Records that are handed out go back.
func (n *trial) stop() {
	n.t.Helper()
	n.note("stop, keep %v", n.options.Keep)
	if n.channels == nil {
		return
	}
	n.goHome()
	n.nothingDelayed()
	n.work(never)
	n.channels.store.options.Keep = n.options.Keep
	err := n.channels.Close()
	n.channels = nil
	if !n.failed(err) {
		n.clean = true
		for _, q := range n.queues {
			if q.empty() && !strings.Contains(q.name, "@") && !n.options.Keep {
				q.exists = no
			}
		}
		if !n.options.Keep {
			n.checkDumps(n.dir, func(found map[string][]string) error { return n.compare(found) }, "stopped")
		}
	}
	n.point("stopped")
}

// checkDumps checks that a clean stop has left nothing but files of the original, and that these
// have what is wanted.
func (n *trial) checkDumps(dir *disktest.Dir, check func(found map[string][]string) error, where string) {
	n.t.Helper()
	dir = dir.Clone() // where nothing fails
	defer dir.Release()
	d, err := dformat.Read(dir, dformat.Left{})
	if err != nil {
		n.fatalf("%s: what is left can't be read: %v", where, err)
	}
	found := make(map[string][]string)
	for _, q := range d.Queues {
		found[q.Storage] = nil
		for _, p := range []*dformat.Part{&q.Dump, &q.Overflow} {
			for run, err := range p.Runs() {
				if err != nil {
					n.fatalf("%s: what is left of %s can't be read: %v", where, q.Storage, err)
				}
				found[q.Storage] = append(found[q.Storage], runPayloads(run.Bytes)...)
			}
		}
		if size := n.options.RingSize(q.Channel); q.Dump.Bytes > size {
			n.fatalf("%s: the dump of %s has %d bytes, which a ring of %d has no room for", where, q.Storage, q.Dump.Bytes, size)
		}
	}
	d.Findings = slices.DeleteFunc(d.Findings, func(f dformat.Finding) bool { return n.foreign[f.File] != "" })
	if len(d.Findings) > 0 {
		n.fatalf("%s: what is left is not as it should be: %+v", where, d.Findings)
	}
	if err := check(found); err != nil {
		n.fatalf("%s, in the files of the original: %v", where, err)
	}
	for _, name := range dir.Names() {
		_, foreign := n.foreign[name]
		if _, known := originalFiles(dir)[name]; !foreign && !known && name != pausedFile && name != newPausedFile && !n.faulty && !strings.Contains(name, "-aside") {
			n.fatalf("%s: a clean stop leaves file %s", where, name)
		}
	}
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
	n.dir.Before, n.dir.After, n.dir.Store = old.Before, old.After, old.Store
	old.Release()
	n.channels, n.readers, n.popped = nil, nil, nil
	for _, q := range n.queues {
		for _, i := range q.items {
			i.out = false
		}
	}
	n.nothingDelayed()
}

func (q *stored) empty() bool {
	return !slices.ContainsFunc(q.items, func(i *item) bool { return i.gone != yes })
}

// examine starts another node on a directory and compares what it holds with the model.
// With depth, that node too is killed after each of its changes, and so on.
func (n *trial) examine(dir *disktest.Dir, where string, depth int) map[string][]string {
	n.t.Helper()
	defer dir.Release()
	if !n.options.RingInFile {
		depth = 0 // a start takes dumps into memory
	}
	if depth > 0 {
		dir.After = func(c disktest.Call) {
			n.t.Helper()
			if c.Changes {
				n.examine(dir.Clone(), where+", then killed again after "+c.String(), depth-1)
			}
		}
		dir.Store = func(name string) {
			n.t.Helper()
			if name == catalogue.FileName || name == catalogue.NewFileName {
				n.examine(dir.Clone(), where+", then killed again before something was stored in "+name, depth-1)
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
	if err := cs.Serve(); err != nil {
		n.fatalf("killed %s: serve: %v", where, err)
	}
	if n.silent && logs.FilterLevelExact(zapcore.ErrorLevel).Len() > 0 {
		n.fatalf("killed %s: errors were logged: %v", where, logs.FilterLevelExact(zapcore.ErrorLevel).All())
	}
	if err := n.comparePaused(cs); err != nil {
		n.fatalf("killed %s: %v", where, err)
	}
	found := contents(n, cs)
	if err := n.compare(found); err != nil {
		n.fatalf("killed %s: %v", where, err)
	}
	if err := n.compareMoves(found); err != nil {
		n.fatalf("killed %s: %v", where, err)
	}
	for name, want := range n.foreign {
		if got, ok := dir.Content(name); !ok || string(got) != want {
			n.fatalf("killed %s: file %s is %q, want %q", where, name, got, want)
		}
	}
	dir.After, dir.Store = nil, nil
	if depth > 0 {
		n.goesOn(dir, cs, found, where)
	}
	return found
}

// logged makes the options log to what is returned.
func logged(options *Options) *observer.ObservedLogs {
	core, logs := observer.New(zapcore.InfoLevel)
	options.Logs = func(name string) *zap.Logger { return zap.New(core).Named(name) }
	return logs
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
	n.t.Helper()
	found := make(map[string][]string)
	for _, s := range storagesOf(cs) {
		found[s.name] = nil
		var runs []*Run
		for {
			s.channel.mu.Lock()
			paused := s.paused
			s.paused = false
			run, err := s.take(1000, everything, false)
			s.paused = paused
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
		if f := s.figures(); f.MemoryRecords+f.OverflowRecords != uint64(len(found[s.name])) {
			n.fatalf("%s has %d records, and its figures say %d and %d", s.name, len(found[s.name]), f.MemoryRecords, f.OverflowRecords)
		}
	}
	return found
}

// goesOn checks that a node that was started after a kill works: what is pushed now is there
// after another kill, and after clean stops of either kind.
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
		c.Commit()
	}
	compare := func(got map[string][]string) error {
		if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("got %.100q\nwant %.100q", got, want)
		}
		return nil
	}
	start := func(dir *disktest.Dir, what string) *Channels {
		n.t.Helper()
		cs, err := n.load(dir)
		if err != nil {
			n.fatalf("killed %s, then %s: load: %v", where, what, err)
		}
		if err := compare(contents(n, cs)); err != nil {
			n.fatalf("killed %s, then %s: %v", where, what, err)
		}
		return cs
	}
	if n.options.RingInFile {
		killed := dir.Clone()
		start(killed, "pushed to, and killed again")
		killed.Release()
	}
	for _, keep := range []bool{true, false} {
		cs.store.options.Keep = keep
		what := fmt.Sprintf("pushed to, and stopped, keep %v", keep)
		if err := cs.Close(); err != nil {
			n.fatalf("killed %s, %s: %v", where, what, err)
		}
		if !keep {
			n.checkDumps(dir, compare, "killed "+where+", "+what)
		}
		cs = start(dir, what)
		if err := cs.Serve(); err != nil {
			n.fatalf("killed %s, %s: %v", where, what, err)
		}
	}
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
		plainAndEmpty := q.match(nil, n.clean) && !strings.Contains(name, "@")
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
		if i.lossy {
			b.WriteString(", in memory")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// fixtureDir is the directories that nodes of the original have left (storage spec §8).
const fixtureDir = "../../docs/spec/fixtures"

// fixture puts the files of one of them there.
func (n *trial) fixture(name string) {
	n.t.Helper()
	entries, err := os.ReadDir(filepath.Join(fixtureDir, name))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(fixtureDir, name, e.Name()))
		if err != nil {
			n.t.Fatal(err)
		}
		n.dir.Put(e.Name(), content)
	}
	n.settle(fixtures[name])
}

// fixtures are the records that these directories hold, oldest first. Those of killed nodes have
// a stale index; what is expected is what the data file proves.
var fixtures = map[string]map[string][]string{
	"loadfiles": {
		"@ch1": {"Hello ch1!", "Hello ch1!"}, "sub1@ch1": {"Hello ch1!", "Hello ch1!"}, "sub2@ch1": {"Hello ch1!", "Hello ch1!"},
		"ch2":  {"Hello ch2!", "Hello ch2!"},
		"@ch3": {"Hello ch3!"}, "sub1@ch3": {"Hello ch3!"},
		"ch4": {"Hello ch4!"}, "@ch5": {"Hello ch5!"},
	},
	"interleaved": {
		"logs": {"log-1", "", "log-3", "log-5", "log-6-abc",
			"log-4-" + strings.Repeat("x", 24), "", "log-8", "log-9-after-truncation"},
		"@events":     {"e0", "e2", "e1-" + strings.Repeat("y", 57), "e3-" + strings.Repeat("y", 57)},
		"sub1@events": {"e2", "e1-" + strings.Repeat("y", 57), "e3-" + strings.Repeat("y", 57)},
		"new-chan":    {strings.Repeat("N", 70)},
	},
	"crash/lost-index":    {},
	"crash/stale-pushed":  {"ch1": {"first", "second", "third", "fourth"}},
	"crash/stale-popped":  {"ch1": {"first", "second", "third"}},
	"crash/stale-drained": {"ch1": {"new"}, "hold": {"keep"}},
}
