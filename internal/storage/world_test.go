package storage

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// world is a set of channels, the model of each of their storages, and all who read from
// them. Its operations take what they do from a script.
type world struct {
	t      *testing.T
	script script
	step   int
	log    []string // what the last steps did

	dir      *disktest.Dir
	channels *Channels
	batch    Batch
	sizes    map[string]int           // of the rings, by channel
	models   map[string]*channelModel // by channel, those that exist
	queues   []*queue                 // also removed ones that somebody still uses

	popped  []*handout
	readers []*reader
	wakes   []*reader // since the last check
	serial  int       // of the last record

	attached   int // readers so far
	deliveries int // that may fail; 0 = any number
	late       int // runs that may be delayed; 0 = any number
}

type channelModel struct {
	subscribed  bool
	subscribers []string
	queues      []*queue // in the order of the subscribers
}

// handout is a run that is not settled, and the records that should be in it.
type handout struct {
	run     *Run
	queue   *queue
	records []*record
}

// reader is the owner of a Consumer.
type reader struct {
	Consumer
	world *world
	id    int
	queue *queue
	model consumerState
	runs  []*Run
	outs  []*handout
}

func (r *reader) Wake() { r.world.wakes = append(r.world.wakes, r) }

func (r *reader) String() string { return fmt.Sprintf("reader %d", r.id) }

var (
	channelNames    = []string{"a", "b", "c"}
	subscriberNames = []string{"", "s", "t"}
)

// failedChannel is the one that records of the others go to.
const failedChannel = "c"

func newWorld(t *testing.T, s script) *world {
	n := newTrial(t)
	w := &world{t: t, script: s, dir: n.dir, sizes: map[string]int{}, models: map[string]*channelModel{}}
	for _, name := range channelNames {
		w.sizes[name] = 40 + 2*w.script.below(131)
	}
	if w.script.below(8) == 0 {
		w.sizes["c"] = 0 // every record overflows
	}
	n.options.RingInFile = w.script.below(2) == 0
	n.options.RingSize = func(channel string) uint64 { return uint64(w.sizes[channel]) }
	w.deliveries, w.late = w.script.below(4), w.script.below(4)
	n.options.MaxDeliveries, n.options.FailedChannel, n.options.MaxDelayed = w.deliveries, failedChannel, w.late
	var err error
	if w.channels, err = n.load(n.dir); err == nil {
		err = w.channels.Serve()
	}
	if err != nil {
		t.Fatal(err)
	}
	w.channels.Mark(time.Unix(1, 0))
	w.batch = NewBatch(w.channels)
	return w
}

func (w *world) begin(op string) {
	w.step++
	w.log = append(w.log, op)
	if len(w.log) > 30 {
		w.log = w.log[1:]
	}
}

// notef adds to what the current step is said to do.
func (w *world) notef(format string, args ...any) {
	w.log[len(w.log)-1] += " " + fmt.Sprintf(format, args...)
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("step %d: %s\nlast steps:\n\t%s", w.step, fmt.Sprintf(format, args...), strings.Join(w.log, "\n\t"))
}

// payload makes a record that differs from the ones before, unless it is very short.
func (w *world) payload(size int) []byte {
	w.serial++
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(w.serial>>(8*(i%2))) ^ byte(i/2*37)
	}
	return p
}

// size picks the size of a payload for a ring.
func (w *world) size(channel string, smallest int) int {
	ring := w.sizes[channel]
	n := 0
	switch c := w.script.below(16); c {
	case 0, 1:
		n = 0
	case 2:
		n = ring - 8 // fills the ring
	case 3:
		n = ring - 7 // never fits
	case 4:
		n = 2 * ring
	case 5, 6:
		n = ring/2 - 8
	default:
		n = c + w.script.below(8)
	}
	return max(n, smallest)
}

func (w *world) channelName() string { return channelNames[w.script.below(len(channelNames))] }

// open returns the channel, locked by the batch of the world.
func (w *world) open(name string) (*Channel, *channelModel) {
	c, err := w.batch.Open([]byte(name))
	if err != nil {
		w.fatalf("Open(%s): %v", name, err)
	}
	if w.models[name] == nil {
		m := &channelModel{}
		w.models[name] = m
		w.addQueue(c, m, c.storages[0], name)
	}
	return c, w.models[name]
}

func (w *world) addQueue(c *Channel, m *channelModel, s *Storage, name string) {
	q := &queue{real: s, ringSize: w.sizes[c.name], name: name}
	m.queues = append(m.queues, q)
	w.queues = append(w.queues, q)
}

