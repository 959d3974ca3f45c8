package ring

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Storing in a mapped page that has no disk space ends the process if the disk is full, and
// takes long if it is not. So a file is filled with zeros, in chunks, before anything is stored
// there: ahead of the writer by a Work, which somebody else does, or by the writer itself if it
// has caught up. ready tells which chunks have been.
//
// What is not used any more is given back to the system, again by a Work, and is not ready then.
//
// Who fills chunks or gives them back holds ready.mu; a chunk becomes ready at the end of
// that, and ceases to be at the beginning. So zeros are never written over a record.
type ready struct {
	mu   sync.Mutex
	gone bool            // the ring is closed
	bits []atomic.Uint64 // by chunk
	some atomic.Int64    // how many are ready

	// For the owner of the ring only.
	from, to int // this range is known to be ready
	ahead    int // how far in front of the writer chunks are wanted
	asked    span
}

const (
	// chunkSize is what is filled or given back at least.
	chunkSize = 16 << 10
	// fillSize is what is filled at a time.
	fillSize = 1 << 20
	// firstAhead and mostAhead are how far chunks are filled ahead of the writer, who must not
	// catch up: few in a queue of some records, many in one that grows fast.
	firstAhead = 4 * chunkSize
	// mostInline is how much the writer fills at once that has caught up.
	mostInline = 256 << 10
	mostAhead  = 64 << 20
)

func (y *ready) has(chunk int) bool { return y.bits[chunk/64].Load()>>(chunk%64)&1 != 0 }

func (y *ready) set(chunk int) {
	if bit := uint64(1) << (chunk % 64); y.bits[chunk/64].Or(bit)&bit == 0 {
		y.some.Add(1)
	}
}

func (y *ready) clear(chunk int) {
	if bit := uint64(1) << (chunk % 64); y.bits[chunk/64].And(^bit)&bit != 0 {
		y.some.Add(-1)
	}
}

func (r *Ring) chunks() int { return (r.capacity + chunkSize - 1) / chunkSize }

// newReady makes nothing ready but what holds records, and the first bytes of the data.
func (r *Ring) newReady(first int) {
	r.ready.bits = make([]atomic.Uint64, (r.chunks()+63)/64)
	r.ready.ahead = firstAhead
	mark := func(from, to int) {
		for chunk := from / chunkSize; chunk*chunkSize < to; chunk++ {
			r.ready.set(chunk)
		}
	}
	mark(0, min(first, r.capacity)/chunkSize*chunkSize)
	if first >= r.capacity {
		mark(0, r.capacity)
	}
	for _, s := range r.occupied() {
		mark(s.first, s.behind)
	}
}

// occupied is where records are.
func (r *Ring) occupied() []span {
	switch {
	case r.held == 0:
		return nil
	case r.wrapped():
		return []span{{0, r.write}, {r.read, r.gap}}
	default:
		return []span{{r.read, r.write}}
	}
}

