package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

const (
	// chunk is how many bytes at most are given to the kernel at once, so that progress
	// is seen on the way through a large write.
	chunk = 256 << 10

	// readSize is the size of the read buffer, as long as no larger message comes.
	readSize = 64 << 10

	// maxOut is how many bytes may wait for the writer before no more are accepted: a
	// node that takes nothing in does not make the client hold everything.
	maxOut = 16 << 20

	// keep is the largest buffer that is kept for the next use.
	keep = 1 << 20
)

var (
	errBroken = errors.New("the connection is broken")  // before anything is sent
	errFull   = errors.New("no room on the connection") // room is signalled later
)

// conn is an authenticated connection that carries many requests at once.
//
//	push, pop ──▶ out ──▶ writer ──▶ node ──▶ reader ──▶ finished
//
// Requests are appended to out. The writer sends all that has gathered while its previous
// write was under way, so the number of system calls does not depend on the number of
// requests. The reader finds the call by the request id, which is its index in calls plus 1:
// an id is used again only after the node's last answer on it.
//
// When the connection breaks, every call on it is finished with an error that tells whether
// it may have reached the node.
type conn struct {
	link     *link
	nc       net.Conn
	wake     chan struct{}  // one token: there is something for the writer
	broken   chan struct{}  // closed when err is set
	routines sync.WaitGroup // reader and writer
	heard    atomic.Bool    // of the node, or a request began on an idle connection, since stalled was asked

	mu      sync.Mutex
	err     error    // why the connection broke
	out     []byte   // for the next write
	writes  uint64   // how often the writer has taken out
	calls   []*call  // by id - 1, nil if free
	free    []uint64 // ids not in use
	patient int      // of the calls, those whose answer may take its time
	wanted  bool     // somebody was sent away with errFull
}

func newConn(l *link, nc net.Conn) *conn {
	return &conn{link: l, nc: nc, wake: make(chan struct{}, 1), broken: make(chan struct{})}
}

// start starts reader and writer. They end after fail.
func (c *conn) start() {
	c.routines.Go(c.write)
	c.routines.Go(c.read)
}

// push starts k as a Push. Errors: errBroken, errFull; then nothing was sent. The caller has
// checked the arguments.
func (c *conn) push(k *call, value []byte, channels []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin(k); err != nil {
		return err
	}
	c.out, _ = wire.AppendPush(c.out, k.id, channels, value) // the number of channels is checked
	return nil
}

// pushFrame does the same with a message that is encoded already, but for its request id.
func (c *conn) pushFrame(k *call, frame []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin(k); err != nil {
		return err
	}
	start := len(c.out)
	c.out = append(c.out, frame...)
	binary.LittleEndian.PutUint64(c.out[start+wire.HeaderSize:], k.id)
	return nil
}

// pop starts k as a Pop. Errors as for push.
func (c *conn) pop(k *call, channel string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin(k); err != nil {
		return err
	}
	c.out = wire.AppendPop(c.out, k.id, channel)
	return nil
}

// ask starts k as a question. Errors as for push.
func (c *conn) ask(k *call, q wire.Question) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin(k); err != nil {
		return err
	}
	c.out = wire.AppendQuestion(c.out, k.id, q)
	return nil
}

// popWait starts k as a PopWait. Errors as for push.
func (c *conn) popWait(k *call, channel, subscriber string, wait time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin(k); err != nil {
		return err
	}
	k.patient = true
	c.patient++
	c.out = wire.AppendPopWait(c.out, k.id, channel, subscriber, uint64(max(wait, 0)/time.Millisecond))
	return nil
}

