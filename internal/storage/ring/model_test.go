package ring

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// record is one of the model: where it lies, and what it is.
type record struct {
	at      int
	payload []byte
	marked  bool
}

func (m record) size() int { return HeaderSize + len(m.payload) }

// model is a ring as storage spec §1 tells it: a list of records, from which all else follows.
type model struct {
	kind     Kind
	capacity int
	records  []record // held ones, oldest first
	out      int      // how many of them are handed out
}

func (m *model) wrapped() bool {
	return len(m.records) > 0 && m.records[len(m.records)-1].at < m.records[0].at
}

// end is where the next record goes, and how much room there is.
func (m *model) end() (at, room int) {
	if len(m.records) == 0 {
		return 0, m.capacity
	}
	last := m.records[len(m.records)-1]
	at = last.at + last.size()
	if m.wrapped() {
		return at, m.records[0].at - at
	}
	return at, m.capacity - at
}

func (m *model) place(need int) (at int, ok bool) {
	at, room := m.end()
	switch {
	case room >= need:
		return at, true
	case m.kind == Spill || m.wrapped() || len(m.records) == 0:
		return 0, false
	}
	return 0, m.records[0].at >= need
}

func (m *model) push(payload []byte) bool {
	at, ok := m.place(HeaderSize + len(payload))
	if ok {
		m.records = append(m.records, record{at: at, payload: payload})
	}
	return ok
}

func (m *model) used() (size int) {
	for _, r := range m.records {
		size += r.size()
	}
	return size
}

func encode(records []record) (run []byte) {
	for _, r := range records {
		run = binary.LittleEndian.AppendUint64(run, uint64(len(r.payload)))
		run = append(run, r.payload...)
	}
	return run
}

// handed is a run that was taken.
type handed struct {
	run       []byte
	content   []byte
	records   int
	delivered bool // behind others
}

// world is a ring, in memory or in a file, and the model of it, to which the same is done.
type world struct {
	testing.TB
	*Ring
	m         model
	out       []handed
	published []record // what a process killed now leaves
	dir       *disktest.Dir
	full      bool // the disk
	work      []*Work
	back      *Return
	pushed    int
	what      string
}

var somewhere = Link{Main, 7}

func newWorld(t testing.TB, kind Kind, capacity int, inFile bool) *world {
	w := &world{TB: t, m: model{kind: kind, capacity: capacity}}
	if !inFile {
		r, err := New(uint64(capacity))
		if err != nil {
			t.Fatal(err)
		}
		r.kind = kind
		w.Ring = r
		return w
	}
	w.dir = disktest.NewDir()
	w.Ring = newFile(t, w.dir, Link{kind, somewhere.Number}, capacity)
	w.hook()
	return w
}