// push pushes one record to a locked channel.
func (w *world) push(c *Channel, m *channelModel, payload []byte) {
	w.notef("%s: %d bytes", c.name, len(payload))
	before := usagesOf(m)
	if err := c.Push(payload); err != nil {
		w.fatalf("Push: %v", err)
	}
	for i, q := range m.queues {
		after := usageOf(q.real)
		if after.records() != before[i].records()+1 {
			w.fatalf("Push: storage %s did not take the record", q.name)
		}
		w.checkPlace(q, before[i], after, 8+len(payload))
		q.push(after.spilled-before[i].spilled, payload)
	}
}

// checkPlace checks that the ring was used if, and only if, order and space allow it.
func (w *world) checkPlace(q *queue, before, after usage, need int) {
	inRing := after.ring > before.ring
	switch {
	case inRing && before.spilled > 0:
		w.fatalf("%s: a record went to the ring past %d that have spilled", q.name, before.spilled)
	case inRing && before.used+need > q.ringSize:
		w.fatalf("%s: %d bytes went to a ring with %d of %d used", q.name, need, before.used, q.ringSize)
	case !inRing && before.ring == 0 && before.spilled == 0 && need <= q.ringSize:
		w.fatalf("%s: %d bytes did not go to the empty ring of %d", q.name, need, q.ringSize)
	}
}

func (w *world) pushRun(c *Channel, m *channelModel) {
	var records [][]byte
	var run []byte
	for range 1 + w.script.below(8) {
		p := w.payload(w.size(c.name, 1))
		records = append(records, p)
		run = appendRecord(run, p)
	}
	w.notef("%s: %d records, %d bytes", c.name, len(records), len(run))
	before := usagesOf(m)
	if err := c.PushRun(run, len(records)); err != nil {
		w.fatalf("PushRun: %v", err)
	}
	for i, q := range m.queues {
		after := usageOf(q.real)
		if taken := after.records() - before[i].records(); taken != len(records) {
			w.fatalf("PushRun: storage %s took %d of %d records", q.name, taken, len(records))
		}
		q.push(after.spilled-before[i].spilled, records...)
	}
}

// pop pops from a locked channel.
func (w *world) pop(c *Channel, m *channelModel, skipEmpty bool) {
	w.notef("%s: skipEmpty %v", c.name, skipEmpty)
	if m.subscribed {
		if run, err := c.Pop(skipEmpty); run != nil || err != ErrSubscribed {
			w.fatalf("Pop: got %v, %v from a channel with subscribers, want ErrSubscribed", run, err)
		}
		return
	}
	want := m.queues[0].handOut(1, 1, skipEmpty)
	run, err := c.Pop(skipEmpty)
	if err != nil {
		w.fatalf("Pop: %v", err)
	}
	if (run == nil) != (len(want) == 0) {
		w.fatalf("Pop: got run %v, want %d records", run, len(want))
	}
	if run != nil {
		if !bytes.Equal(run.Payload(), want[0].payload) {
			w.fatalf("Pop: got % x, want % x", run.Payload(), want[0].payload)
		}
		w.popped = append(w.popped, w.handedOut(m.queues[0], run, want))
	}
}

// handedOut checks a run against the first of the records, and notes it.
func (w *world) handedOut(q *queue, run *Run, records []*record) *handout {
	if run.Records() < 1 || run.Records() > len(records) {
		w.fatalf("%s handed out %d records, want 1 to %d", q.name, run.Records(), len(records))
	}
	h := &handout{run: run, queue: q, records: records[:run.Records()]}
	w.checkBytes(h)
	for _, r := range h.records {
		if r.tries != run.Tries() {
			w.fatalf("%s handed out a record as tried %d times, want %d", q.name, run.Tries(), r.tries)
		}
	}
	q.runs++
	return h
}

func (w *world) checkBytes(h *handout) {
	if want := layout(h.records); !bytes.Equal(h.run.Bytes(), want) {
		w.fatalf("run of %s (removed %v): got % x, want % x", h.queue.name, h.queue.removed, h.run.Bytes(), want)
	}
}

// settle takes note that a run is to be settled.
func (w *world) settle(h *handout, sent int) {
	w.checkBytes(h)
	h.queue.runs--
	h.queue.settle(h.records, sent)
}

// sent picks how much of size bytes was sent: often all or nothing.
func (w *world) sent(size int) int {
	switch c := w.script.below(8); c {
	case 0, 1:
		return 0
	case 2, 3:
		return size
	default:
		return w.script.next() * (size + 1) / 256
	}
}

func (w *world) attach(q *queue) {
	w.attached++
	r := &reader{world: w, id: w.attached, queue: q, model: busy}
	w.notef("%v to %s", r, q.name)
	r.Attach(q.real, r)
	q.readers = append(q.readers, r)
	w.readers = append(w.readers, r)
}

