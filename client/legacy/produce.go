package legacy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

const (
	// blockSize is how many bytes of records wait for a stream at most before the next block
	// is begun.
	blockSize = 64 << 10

	// confirmSize is how many bytes of records a stream may hold unconfirmed.
	confirmSize = 16 << 20

	// confirmPause is how long a stream without new records waits before it has those it has
	// sent confirmed.
	confirmPause = 10 * time.Millisecond

	// retryPause is how long a node is left alone that has broken a stream.
	retryPause = 100 * time.Millisecond
)

// producer implements [dmq.Producer]. It sends records in streams, Produce or ProduceMulti
// requests, one to each node at a time. A node stores each record as it arrives but confirms none;
// that all are stored is known when the node answers a request which is sent behind them
// (legacy protocol spec §11.1).
//
//	Push ──▶ block ──▶ queue ──▶ stream of a node ──▶ unconfirmed ──▶ stored
//	                     ▲                                │
//	                     └───────── stream broken ────────┘
//
// A block is records for the same channels. It grows as long as no stream is free for it: so
// few records are sent at once, and many in large writes. Records go to the nodes by turns. One
// goroutine for each node takes the blocks for it, and large ones of others that are slower, or
// do not take them.
type producer struct {
	*core.Ledger
	client *Client
	ctx    context.Context // ends when nothing is to be sent any more
	cancel context.CancelFunc

	// Guarded by the lock of the ledger.
	changed *sync.Cond // there is a block, or reason to confirm
	hasty   int        // counts the reasons to confirm
	blocks  []*block   // oldest first
	homes   []home     // nodes that can take records
	turn    int        // of homes
	spare   []*block
	streams map[*core.Node]context.CancelFunc // that run

	routines sync.WaitGroup // of streams
}

// home is a node that gets its share of the records.
type home struct {
	node   *node
	newest *block // for it; nil if none is waiting
}

// block is records for the same channels, on the way.
type block struct {
	channels []string
	group    *core.Group
	home     *node  // takes it; others if that can't, or if there is much to do
	data     []byte // each record behind its length, as a stream has them
	records  int
	failed   core.Failures
	sent     bool      // perhaps
	deadline time.Time // for trying again; zero if that was never necessary
}

// Producer implements [dmq.Client]. It is so short that compilers see what it returns: then a Push
// that lists its channels needs no memory for the list.
func (c *Client) Producer(options ProducerOptions) Producer { return c.startProducer(options) }

func (c *Client) startProducer(options ProducerOptions) *producer {
	p := c.newProducer(options)
	p.Run(p.run)
	return p
}