// newFile makes a ring in a file.
func newFile(t testing.TB, dir *disktest.Dir, l Link, capacity int) *Ring {
	t.Helper()
	spare, err := NewSpare(dir, 42, l, false)
	if err != nil {
		t.Fatal(err)
	}
	r, err := spare.Use(3, "me@channel", uint64(capacity))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hook makes writing fail while the disk is full.
func (w *world) hook() {
	w.dir.Before = func(c disktest.Call) error {
		if w.full && c.Op == "write" {
			return unix.ENOSPC
		}
		return nil
	}
}

func (w *world) close() {
	w.returned()
	if err := w.Close(); err != nil {
		w.Errorf("Close: %v", err)
	}
	for _, work := range w.work {
		if err := work.Do(); err != nil {
			w.Errorf("work for a closed ring: %v", err)
		}
	}
	w.work = nil
	if w.dir != nil {
		w.dir.Release()
	}
}

// returned ends the giving back of space: the writer would wait for that.
func (w *world) returned() {
	if w.back != nil {
		if err := w.back.Do(); err != nil {
			w.Fatalf("%s: giving back: %v", w.what, err)
		}
		w.back = nil
	}
}

func (w *world) publish() {
	w.Publish()
	w.published = slices.Clone(w.m.records)
}

func (w *world) payload(size int) []byte {
	w.pushed++
	return bytes.Repeat([]byte{byte(w.pushed)}, size)
}

// do does one step, as two bytes tell, and compares.
func (w *world) do(op, arg byte) {
	w.what = fmt.Sprintf("step %d, %d", op, arg)
	switch op % 16 {
	case 0, 1, 2, 3:
		w.push(w.payload(int(arg) * (w.m.capacity/2 + 2) / 256))
	case 4:
		w.pushRun(int(arg%8)+1, int(arg)*w.m.capacity/2048)
	case 5, 6, 7:
		w.take(int(arg)*w.m.capacity/512, int(arg%5)+1)
	case 8, 9:
		w.deliver(0)
	case 10:
		w.deliver(int(arg))
	case 11:
		w.publish()
		if arg%2 == 0 {
			w.Seal()
		}
		if work := w.FillAhead(); work != nil {
			w.work = append(w.work, work)
		}
	case 12:
		if len(w.work) > 0 && !w.full {
			w.returned()
			i := int(arg) % len(w.work)
			if err := w.work[i].Do(); err != nil {
				w.Fatalf("%s: %v", w.what, err)
			}
			w.work = slices.Delete(w.work, i, i+1)
		}
	case 13:
		w.publish() // what was freed is given back only afterwards
		if w.back == nil {
			w.back = w.GiveBack(int(arg) * chunkSize / 32)
		}
	case 14:
		w.rare(arg)
	case 15:
		w.killed(arg%4 == 0)
	}
	w.compare()
}

func (w *world) rare(arg byte) {
	switch arg % 6 {
	case 0:
		w.full = !w.full
	case 1:
		if arg < 32 {
			w.abandon()
		}
	case 2:
		w.detach()
	case 3:
		from := w.Cursor()
		w.Take(int(arg)*100, int(arg))
		w.TakeMarked()
		w.Rewind(from)
	case 4:
		w.Seal()
	case 5:
		w.SealAll()
	}
}

func (w *world) push(p []byte) {
	w.returned()
	fitted, err := w.Push(p)
	if err != nil && w.full {
		return
	}
	if want := w.m.push(p); fitted != want || err != nil {
		w.Fatalf("%s: Push(%d bytes) = %v, %v, want %v", w.what, len(p), fitted, err, want)
	}
}

func (w *world) pushRun(records, size int) {
	w.returned()
	var all []record
	for i := range records {
		all = append(all, record{payload: w.payload(size + i)})
	}
	pushed, n, err := w.PushRun(encode(all), records)
	if err != nil && w.full {
		return
	}
	_, room := w.m.end()
	want := 0
	for want < records && len(encode(all[:want+1])) <= room {
		want++
	}
	if n != want || pushed != len(encode(all[:want])) || err != nil {
		w.Fatalf("%s: PushRun took %d records, %d bytes, %v; want %d", w.what, n, pushed, err, want)
	}
	for _, r := range all[:n] {
		w.m.push(r.payload)
	}
}

func (w *world) take(enough, most int) {
	waiting := w.m.records[w.m.out:]
	run, n, err := w.Take(enough, most)
	if n == 0 && len(waiting) > 0 {
		want := 0
		for want < len(waiting) && waiting[want].marked && (want == 0 || waiting[want].at > waiting[want-1].at) {
			want++
		}
		if run, n = w.TakeMarked(); n != want || n == 0 || err != nil {
			w.Fatalf("%s: Take and TakeMarked gave %d records, %v; %d are marked", w.what, n, err, want)
		}
		w.m.out += n
		w.out = append(w.out, handed{run: run, records: n, delivered: true})
		w.settle(len(w.out) - 1)
		return
	}
	if err != nil || n > most || n > len(waiting) || (n == 0) != (len(waiting) == 0) {
		w.Fatalf("%s: Take gave %d records, %v; at most %d of %d wanted", w.what, n, err, most, len(waiting))
	}
	if want := encode(waiting[:n]); !bytes.Equal(run, want) {
		w.Fatalf("%s: Take gave %d bytes that are not those of %d records", w.what, len(run), n)
	}
	if n > 0 && n < most && len(run) < enough && n < len(waiting) && waiting[n].at == waiting[n-1].at+waiting[n-1].size() && !waiting[n].marked {
		w.Fatalf("%s: Take stopped after %d records", w.what, n)
	}
	if n > 0 {
		w.m.out += n
		w.out = append(w.out, handed{run, bytes.Clone(run), n, false})
	}
}

// deliver delivers a run that is handed out.
func (w *world) deliver(which int) {
	if len(w.out) == 0 {
		return
	}
	i := which % len(w.out)
	h := &w.out[i]
	if h.delivered {
		return
	}
	if !bytes.Equal(h.run, h.content) {
		w.Fatalf("%s: a run was overwritten before it was freed", w.what)
	}
	h.delivered = true
	if i > 0 && w.InFile() {
		w.Mark(h.run, h.records)
		first := 0
		for _, before := range w.out[:i] {
			first += before.records
		}
		w.mark(w.m.records[first:], h.records)
	}
	w.settle(i)
}

// mark notes in the model, and in what was published, that records are marked.
func (w *world) mark(records []record, n int) {
	for i := range records[:n] {
		records[i].marked = true
		for j := range w.published {
			if p := &w.published[j]; len(p.payload) > 0 && len(records[i].payload) > 0 && &p.payload[0] == &records[i].payload[0] || p.at == records[i].at {
				p.marked = true
			}
		}
	}
}

// settle frees the runs at the front that are delivered.
func (w *world) settle(i int) {
	if i > 0 {
		w.Behind(len(w.out[i].run), w.out[i].records)
	} else {
		for first := true; len(w.out) > 0 && w.out[0].delivered; first = false {
			h := w.out[0]
			if !first {
				w.Behind(-len(h.run), -h.records)
			}
			w.Free(len(h.run), h.records)
			w.out = w.out[1:]
			w.m.records, w.m.out = w.m.records[h.records:], w.m.out-h.records
		}
	}
	w.publish()
}

func (w *world) abandon() {
	if got, want := w.Abandon(), len(w.m.records)-w.m.out; got != want {
		w.Fatalf("Abandon dropped %d records, want %d", got, want)
	}
	w.m.records = w.m.records[:w.m.out]
	w.publish()
}

func (w *world) detach() {
	if w.dir == nil || len(w.out) > 0 || w.m.capacity < HeaderSize {
		return
	}
	w.returned()
	w.publish()
	if err := w.Detach()(); err != nil {
		w.Fatalf("Detach: %v", err)
	}
	if _, err := w.Push(nil); w.Fits(HeaderSize) && err != ErrDetached || w.Attached() {
		w.Fatalf("Push to a ring that is not mapped: %v", err)
	}
	if _, n, err := w.Take(1, 1); w.Held() > 0 && err != ErrDetached || n > 0 {
		w.Fatalf("Take from a ring that is not mapped: %d, %v", n, err)
	}
	if err := w.Attach(); err != nil {
		w.Fatalf("Attach: %v", err)
	}
}

// killed looks at what the process leaves if it is killed now, and may go on with that.
func (w *world) killed(goOn bool) {
	if w.dir == nil {
		return
	}
	c := &world{TB: w.TB, dir: w.dir.Clone(), pushed: w.pushed, what: w.what}
	c.m = model{kind: w.m.kind, capacity: w.m.capacity, records: slices.Clone(w.published)}
	c.published = slices.Clone(w.published)
	h, err := ReadHead(c.dir, Link{w.m.kind, somewhere.Number}.FileName())
	if err != nil || h.Instance != 42 || h.Queue != 3 || h.Name != "me@channel" || h.Capacity != uint64(w.m.capacity) {
		w.Fatalf("%s: after a kill, the head is %+v, %v", w.what, h, err)
	}
	if c.Ring, err = Open(c.dir, h); err != nil {
		w.Fatalf("%s: Open: %v", w.what, err)
	}
	if err := c.Attach(); err != nil {
		w.Fatalf("%s: Attach: %v", w.what, err)
	}
	c.hook()
	for i, r := range c.m.records {
		if r.marked && i >= c.Suspect() {
			w.Fatalf("%s: record %d is marked, only %d are suspect", w.what, i, c.Suspect())
		}
	}
	c.compare()
	if !goOn {
		for len(c.m.records) > 0 {
			c.take(chunkSize, 100)
			c.deliver(0)
		}
		c.close()
		return
	}
	w.close()
	*w = *c
}

func (w *world) compare() {
	held, used, behind, behindSize := len(w.m.records), w.m.used(), 0, 0
	for _, h := range w.out {
		if h.delivered {
			behind, behindSize = behind+h.records, behindSize+len(h.run)
		}
	}
	got := [...]int{w.Held(), w.Waiting(), w.UsedSpace(), w.Records(), w.Size(), w.Capacity()}
	want := [...]int{held, held - w.m.out, used, held - behind, used - behindSize, w.m.capacity}
	if got != want {
		w.Fatalf("%s: held, waiting, used, records, size, capacity: got %v, want %v", w.what, got, want)
	}
	for _, size := range []int{HeaderSize, w.m.capacity / 3, w.m.capacity} {
		if _, want := w.m.place(size); w.Fits(size) != want {
			w.Fatalf("%s: Fits(%d) = %v, want %v", w.what, size, !want, want)
		}
	}
}

// run does all steps of a script.
func (w *world) run(script []byte) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // storing where there is no disk space
	for i := 0; i+1 < len(script); i += 2 {
		w.do(script[i], script[i+1])
	}
	w.full = false
	w.killed(false)
	w.close()
}

