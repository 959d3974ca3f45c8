package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/sociomantic-tsunami/dmqnode/client"
	"github.com/sociomantic-tsunami/dmqnode/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/client/nodes"
)

// legacyQueue is a DMQ over the legacy protocol.
type legacyQueue struct {
	options  Options
	nodes    []string // that can be reached
	clients  []*legacy.Client
	rotation *nodes.Rotation
}

func connectLegacy(ctx context.Context, options Options) (Queue, error) {
	addresses, err := nodes.Load(options.Nodes, options.NodesFile)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	q := &legacyQueue{options: options, rotation: nodes.NewRotation()}
	var failed []error
	for _, address := range addresses {
		c, err := legacy.Dial(ctx, address)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		q.nodes, q.clients = append(q.nodes, address), append(q.clients, c)
	}
	if len(q.clients) == 0 {
		return nil, fmt.Errorf("%w: %w", client.ErrNotConnected, errors.Join(failed...))
	}
	for _, err := range failed {
		options.Logger.Warn(err.Error())
	}
	return q, nil
}

func (q *legacyQueue) Nodes() []string { return q.nodes }

func (q *legacyQueue) Close() error {
	for _, c := range q.clients {
		c.Close()
	}
	return nil
}

// each asks one node after the other, until one is done with it.
func (q *legacyQueue) each(ask func(*legacy.Client) (done bool, err error)) error {
	start := q.rotation.Start(len(q.clients))
	var failed []error
	for i := range q.clients {
		done, err := ask(q.clients[(start+i)%len(q.clients)])
		if done {
			return err
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func (q *legacyQueue) Push(ctx context.Context, value []byte, channels ...string) error {
	if len(channels) != 1 {
		return errors.New("one channel at a time")
	}
	return q.each(func(c *legacy.Client) (bool, error) {
		err := c.Push(ctx, channels[0], value)
		return err == nil || errors.Is(err, legacy.ErrUncertain) || errors.Is(err, legacy.ErrEmptyValue), err
	})
}

func (q *legacyQueue) Pop(ctx context.Context, channel string) (value []byte, err error) {
	err = q.each(func(c *legacy.Client) (bool, error) {
		value, err = c.Pop(ctx, channel)
		return err == nil || errors.Is(err, legacy.ErrUncertain), err
	})
	return value, err
}

func (q *legacyQueue) Consume(ctx context.Context, channel, subscriber string) (Consumer, error) {
	if subscriber != "" {
		return nil, fmt.Errorf("subscriber %q: %w", subscriber, ErrNeedsNeo)
	}
	ctx, cancel := context.WithCancel(ctx)
	return &legacyConsumer{q, ctx, cancel, channel}, nil
}

type legacyConsumer struct {
	queue   *legacyQueue
	ctx     context.Context
	cancel  context.CancelFunc
	channel string
}

func (c *legacyConsumer) Records() iter.Seq2[Record, error] {
	type arrival struct {
		Record
		error
	}
	return func(yield func(Record, error) bool) {
		arrivals, left := make(chan arrival, 256), make(chan struct{})
		defer close(left)
		var group sync.WaitGroup
		for i, node := range c.queue.clients {
			group.Go(func() {
				for value, err := range node.Consume(c.ctx, c.channel) {
					select {
					case arrivals <- arrival{Record{Value: value, Node: c.queue.nodes[i]}, err}:
					case <-left:
						return
					}
				}
			})
		}
		go func() { group.Wait(); close(arrivals) }()
		for a := range arrivals {
			if a.error != nil && c.ctx.Err() != nil {
				continue
			}
			a.Last = len(arrivals) == 0
			if !yield(a.Record, a.error) {
				return
			}
		}
	}
}

func (c *legacyConsumer) Stop()        { c.cancel() }
func (c *legacyConsumer) Close() error { c.cancel(); return nil }

func (q *legacyQueue) Produce(ctx context.Context, channels ...string) (Producer, error) {
	if len(channels) != 1 {
		return nil, errors.New("one channel at a time")
	}
	p := &legacyProducer{queue: q, ctx: ctx, channel: channels[0]}
	return p, p.open()
}

// legacyProducer is a Produce stream to each node, filled by turns.
type legacyProducer struct {
	queue   *legacyQueue
	ctx     context.Context
	channel string
	streams []*legacy.Producer
	next    int
}

func (p *legacyProducer) open() error {
	for _, c := range p.queue.clients {
		stream, err := c.Produce(p.ctx, p.channel)
		if err != nil {
			return err
		}
		p.streams = append(p.streams, stream)
	}
	return nil
}

func (p *legacyProducer) Push(_ context.Context, value []byte) error {
	if len(p.streams) == 0 {
		if err := p.open(); err != nil {
			return err
		}
	}
	p.next = (p.next + 1) % len(p.streams)
	err := p.streams[p.next].Write(value)
	if errors.Is(err, legacy.ErrEmptyValue) || errors.Is(err, legacy.ErrValueTooBig) {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return err
}

func (p *legacyProducer) Send() error {
	for _, stream := range p.streams {
		if err := stream.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// Flush ends the streams, which is the only way to be sure. The next Push begins new ones.
func (p *legacyProducer) Flush(ctx context.Context) error {
	var failed []error
	for _, stream := range p.streams {
		failed = append(failed, stream.Close())
	}
	p.streams = nil
	return errors.Join(failed...)
}

func (p *legacyProducer) Close(ctx context.Context) error { return p.Flush(ctx) }

// Remove removes channels with all their records from all nodes. Only the legacy protocol
// can do this, so that is what options have to be for.
func Remove(ctx context.Context, options Options, channels ...string) error {
	dmq, err := connectLegacy(ctx, options)
	if err != nil {
		return err
	}
	defer dmq.Close()
	ctx, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	var failed []error
	for _, channel := range channels {
		for _, c := range dmq.(*legacyQueue).clients {
			failed = append(failed, c.RemoveChannel(ctx, channel))
		}
	}
	return errors.Join(failed...)
}
