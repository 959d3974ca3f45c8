package ring

import "encoding/binary"

// A record that is delivered is marked by the highest byte of its length. As that is one byte, neither
// a kill nor a power failure, whose sectors may part a length anywhere, leaves anything but the
// length or the marked length. It has several bits, so that a flipped one does not make a mark.
const (
	markByte = HeaderSize - 1
	markBits = 56
	mark     = 0xa5
)

// Mark notes in a handed-out run that its records are delivered. Nobody may read the run any more.
// It stays in the ring until it is freed; if the ring is opened again before, TakeMarked hands it
// out.
func (r *Ring) Mark(run []byte, records int) (err error) {
	defer r.caught(mayFault(), &err)
	start, uncovered := cap(r.data)-cap(run), -1
	for at := 0; records > 0; records-- {
		length := binary.LittleEndian.Uint64(run[at:])
		if r.hasSums() {
			if block := (start + at + markByte) / blockSize; block != uncovered {
				r.uncover(block, blockSize) // records begin where they did
				uncovered = block
			}
		}
		run[at+markByte] = mark
		at += HeaderSize + int(length)
	}
	return nil
}

// parseLength returns the size of a record by what stands in place of its length, and whether it
// is marked.
func parseLength(length uint64) (size uint64, marked bool) {
	if length>>markBits == mark {
		return HeaderSize + length&(1<<markBits-1), true
	}
	return HeaderSize + length, false
}

// Suspect is how many of the waiting records, the oldest, had been handed out when some behind
// them were delivered, so that there are marked ones among them. Only a ring that was opened has
// any.
func (r *Ring) Suspect() int { return r.suspect }

// TakeMarked hands out the next records if they are marked as delivered. It returns none if they
// are not.
func (r *Ring) TakeMarked() (run []byte, records int) {
	if r.waiting == 0 || r.data == nil {
		return nil, 0
	}
	run = r.nextWaiting()
	size := 0
	for records < r.waiting {
		good, _ := r.intact(r.next+size, r.next+min(size+HeaderSize, len(run)))
		one := marked(run[size:good-r.next], len(run)-size)
		if one == 0 {
			break
		}
		size, records = size+one, records+1
	}
	if records > 0 {
		r.taken(size, records)
	}
	return run[:size], records
}

// marked is the size of the record at the start of a run, if it is one that is marked and takes no more
// bytes than that.
func marked(run []byte, most int) int {
	if len(run) < HeaderSize {
		return 0
	}
	size, marked := parseLength(binary.LittleEndian.Uint64(run))
	if !marked || size > uint64(most) {
		return 0
	}
	return int(size)
}
