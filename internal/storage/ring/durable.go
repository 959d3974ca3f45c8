package ring

import (
	"errors"
	"hash/crc32"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/copies"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// After a power failure a file has what was synced, and of all else whatever the disk has got. So
// there are positions in the head, beside those that survive the process, that are stored only when
// what they tell of is on the disk: the durable ones. They count, instead of the others, if the
// machine has been started again meanwhile.
//
// It takes three steps. Claim says what is to be durable; then its bytes are synced (SyncData); then
// the positions are stored (StoreClaim), and the head is synced (SyncHead). Settle ends that. Claim and
// Settle are for the owner of the ring; the steps between them are done by a goroutine that nobody
// waits for, one for all rings.
//
// If there are not many bytes that were not durable before, they are synced together with the positions
// (SyncAtOnce), which takes half of the time. Then these have a checksum of the bytes, and after a power
// failure count only if it is right; else those before do, of which nothing was overwritten yet.
//
// Bytes that durable positions tell of must not be stored to, whether their records are held or not,
// before other durable positions are on the disk. So the room for the writer ends there.

// Durable is what is durable of a ring, if the machine is started again.
type Durable struct {
	Boot  uint64 // when the machine was started; then the other positions count
	Loose bool   // nobody keeps durable positions
	Positions
	Next     Link // the next file of the queue that has durable records
	proof    proof
	sequence uint64
}

// proof is a checksum of the last bytes of records that positions tell of, from an offset on. With the zero
// proof they were durable before.
type proof struct{ from, sum uint64 }

// hasSum is beside the checksum of a proof.
const hasSum = 1 << 32

// mostAtOnce is how many bytes may have a proof.
const mostAtOnce = 256 << 10

// durable is what the owner of a ring knows of that.
type durable struct {
	pushed uint64 // records so far
	noted  note
	synced note // the last record that is durable
	write  int  // up to which bytes were claimed last
	kept   bool // there are bytes that have to stay, from that offset on
	from   int
	tried  bool // a claim that was not settled may be on the disk
	sealed bool // nothing can be pushed before the next Settle
	seals  int
}

// note is what had been pushed at an earlier time.
type note struct {
	pushed uint64
	write  int
}

// Claim is what is to be durable.
type Claim struct {
	Durable
	seals  int
	fresh  [2]span // the bytes of it that no other was about
	pushed uint64  // records, up to the last one that is to be durable
	first  int     // where bytes begin that are not durable
	again  bool    // a claim before was not settled
	few    bool    // they are so few that they can be synced at once with the positions
}

// Claim says what is to be durable: what is held of the records that had been pushed when Note was
// last called, or all. Next is the next file of the queue that has durable records. Nothing has to be
// done if changed is false.
func (r *Ring) Claim(all bool, next Link) (c Claim, changed bool) {
	d, stored := &r.durable, r.file.head.Durable
	stored.proof = proof{}
	c = Claim{Durable: Durable{Boot: r.file.dir.Boot(), Next: next, sequence: stored.sequence}, seals: d.seals}
	to := d.noted
	if all {
		to = note{d.pushed, r.write}
	}
	write, held := to.write, r.held-int(d.pushed-to.pushed)
	c.pushed, c.few = to.pushed, true
	if held > 0 {
		c.Positions = Positions{uint64(r.read), uint64(write), uint64(write), uint64(held), uint64(min(held, r.suspects()))}
		if write <= r.read {
			c.Gap = uint64(r.gap)
		}
	}
	if c.Durable == stored && c.Suspect == 0 && !d.sealed && !d.tried {
		return c, false
	}
	c.again, d.tried = d.tried, true
	c.sequence++ // also if that was stored before, and could not be synced: the other copy is on the disk
	if !d.kept && c.Held > 0 {
		d.kept, d.from = true, r.read
	}
	if c.Held > 0 {
		if c.fresh[0] = (span{d.write, write}); write < d.write {
			c.fresh = [2]span{{d.write, r.gap}, {0, write}}
		}
		d.write = write
		c.first = r.read
		if to.pushed >= d.synced.pushed && held > int(to.pushed-d.synced.pushed) {
			c.first = d.synced.write
		}
		size := write - c.first
		if size < 0 {
			size += int(c.Gap)
		}
		c.few = size <= mostAtOnce && (size > 0 || to.pushed == d.synced.pushed)
	}
	return c, true
}

// Few reports whether a claim can be made durable by SyncAtOnce.
func (c *Claim) Few() bool { return c.few }

// mostReleased is how many bytes are released while others wait for the owner.
const mostReleased = 1 << 20

// Release releases some of the memory of a claim (see disk.Mapping), and reports whether there is more.
// It is for the owner, before SyncData.
func (r *Ring) Release(c *Claim) (more bool) {
	if r.file.mapping == nil {
		return false
	}
	for i := range c.fresh {
		if s := &c.fresh[i]; s.first < s.behind {
			to := min(s.first+mostReleased, s.behind)
			err := r.file.mapping.Release(headSize+s.first, headSize+to)
			s.first = to
			return err == nil
		}
	}
	return false
}

// Note notes that what is pushed by now is to be durable at the next Claim but one.
func (r *Ring) Note() { r.durable.noted = note{r.durable.pushed, r.write} }

// Settle notes that a claim is on the disk.
func (r *Ring) Settle(c Claim) {
	d := &r.durable
	r.file.head.Durable = c.Durable
	d.synced, d.tried = note{c.pushed, int(c.Write)}, false
	d.kept, d.from = c.Held > 0, int(c.Read)
	if c.seals == d.seals {
		d.sealed = false
	}
	if r.held == 0 && r.data != nil && !d.sealed {
		r.emptied()
		d.noted.write = r.write
	}
}

// abandoned keeps bytes from being reused that the positions on the disk tell of, although records
// behind those that are held are dropped.
func (r *Ring) abandoned(records int) {
	d := &r.durable
	d.pushed -= uint64(records)
	if d.noted.pushed >= d.pushed {
		r.Note()
	}
	if d.synced.pushed >= d.pushed {
		d.synced = note{d.pushed, r.write}
	}
	if d.kept {
		d.sealed = true
		d.seals++
	}
}

// Kept reports whether the ring has no room only because of what is on the disk.
func (r *Ring) Kept() bool { return r.durable.kept || r.durable.sealed }

// HasDurable reports whether the file may have durable records.
func (r *Ring) HasDurable() bool { return r.file.head.Durable.Held > 0 || r.durable.tried }

// TouchAgain makes the bytes of a claim be written by the sync that comes, if the last one may have failed
// to (see disk.Mapping).
func (r *Ring) TouchAgain(c Claim) error {
	if !c.again {
		return nil
	}
	return r.withFile(int64(headSize+max(c.Gap, c.Write)), func(_ disk.File, m disk.Mapping) error {
		m.Touch(0, headSize)
		for _, s := range c.toWriteOut() {
			m.Touch(headSize+s.first, headSize+s.behind)
		}
		return nil
	})
}

// SyncData makes the bytes of a claim durable.
func (r *Ring) SyncData(c Claim) error {
	if c.Held == 0 {
		return nil
	}
	return r.withFile(int64(headSize+max(c.Gap, c.Write)), func(_ disk.File, m disk.Mapping) error {
		read, write := headSize+int(c.Read), headSize+int(c.Write)
		if write > read {
			return m.Sync(read, write)
		}
		return errors.Join(m.Sync(read, headSize+int(c.Gap)), m.Sync(headSize, write))
	})
}

// StoreClaim stores the positions of a claim whose bytes are durable.
func (r *Ring) StoreClaim(c Claim) error {
	return r.withFile(headSize, func(_ disk.File, m disk.Mapping) error {
		r.adopt(m.Bytes())
		c.store(m.Bytes())
		return nil
	})
}

// adopt makes what was durable before the machine was started what counts now. Nobody else uses the file yet.
func (r *Ring) adopt(b []byte) {
	if h := &r.file.head; h.Rebooted {
		h.owner++
		h.storeOwner(b)
		r.positions().store(b)
		h.Rebooted = false
	}
}

// SyncAtOnce does all that is to be done between Claim and Settle, for a claim of few bytes.
func (r *Ring) SyncAtOnce(c Claim) error {
	d := c.Durable
	return r.withFile(int64(headSize+max(c.Gap, c.Write)), func(f disk.File, m disk.Mapping) error {
		b := m.Bytes()
		if c.Held > 0 && c.first != int(c.Write) {
			d.proof.from = uint64(c.first)
			sum, ok := d.sumOf(func(s span) ([]byte, error) { return b[headSize+s.first : headSize+s.behind], nil })
			if !ok {
				return r.damage(c.first, noRecord)
			}
			d.proof.sum = sum
		}
		r.adopt(b)
		d.store(b)
		ranges := []disk.Range{{From: 0, To: headSize}}
		for _, s := range c.toWriteOut() {
			ranges = append(ranges, disk.Range{From: int64(headSize + s.first), To: int64(headSize + s.behind)})
		}
		if err := f.WriteOut(ranges...); err != nil {
			return err
		}
		return m.Sync(0, headSize)
	})
}

// toWriteOut is where bytes may be that are not durable.
func (c *Claim) toWriteOut() []span {
	switch {
	case c.Held == 0:
		return nil
	case c.Suspect > 0: // older records may have been marked
		return c.bytesFrom(int(c.Read))
	case c.few && c.first == int(c.Write):
		return nil
	default:
		return c.bytesFrom(c.first)
	}
}

// bytesFrom is where the bytes are from one record on to the last.
func (d *Durable) bytesFrom(first int) []span {
	write := int(d.Write)
	if first < write {
		return []span{{first, write}}
	}
	return []span{{first, int(d.Gap)}, {0, write}}
}

// sumOf returns the checksum of these bytes, marks left out, which may come at any time.
func (d *Durable) sumOf(read func(span) ([]byte, error)) (sum uint64, ok bool) {
	crc := uint32(0)
	for _, s := range d.bytesFrom(int(d.proof.from)) {
		b, err := read(s)
		if err != nil {
			return 0, false
		}
		for len(b) > 0 {
			if len(b) < HeaderSize {
				return 0, false
			}
			size, _ := parseLength(word(b, 0))
			if size < HeaderSize || size > uint64(len(b)) {
				return 0, false
			}
			var header [HeaderSize]byte
			putWord(header[:], 0, size)
			crc = crc32.Update(crc32.Update(crc, castagnoli, header[:]), castagnoli, b[HeaderSize:size])
			b = b[size:]
		}
	}
	return hasSum | uint64(crc), true
}

// proved reports whether the bytes are on the disk that the positions tell of.
func (d *Durable) proved(f disk.File, capacity uint64) bool {
	if d.proof == (proof{}) {
		return true
	}
	if d.check(capacity) != nil || max(d.proof.from, d.Gap, d.Write) > capacity {
		return false
	}
	sum, ok := d.sumOf(func(s span) ([]byte, error) {
		if s.behind < s.first || s.behind-s.first > mostAtOnce {
			return nil, errPositions
		}
		b := make([]byte, s.behind-s.first)
		_, err := f.ReadAt(b, int64(headSize+s.first))
		return b, err
	})
	return ok && sum == d.proof.sum
}

// Loosen stores that nobody keeps durable positions any more.
func (r *Ring) Loosen() error {
	d := Durable{Boot: r.file.dir.Boot(), Loose: true, sequence: r.file.head.Durable.sequence}
	if d == r.file.head.Durable {
		return nil
	}
	d.sequence++
	if err := errors.Join(r.StoreClaim(Claim{Durable: d}), r.SyncHead()); err != nil {
		return err
	}
	r.Settle(Claim{Durable: d, seals: r.durable.seals})
	return nil
}

// SyncHead makes the head durable.
func (r *Ring) SyncHead() error {
	return r.withFile(headSize, func(_ disk.File, m disk.Mapping) error { return m.Sync(0, headSize) })
}

// SyncBlocks makes durable what checksums tell of, and these.
func (r *Ring) SyncBlocks() error {
	h := &r.file.head
	ranges := []disk.Range{{From: 0, To: headSize}}
	for _, s := range r.occupied() {
		from, to := s.first/blockSize*blockSize, min((s.behind+blockSize-1)/blockSize*blockSize, r.capacity)
		ranges = append(ranges, disk.Range{From: int64(headSize + from), To: int64(headSize + to)})
	}
	if h.Sums && r.chunks() > sumsInAll {
		ranges = append(ranges, disk.Range{From: int64(h.entryAt(sumsInAll)), To: int64(h.fileSize())})
	}
	return r.withFile(headSize, func(f disk.File, m disk.Mapping) error {
		if err := f.WriteOut(ranges...); err != nil {
			return err
		}
		return m.Sync(0, headSize)
	})
}

// withFile maps the first bytes of the file, whether the ring has it mapped or not.
func (r *Ring) withFile(size int64, do func(disk.File, disk.Mapping) error) error {
	f, err := r.file.dir.Open(r.file.name)
	if err != nil {
		return err
	}
	m, err := f.Map(size)
	if err == nil {
		err = func() (err error) {
			defer r.caughtIn(m.Bytes(), mayFault(), &err)
			return do(f, m)
		}()
		err = errors.Join(err, m.Close())
	}
	return errors.Join(err, f.Close())
}

func (d *Durable) store(b []byte) {
	loose := uint64(0)
	if d.Loose {
		loose = 1
	}
	copies.Store(b[durableAt:], d.sequence, []uint64{d.Boot, loose, d.Read, d.Write, d.Gap, d.Held, d.Suspect, d.Next.word(), d.proof.from, d.proof.sum})
}

func (d *Durable) decode(b []byte) (ok bool) {
	w, sequence, ok := copies.Newest(b[durableAt:], durableWords)
	if ok {
		*d = Durable{w[0], w[1] != 0, Positions{w[2], w[3], w[4], w[5], w[6]}, linkOf(w[7]), proof{w[8], w[9]}, sequence}
	}
	return ok
}
