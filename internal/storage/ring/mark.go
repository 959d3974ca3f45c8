package ring

import "encoding/binary"

// A mark takes the place of the length of the first record in a run:
//
//	1 │ records, 17 bits │ size in bytes, 46 bits
//
// It is stored at once, so a process that is killed leaves the run marked or as it was.
const (
	markBit     = 1 << 63
	sizeBits    = 46
	mostMarked  = 1<<17 - 1
	markedSizes = 1<<sizeBits - 1
)

// Mark notes in a handed-out run that it is delivered. Nobody may read the run any more. It
// stays in the ring until it is freed; if the ring is opened again before, TakeMarked
// hands it out.
func (r *Ring) Mark(run []byte, records int) (err error) {
	defer r.caught(mayFault(), &err)
	for records > mostMarked {
		head, n := Cut(run, len(run), mostMarked)
		r.putMark(head, n)
		run, records = run[len(head):], records-n
	}
	r.putMark(run, records)
	return nil
}

func (r *Ring) putMark(run []byte, records int) {
	if r.hasSums() {
		at := cap(r.data) - cap(run)
		for block := at / blockSize; block*blockSize < at+HeaderSize; block++ {
			r.uncover(block, blockSize) // records begin where they did
		}
	}
	binary.LittleEndian.PutUint64(run, uint64(markBit)|uint64(records)<<sizeBits|uint64(len(run)))
}

// parseMark returns what a mark tells, if there is one in place of a length. It may be
// damaged.
func parseMark(length uint64) (size, records uint64, ok bool) {
	return length & markedSizes, length >> sizeBits & mostMarked, length&markBit != 0
}

// Suspect is how many of the waiting records, the oldest, had been handed out when some behind
// them were delivered, so that there are marked runs among them. Only a ring that was opened has
// any.
func (r *Ring) Suspect() int { return r.suspect }

// TakeMarked hands out the next records, a run or part of one, if they are marked as
// delivered. It returns none if they are not.
func (r *Ring) TakeMarked() (run []byte, records int) {
	if r.waiting == 0 || r.data == nil {
		return nil, 0
	}
	defer r.caught(mayFault(), new(error))
	run = r.nextWaiting()
	size, n, ok := r.nextMark(run, len(run))
	if !ok {
		return nil, 0
	}
	r.taken(size, n)
	return run[:size], n
}

// nextMark returns what the mark at the start of a waiting run tells, if there is one and what it
// is about takes no more bytes than that. One that is impossible is none, but no length either.
func (r *Ring) nextMark(run []byte, most int) (size, records int, ok bool) {
	if len(run) < HeaderSize {
		return 0, 0, false
	}
	s, n, ok := parseMark(binary.LittleEndian.Uint64(run))
	if !ok || n == 0 || n > uint64(r.waiting) || s < HeaderSize*n || s > uint64(most) {
		return 0, 0, false
	}
	return int(s), int(n), true
}
