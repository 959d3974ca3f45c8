package ring

import (
	"io"
	"sync"
)

// What this process has stored lies in memory. What the file held when it was attached may have to
// be read from the disk, and whoever touches the mapped bytes first waits for that. So somebody
// else reads the file through, a piece ahead of those who take records.
//
// Memory that the system takes away again in between is not looked after.

// fetched is how far a file that was attached has been read through.
type fetched struct {
	ahead int // bytes from the next record on that have been
	rest  int // bytes behind these that have not; 0 = there is nothing to do
}

// pieceSize is how much is read through at a time.
const pieceSize = 1 << 20

// fetchAll makes nothing count as read through.
func (r *Ring) fetchAll() {
	r.fetched = fetched{}
	if r.waiting > 0 {
		n := len(r.nextWaiting())
		if end := r.next + n; r.wrapped() && end != r.write {
			n += r.write
		}
		r.fetched.rest = n
	}
}

// taken notes that size bytes have been handed out.
func (f *fetched) taken(size int) {
	if f.rest == 0 {
		return
	}
	n := min(size, f.ahead)
	f.ahead -= n
	f.rest = max(0, f.rest-(size-n))
}

// Fetched reports whether the next record, if there is one, can be taken without waiting for the
// disk.
func (r *Ring) Fetched() bool { return r.fetched.rest == 0 || r.missing() == 0 }

// missing is how many bytes of the next record have to be read through, at least.
func (r *Ring) missing() int {
	if r.waiting == 0 {
		return 0
	}
	waiting := r.nextWaiting()
	have, need := min(r.fetched.ahead, len(waiting)), HeaderSize
	if have >= HeaderSize {
		need = r.needed(waiting)
	}
	return max(0, need-have)
}

// needed is how many bytes of the next record are needed. Of one that can't be read, whoever takes it
// finds out.
func (r *Ring) needed(waiting []byte) (need int) {
	need = HeaderSize
	defer r.caught(mayFault(), new(error))
	if size, marked := parseLength(word(waiting, 0)); !marked {
		need = int(min(max(size, HeaderSize), uint64(len(waiting)))) // or it is damaged
	}
	return need
}

// Fetch returns the work of reading the next piece through, or nil if there is nothing to read, or
// if so much has been that nobody will soon wait.
func (r *Ring) Fetch() *Fetch {
	f := &r.fetched
	if f.rest == 0 || r.waiting == 0 {
		return nil
	}
	missing := r.missing()
	if missing == 0 && f.ahead >= pieceSize {
		return nil
	}
	first := len(r.nextWaiting())
	w := &Fetch{ring: r, from: r.next + f.ahead, size: min(max(missing, pieceSize), f.rest)}
	if f.ahead < first {
		w.size = min(w.size, first-f.ahead)
	} else {
		w.from = f.ahead - first // the ring is wrapped
	}
	return w
}

// Fetch is a piece of a file that is to be read through.
type Fetch struct {
	ring       *Ring
	from, size int
}

var pieces = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// Do reads the piece. It may be called by any goroutine, also after the ring was closed.
func (w *Fetch) Do() error {
	file, err := w.ring.file.dir.Open(w.ring.file.name)
	if err != nil {
		return err
	}
	defer file.Close()
	buffer := pieces.Get().(*[256 << 10]byte)
	defer pieces.Put(buffer)
	for at, end := w.from, w.from+w.size; at < end; {
		n, err := file.ReadAt(buffer[:min(len(buffer), end-at)], int64(headSize+at))
		if err == io.EOF {
			return nil // the rest is known not to be there
		}
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}

// Done notes that the piece has been read.
func (w *Fetch) Done() {
	f := &w.ring.fetched
	n := min(w.size, f.rest)
	f.ahead += n
	f.rest -= n
}