// hurry tells the node that a PopWait waits no longer: from now on its answer has to come.
func (c *conn) hurry(k *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.calls[k.id-1] != k {
		return
	}
	c.noLongerPatient(k)
	c.heard.Store(true)
	c.out = wire.AppendCancel(c.out, k.id)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// begin gives k an id and wakes the writer, which waits for the lock. c.mu is held.
func (c *conn) begin(k *call) error {
	switch {
	case c.err != nil:
		return errBroken
	case len(c.out) >= maxOut:
		c.wanted = true
		return errFull
	case len(c.free) > 0:
		k.id = c.free[len(c.free)-1]
		c.free = c.free[:len(c.free)-1]
	case len(c.calls) < c.link.client.cluster.Options.MaxRequests:
		c.calls = append(c.calls, nil)
		k.id = uint64(len(c.calls))
	default:
		c.wanted = true
		return errFull
	}
	if c.active() == 1 {
		c.heard.Store(true)
	}
	c.calls[k.id-1] = k
	k.batch, k.supported, k.abandoned, k.patient, k.err = c.writes, false, false, false, nil
	if len(c.out) == 0 {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// end takes k off the connection. c.mu is held.
func (c *conn) end(k *call) {
	c.noLongerPatient(k)
	c.calls[k.id-1] = nil
	c.free = append(c.free, k.id)
}

// noLongerPatient counts a call among those whose answer has to come. c.mu is held.
func (c *conn) noLongerPatient(k *call) {
	if k.patient {
		k.patient = false
		c.patient--
	}
}

// active returns the number of requests without an answer. c.mu is held.
func (c *conn) active() int { return len(c.calls) - len(c.free) }

// inFlight is active for those who don't hold c.mu.
func (c *conn) inFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.active()
}

// abandon tells that nobody waits for k any more. If it returns false, k is finished.
func (c *conn) abandon(k *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.calls[k.id-1] != k {
		return false
	}
	k.abandoned = true
	return true
}

// stalled tells whether requests wait for an answer that has to come, and the node was not heard of
// since the last call.
func (c *conn) stalled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.heard.Swap(false) && c.active() > c.patient
}

// write is the writer.
func (c *conn) write() {
	var batch []byte
	for {
		select {
		case <-c.wake:
		case <-c.broken:
			return
		}
		if batch = c.take(batch); len(batch) == 0 {
			continue
		}
		if err := c.send(batch); err != nil {
			c.fail(err)
			return
		}
		if cap(batch) > keep {
			batch = nil
		}
	}
}

// take returns what is to be sent and leaves an empty buffer for what comes next.
func (c *conn) take(empty []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := c.out
	c.out = empty[:0]
	c.writes++
	c.room()
	return batch
}

// room tells who was sent away that there is room. c.mu is held.
func (c *conn) room() {
	if c.wanted {
		c.wanted = false
		c.link.client.cluster.Change.Notify()
	}
}

// send writes all of a batch. What the kernel takes of a small one proves nothing about the
// node; of a large one the node must have taken a part.
func (c *conn) send(batch []byte) error {
	for len(batch) > chunk {
		if _, err := c.nc.Write(batch[:chunk]); err != nil {
			return err
		}
		c.heard.Store(true)
		batch = batch[chunk:]
	}
	_, err := c.nc.Write(batch)
	return err
}

// read is the reader.
func (c *conn) read() {
	in := input{maxBody: maxInput(&c.link.client.cluster.Options)}
	var over []*call
	for {
		n, err := c.nc.Read(in.space())
		err = core.InWords(err)
		if n > 0 {
			c.heard.Store(true)
			in.filled(n)
			var breach error
			if over, breach = c.dispatch(&in, over[:0]); breach != nil {
				err = fmt.Errorf("protocol error of the node: %w", breach)
			}
			for _, k := range over {
				k.owner.finished()
			}
			clear(over)
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

// dispatch handles the messages that are complete, and returns the calls that are over.
func (c *conn) dispatch(in *input, over []*call) ([]*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		id, payload, ok, err := in.next()
		if err != nil || !ok {
			return over, err
		}
		if id > uint64(len(c.calls)) || c.calls[id-1] == nil {
			continue // neo protocol spec §14.8
		}
		k := c.calls[id-1]
		last, err := k.answer(payload)
		if err != nil {
			return over, err
		}
		if !last {
			continue
		}
		c.end(k)
		c.link.count(k)
		if !k.abandoned {
			over = append(over, k)
		}
		c.room()
	}
}

// fail breaks the connection, unless it is broken already, and finishes all calls.
func (c *conn) fail(reason error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = reason
	calls := c.calls
	c.calls, c.free, c.out = nil, nil, nil
	writes := c.writes
	c.mu.Unlock()

	c.nc.Close()
	c.link.lost(c, reason)
	close(c.broken)
	unsent := fmt.Errorf("%w: %w", ErrDisconnected, reason)
	for _, k := range calls {
		if k == nil || k.abandoned {
			continue
		}
		k.err = k.unanswered(unsent)
		if k.batch == writes {
			k.err = unsent
		}
		c.link.count(k)
		k.owner.finished()
	}
}