// noLongerIdle takes note that a reader has come.
func (r *reader) noLongerIdle() {
	switch r.model {
	case waiting:
		r.queue.idle = slices.DeleteFunc(r.queue.idle, func(other *reader) bool { return other == r })
	case woken:
		r.queue.woken--
	}
	r.model = busy
}

func (w *world) settleReader(r *reader, sent int) {
	for _, h := range r.outs {
		size := len(h.run.Bytes())
		w.settle(h, min(sent, size))
		sent = max(0, sent-size)
	}
	r.outs = nil
	r.noLongerIdle()
}

func (w *world) next(r *reader, enough int, skipEmpty bool) {
	q := r.queue
	w.notef("%v of %s: enough %d skipEmpty %v, settles %d runs", r, q.name, enough, skipEmpty, len(r.outs))
	w.settleReader(r, math.MaxInt)
	var want []*record
	if !q.removed {
		share := math.MaxInt
		if others := len(q.idle) + q.woken; others > 0 {
			share = (q.available() + others) / (others + 1)
		}
		want = q.handOut(enough, share, skipEmpty)
	}
	runs, removed, err := r.Next(r.runs, enough, skipEmpty)
	r.runs = runs
	if removed != q.removed {
		w.fatalf("Next: removed %v, want %v", removed, q.removed)
	}
	if err != nil {
		w.fatalf("Next: %v", err)
	}
	for _, run := range runs {
		h := w.handedOut(q, run, want)
		r.outs = append(r.outs, h)
		want = want[len(h.records):]
	}
	if len(want) > 0 {
		w.fatalf("Next: %d runs lack the last %d records", len(runs), len(want))
	}
	if len(runs) == 0 && !removed {
		r.model = waiting
		q.idle = append(q.idle, r)
	}
}

// take lets a reader take one run, which it settles by itself.
func (w *world) take(r *reader, enough, records int) {
	q := r.queue
	w.notef("%v of %s: enough %d records %d", r, q.name, enough, records)
	called := r.model == woken
	r.noLongerIdle()
	limit := math.MaxInt
	if others := len(q.idle) + q.woken; others > 0 {
		limit = (q.available() + others) / (others + 1)
	}
	if !called {
		limit = min(limit, q.available()-q.woken)
	}
	limit = min(limit, q.available(), records)
	run, removed, err := r.Take(enough, records)
	if removed != q.removed || err != nil {
		w.fatalf("Take: removed %v, error %v, want %v", removed, err, q.removed)
	}
	switch {
	case removed:
	case run != nil:
		if run.Records() > limit {
			w.fatalf("%s: took %d records, want %d at most", q.name, run.Records(), limit)
		}
		w.popped = append(w.popped, w.handedOut(q, run, q.handOut(enough, run.Records(), false)))
	case limit > 0:
		w.fatalf("%s: took nothing, want up to %d records", q.name, limit)
	case called:
		r.model = waiting
		q.idle = slices.Insert(q.idle, 0, r)
	default:
		r.model = waiting
		q.idle = append(q.idle, r)
	}
}

// fail lets the delivery of a run fail.
func (w *world) fail(h *handout, late bool) {
	q := h.queue
	w.checkBytes(h)
	tries := h.run.Tries() + 1
	h.queue.runs--
	state := recordWaits
	for _, r := range h.records {
		r.tries = tries
	}
	channel := h.run.storage.channel.name
	switch {
	case q.removed:
		h.run.Fail(0)
		return
	case w.deliveries > 0 && tries >= w.deliveries && channel != failedChannel:
		w.notef("moved to %s", failedChannel)
		records := h.records
		_, m := w.open(failedChannel)
		before := usagesOf(m)
		w.batch.End()
		h.run.Fail(0)
		for i, other := range m.queues {
			for _, r := range records {
				other.push(0, r.payload)
			}
			other.counters.Overflowed = other.real.counters.Overflowed // checkPlace looks at these
			if got := usageOf(other.real).records() - before[i].records(); got != len(records) {
				w.fatalf("%s got %d of %d records that are moved", other.name, got, len(records))
			}
		}
		for _, r := range records {
			r.state = recordDelivered
			q.counters.Failed.add(1, len(r.payload))
		}
		q.trim()
		return
	case late && (w.late == 0 || len(q.real.delayed) < w.late):
		state = recordDelayed
	}
	for _, r := range h.records {
		r.state = state
		q.counters.Redelivered.add(1, len(r.payload))
	}
	delay := time.Duration(0)
	if late {
		delay = time.Hour
	}
	h.run.Fail(delay)
}