func (c *Client) newProducer(options ProducerOptions) *producer {
	p := &producer{client: c, streams: make(map[*core.Node]context.CancelFunc)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.Ledger = core.NewLedger(c.cluster, options, math.MaxInt, p.hurry, p.cancel)
	p.changed = sync.NewCond(&p.Mutex)
	p.settleHomes()
	return p
}

// Push implements [dmq.Producer]. A record has 1 to [MaxValue] bytes.
func (p *producer) Push(ctx context.Context, value []byte, channels ...string) error {
	err := checkValue(value)
	size := wire.LengthSize + len(value)
	var group *core.Group
	if err == nil {
		group, err = p.Take(ctx, size)
	}
	if err != nil {
		return core.Fail("Push", channels, err)
	}
	b, err := p.open(group, channels, size)
	if err != nil {
		p.Withdraw(size)
		p.Unlock()
		return core.Fail("Push", channels, err)
	}
	b.data = append(appendLength(b.data, value), value...)
	b.records++
	p.Unlock()
	return nil
}

// open returns a block with room for a record. Channels that no node accepts are found when a block
// is begun, not for each record. The lock is held.
func (p *producer) open(group *core.Group, channels []string, size int) (*block, error) {
	if len(p.homes) == 0 {
		p.homes = []home{{}} // that is any node
	}
	if p.turn++; p.turn >= len(p.homes) {
		p.turn = 0
	}
	home := &p.homes[p.turn]
	if b := home.newest; b != nil && b.fits(home.node, group, channels, size) {
		return b, nil
	}
	const far = 64
	for i := len(p.blocks) - 1; i >= max(0, len(p.blocks)-far); i-- { // records for several channels by turns
		if b := p.blocks[i]; b.fits(home.node, group, channels, size) {
			return b, nil
		}
	}
	if err := core.CheckChannels(channels, wire.MaxNames); err != nil {
		return nil, err
	}
	var b *block
	if last := len(p.spare) - 1; last >= 0 {
		b, p.spare = p.spare[last], p.spare[:last]
	} else {
		b = new(block)
	}
	if !slices.Equal(b.channels, channels) {
		b.channels = slices.Clone(channels)
	}
	b.group = group
	b.home = home.node
	p.blocks = append(p.blocks, b)
	home.newest = b
	p.changed.Broadcast()
	return b, nil
}

// fits tells whether a block takes one more record.
func (b *block) fits(home *node, group *core.Group, channels []string, size int) bool {
	return b.home == home && b.group == group && b.deadline.IsZero() && len(b.data)+size <= blockSize &&
		slices.Equal(b.channels, channels)
}

// settle ends a block: err is nil if it is stored.
func (p *producer) settle(b *block, err error) {
	if p.Reports(err) {
		records, _ := neo.ParseArrays(b.data)
		for value := range records.All {
			p.Report(value, b.channels, err)
		}
	}
	p.Settle(b.group, b.records, len(b.data), err)
	*b = block{channels: b.channels, data: b.data[:0]}
	if cap(b.data) <= 2*blockSize {
		p.Lock()
		p.spare = append(p.spare, b)
		p.Unlock()
	}
}

// giveUp ends a block that no node has taken.
func (p *producer) giveUp(b *block, reason error) {
	e := core.FailAt("Push", b.channels, b.failed)
	if len(b.failed) == 0 {
		e.Err = reason
	}
	if b.sent && !errors.Is(e, ErrUncertain) {
		e.Err = fmt.Errorf("%w: %w", ErrUncertain, e.Err)
	}
	p.settle(b, e)
}

// hurry has what was sent confirmed, and what was not sent.
func (p *producer) hurry() {
	p.Lock()
	defer p.Unlock()
	p.hasty++
	p.changed.Broadcast()
}

// run sees to the streams and to what waits for too long, until the producer or the client has
// ended.
func (p *producer) run() {
	look := time.NewTicker(core.LookInterval)
	defer look.Stop()
	for p.ctx.Err() == nil {
		change := p.client.cluster.Change.Wait()
		p.start()
		select {
		case <-change:
		case <-look.C:
			p.Look()
		case <-p.client.cluster.Done():
			p.End()
			p.cancel()
		case <-p.ctx.Done():
		}
		p.expire()
	}
	p.hurry()
	p.routines.Wait()
	p.Lock()
	blocks := p.blocks
	p.blocks = nil
	p.Unlock()
	for _, b := range blocks {
		b.failed = nil
		p.giveUp(b, ErrClosed)
	}
}

// start starts streams to nodes that are new, and ends those to nodes that are gone.
func (p *producer) start() {
	all := p.client.cluster.All()
	p.Lock()
	defer p.Unlock()
	for n, end := range p.streams {
		if !slices.Contains(all, n) {
			end()
			delete(p.streams, n)
			p.changed.Broadcast()
		}
	}
	for _, n := range all {
		if p.streams[n] == nil {
			ctx, end := context.WithCancel(p.ctx)
			p.streams[n] = end
			s := &stream{producer: p, node: n.Link.(*node), ctx: ctx}
			p.routines.Go(s.run)
		}
	}
	p.settleHomes()
}

// settleHomes finds the nodes that can take records. The lock is held.
func (p *producer) settleHomes() {
	usable := p.client.usable()
	if slices.EqualFunc(p.homes, usable, func(h home, n *node) bool { return h.node == n }) {
		return
	}
	p.homes = nil
	for _, n := range usable {
		p.homes = append(p.homes, home{node: n})
	}
	p.changed.Broadcast() // what was for others is for all
}

// taken notes that a block gets no more records. The lock is held.
func (p *producer) taken(b *block) {
	for i := range p.homes {
		if p.homes[i].newest == b {
			p.homes[i].newest = nil
		}
	}
}

// expire gives up the blocks that were tried for long enough, or can't be at all.
func (p *producer) expire() {
	nobody := true
	for _, n := range p.client.all() {
		nobody = nobody && !n.usable()
	}
	now := time.Now()
	var late []*block
	p.Lock()
	p.blocks = slices.DeleteFunc(p.blocks, func(b *block) bool {
		if nobody && b.deadline.IsZero() {
			b.deadline = now.Add(p.Options.Retry)
		}
		expired := !b.deadline.IsZero() && !now.Before(b.deadline) && (nobody || p.Options.Retry >= 0)
		if expired {
			late = append(late, b)
			p.taken(b)
		}
		return expired
	})
	p.Unlock()
	for _, b := range late {
		p.giveUp(b, p.Why())
	}
}

// back takes back blocks that a node has not confirmed, or gives them up.
func (p *producer) back(blocks []*block, n *node, err error, sent bool) {
	p.Refused(fmt.Errorf("%s: %w", n.Address, err))
	over := p.Over() || p.ctx.Err() != nil
	asked := p.client.inTurn(p.client.pushes)
	var kept []*block
	for _, b := range blocks {
		b.sent = b.sent || sent
		b.failed = append(slices.DeleteFunc(b.failed, func(f core.Failure) bool { return f.Node == n.Address }), core.Failure{Node: n.Address, Err: err})
		if b.deadline.IsZero() {
			b.deadline = time.Now().Add(max(0, p.Options.Retry))
		}
		everywhere := !slices.ContainsFunc(asked, func(other *node) bool { return !b.failed.Contain(other.Address) })
		var status Status
		refused := errors.As(err, &status) && status != ErrOutOfMemory // others would say the same
		if over || refused || sent && p.client.cluster.Options.AtMostOnce || p.Options.Retry < 0 && everywhere {
			p.giveUp(b, err)
			continue
		}
		p.Retried(b.records)
		kept = append(kept, b)
	}
	p.Lock()
	defer p.Unlock()
	p.blocks = append(kept, p.blocks...)
	p.changed.Broadcast()
}