func TestModel(t *testing.T) {
	for _, inFile := range []bool{false, true} {
		for _, kind := range []Kind{Main, Spill} {
			for _, capacity := range []int{0, 1, 8, 40, 333, 4096, chunkSize, 5*chunkSize + 100, 70 * chunkSize, 300 * chunkSize} {
				t.Run(fmt.Sprintf("in file %v kind %d capacity %d", inFile, kind, capacity), func(t *testing.T) {
					for seed := range uint64(12) {
						rng := rand.New(rand.NewPCG(seed, uint64(capacity)))
						script := make([]byte, 2*300)
						for i := range script {
							script[i] = byte(rng.Uint32())
						}
						newWorld(t, kind, capacity, inFile).run(script)
						if t.Failed() {
							t.Fatalf("seed %d", seed)
						}
					}
				})
			}
		}
	}
}

func FuzzModel(f *testing.F) {
	f.Add(uint16(40), true, true, []byte{0, 10, 0, 10, 4, 1, 8, 0, 0, 10, 3, 3, 5, 200, 8, 0})
	f.Fuzz(func(t *testing.T, capacity uint16, spill, inFile bool, script []byte) {
		kind := Main
		if spill {
			kind = Spill
		}
		newWorld(t, kind, 3*int(capacity), inFile).run(script[:min(len(script), 2000)])
	})
}