// refill makes sure of the disk space of chunks that have records in part: a power failure may leave
// nothing of the rest.
func (r *Ring) refill(f disk.File) error {
	for _, s := range r.occupied() {
		for _, at := range []int{s.first, s.behind - 1} {
			from := at / chunkSize * chunkSize
			b := make([]byte, min(chunkSize, r.capacity-from))
			if _, err := f.ReadAt(b, int64(headSize+from)); err != nil && err != io.EOF {
				return err
			}
			if _, err := f.WriteAt(b, int64(headSize+from)); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare makes sure that size bytes at an offset can be stored.
func (r *Ring) prepare(at, size int) error {
	if at >= r.ready.from && at+size <= r.ready.to {
		return nil
	}
	if r.data == nil {
		return ErrDetached
	}
	if r.file == nil {
		r.ready.mu.Lock() // until a Return is done
		r.ready.from, r.ready.to = 0, r.capacity
		r.ready.mu.Unlock()
		return nil
	}
	if size <= 0 {
		return nil
	}
	if !r.isReady(at, at+size) {
		first, behind := r.toFill(at, size)
		if err := r.fill(first, behind); err != nil {
			return err
		}
	}
	r.noteReady(at, size)
	return nil
}

// toFill says which chunks to fill if those of size bytes at an offset are not ready: nobody has
// gone ahead, so some more than these, not to do it for each chunk.
func (r *Ring) toFill(at, size int) (first, behind int) {
	first, behind = at/chunkSize, (at+size+chunkSize-1)/chunkSize
	return first, max(behind, min((at+min(r.ready.ahead, mostInline))/chunkSize, r.chunks()))
}

// noteReady notes that size bytes at an offset are known to be ready, and what is behind them.
func (r *Ring) noteReady(at, size int) {
	first, behind := at/chunkSize, (at+size+chunkSize-1)/chunkSize
	most := min(r.chunks(), first+1024)
	if r.held > 0 && at < r.read { // what is held there stays covered
		most = min(most, r.read/chunkSize)
	}
	for behind < most && r.ready.has(behind) {
		behind++
	}
	if r.hasSums() {
		if err := r.uncoverAll(first, behind, at-first*chunkSize); err != nil {
			r.failed = err
		}
	}
	r.ready.from, r.ready.to = first*chunkSize, min(behind*chunkSize, r.capacity)
}

// uncoverAll uncovers chunks. The first bytes of the first one do not change.
func (r *Ring) uncoverAll(first, behind, unchanged int) (err error) {
	defer r.caught(mayFault(), &err)
	for chunk := first; chunk < behind; chunk++ {
		r.uncover(chunk, unchanged)
		unchanged = -1
	}
	return nil
}

// Ready reports whether records that take size bytes can be pushed, one behind another, without
// a look at the file. It may be false although they can: see Prepare.
func (r *Ring) Ready(size int) bool {
	at, fits := r.place(size)
	return fits && at >= r.ready.from && at+size <= r.ready.to
}

// Prepare returns what is to be done before records that take size bytes can be pushed, as far as
// they fit, or nil: then pushing them neither fails nor takes long.
func (r *Ring) Prepare(size int) *Work {
	at, room := r.room(size)
	w := r.workAt(at, min(size, room))
	oldest, used := r.oldest()
	if size <= room || used && r.write <= oldest || r.kind == Spill {
		return w
	}
	if front := r.workAt(0, min(size, oldest)); w == nil {
		w = front
	} else if front != nil {
		w.fill = append(w.fill, front.fill...)
	}
	return w
}

// workAt returns what is to be done before size bytes can be stored at an offset, or nil.
func (r *Ring) workAt(at, size int) *Work {
	y := &r.ready
	switch {
	case size <= 0 || at >= y.from && at+size <= y.to:
		return nil
	case r.file == nil && y.mu.TryLock():
		y.from, y.to = 0, r.capacity
		y.mu.Unlock()
		return nil
	case r.file == nil:
		return &Work{ring: r} // until a Return is done
	case r.isReady(at, at+size):
		r.noteReady(at, size)
		return nil
	}
	first, behind := r.toFill(at, size)
	return &Work{ring: r, fill: []span{{first, behind}}}
}

// fill writes zeros to the chunks in that range that are not ready.
func (r *Ring) fill(first, behind int) (err error) {
	y, f := &r.ready, r.file
	missing := false
	for chunk := first; chunk < behind && !missing; chunk++ {
		missing = !y.has(chunk)
	}
	if !missing {
		return nil
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.gone {
		return nil
	}
	file, err := f.dir.Open(f.name)
	if err != nil {
		return err
	}
	defer file.Close()
	for first < behind {
		if y.has(first) {
			first++
			continue
		}
		end := first + 1
		for end < behind && !y.has(end) && (end-first) < fillSize/chunkSize {
			end++
		}
		size := min(end*chunkSize, r.capacity) - first*chunkSize
		if err := file.Fill(int64(headSize+first*chunkSize), int64(size)); err != nil {
			return err
		}
		if from := max(first, sumsInAll); r.hasSums() && from < end {
			if err := file.Fill(int64(f.head.entryAt(from)), int64(8*(end-from))); err != nil {
				return err
			}
		}
		for ; first < end; first++ {
			y.set(first)
		}
	}
	return nil
}

// Work is something to be done with the file of a ring that needs neither the lock of its
// owner nor waiting for by anybody.
type Work struct {
	ring *Ring
	fill []span
}

type span struct{ first, behind int } // chunks, or bytes

// FillAhead returns what is to be done so that the writer does not catch up, or nil if that is
// nothing.
func (r *Ring) FillAhead() *Work {
	y := &r.ready
	if r.file == nil || r.data == nil || r.durable.sealed || r.write < chunkSize/2 && y.ahead == firstAhead {
		return nil // a queue of some records needs no more than it has
	}
	end := r.capacity
	if oldest, used := r.oldest(); used && r.write <= oldest {
		end = oldest
	}
	half := r.write + min(y.ahead, end-r.write)/2
	if at := r.write / chunkSize; at >= y.asked.first && half <= y.asked.behind*chunkSize {
		return nil
	}
	y.ahead = min(2*y.ahead, mostAhead)
	w := &Work{ring: r}
	w.add(r.write, r.write+min(y.ahead, end-r.write))
	y.asked = w.fill[0]
	if r.isReady(r.write, half) {
		y.ahead = max(y.ahead/2, firstAhead) // it was filled once: nothing tells that it should be more
	}
	return w
}

// Expect says that so many bytes are likely to come soon.
func (r *Ring) Expect(size int) { r.ready.ahead = max(firstAhead, min(size, mostAhead)/2) }

// FillAll returns the work of making all of the ring ready.
func (r *Ring) FillAll() *Work {
	if r.file == nil {
		return nil
	}
	w := &Work{ring: r}
	w.add(0, r.capacity)
	return w
}

func (w *Work) add(from, to int) {
	w.fill = append(w.fill, span{from / chunkSize, (to + chunkSize - 1) / chunkSize})
}

func (r *Ring) isReady(from, to int) bool {
	for chunk := from / chunkSize; chunk*chunkSize < to; chunk++ {
		if !r.ready.has(chunk) {
			return false
		}
	}
	return true
}

// Do does the work. It may be called by any goroutine, also after the ring was closed.
func (w *Work) Do() error {
	if w.ring.file == nil {
		w.ring.ready.mu.Lock() // until a Return is done
		defer w.ring.ready.mu.Unlock()
	}
	for _, s := range w.fill {
		for first := s.first; first < s.behind; first += fillSize / chunkSize {
			if err := w.ring.fill(first, min(s.behind, first+fillSize/chunkSize)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Unused is how many bytes of the ring have disk space, or memory, and hold no record.
func (r *Ring) Unused() int {
	if r.data == nil {
		return 0
	}
	if r.file == nil {
		return r.capacity - r.UsedSpace() // an upper bound
	}
	return max(0, int(r.ready.some.Load())*chunkSize-r.UsedSpace())
}

// GiveBack returns the work of giving back what is not used, but for the next keep bytes in
// front of the writer, or nil if there is nothing worth it.
func (r *Ring) GiveBack(keep int) *Return {
	if r.data == nil || r.durable.sealed || !r.ready.mu.TryLock() { // somebody fills it
		return nil
	}
	w := &Return{ring: r}
	keepTo := (r.write + min(keep, r.capacity-r.write) + chunkSize - 1) / chunkSize
	oldest, used := r.oldest()
	switch {
	case !used:
		w.add(keepTo, r.chunks())
	case r.write <= oldest:
		w.add(keepTo, oldest/chunkSize)
		if r.wrapped() { // else nobody knows where the bytes end that have to stay
			w.add((r.gap+chunkSize-1)/chunkSize, r.chunks())
		}
	default:
		front := max(0, keep-(r.capacity-r.write)) // the writer goes on there
		w.add((front+chunkSize-1)/chunkSize, oldest/chunkSize)
		w.add(keepTo, r.chunks())
	}
	if len(w.spans) == 0 {
		r.ready.mu.Unlock()
		return nil
	}
	r.ready.from, r.ready.to = 0, 0
	if r.file == nil { // the writer need not wait for the rest
		r.ready.from, r.ready.to = r.write, min(keepTo*chunkSize, r.capacity)
	}
	r.ready.ahead, r.ready.asked = firstAhead, span{}
	return w
}

// Return is unused space of a ring on its way back to the system. Nobody stores there before
// Do is done: a writer who wants to waits for that, and so does who fills or closes the ring.
type Return struct {
	ring  *Ring
	spans []span
}

func (w *Return) add(first, behind int) {
	r := w.ring
	if r.file == nil {
		if first < behind {
			w.spans = append(w.spans, span{first, behind})
		}
		return
	}
	for first < behind {
		if !r.ready.has(first) {
			first++
			continue
		}
		end := first
		for end < behind && r.ready.has(end) {
			r.ready.clear(end)
			end++
		}
		if r.hasSums() && r.uncoverAll(first, end, -1) != nil {
			return
		}
		w.spans = append(w.spans, span{first, end})
		first = end
	}
}

// Do gives the space back. It must be called, once.
func (w *Return) Do() error {
	r := w.ring
	defer r.ready.mu.Unlock()
	if r.file == nil && !r.ready.gone {
		var err error
		for _, s := range w.spans {
			err = errors.Join(err, unix.Madvise(r.data[s.first*chunkSize:min(s.behind*chunkSize, r.capacity)], unix.MADV_DONTNEED))
		}
		return err
	}
	if r.ready.gone {
		return nil
	}
	file, err := r.file.dir.Open(r.file.name)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, s := range w.spans {
		from, to := headSize+s.first*chunkSize, headSize+min(s.behind*chunkSize, r.capacity)
		if e := file.Punch(int64(from), int64(to-from)); e != nil {
			err = errors.Join(err, e)
		}
	}
	return err
}
