package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
)

// legacyQueue is a DMQ over the legacy protocol.
type legacyQueue struct {
	*legacy.Client
}

func connectLegacy(ctx context.Context, options Options) (Queue, error) {
	q, err := dialLegacy(ctx, options)
	if err != nil {
		return nil, err
	}
	return q, nil
}

func dialLegacy(ctx context.Context, options Options) (*legacyQueue, error) {
	logger, settled := newStartLog(options.Logger)
	c, err := legacy.New(legacy.Options{
		Nodes:          options.Nodes,
		ConnectTimeout: options.Timeout,
		RequestTimeout: options.Timeout,
		Logger:         logger,
	})
	if err != nil {
		return nil, err
	}
	err = settle(ctx, options, func() (states []nodeState) {
		for _, node := range c.Nodes() {
			states = append(states, nodeState{node.Address, node.State == legacy.Connected, node.Err})
		}
		return states
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	settled()
	return &legacyQueue{c}, nil
}

func (q *legacyQueue) Nodes() (addresses []string) {
	for _, node := range q.Client.Nodes() {
		addresses = append(addresses, node.Address)
	}
	return addresses
}

func (q *legacyQueue) Push(ctx context.Context, value []byte, channels ...string) error {
	if len(channels) == 1 {
		return q.Client.Push(ctx, channels[0], value)
	}
	return q.PushMulti(ctx, channels, value)
}

func (q *legacyQueue) Consume(ctx context.Context, channel, subscriber string) (Consumer, error) {
	if subscriber != "" {
		return nil, fmt.Errorf("subscriber %q: %w", subscriber, ErrNeedsNeo)
	}
	ctx, cancel := context.WithCancel(ctx)
	return &legacyConsumer{ctx, cancel, q.Client.Consume(ctx, channel)}, nil
}

type legacyConsumer struct {
	ctx    context.Context
	cancel context.CancelFunc
	stream iter.Seq2[[]byte, error]
}

// arrival is what a stream yields.
type arrival struct {
	value []byte
	err   error
}

// Records receives the stream in a goroutine of its own, so that it can tell when it would
// have to wait.
func (c *legacyConsumer) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		arrivals, left := make(chan arrival, 256), make(chan struct{})
		defer close(left)
		go func() {
			defer close(arrivals)
			for value, err := range c.stream {
				select {
				case arrivals <- arrival{value, err}:
				case <-left:
					return
				}
			}
		}()
		for a := range arrivals {
			if a.err != nil && c.ctx.Err() != nil {
				continue // it was stopped, which is no error
			}
			if !yield(Record{Value: a.value, Last: len(arrivals) == 0}, a.err) {
				return
			}
		}
	}
}

// Await does nothing: a stream begins when it is looped over.
func (c *legacyConsumer) Await(context.Context) {}

func (c *legacyConsumer) Stop() { c.cancel() }

func (c *legacyConsumer) Close() error {
	c.cancel()
	return nil
}

// Produce opens as many streams as there are nodes: each goes to the next node.
func (q *legacyQueue) Produce(ctx context.Context, channels ...string) (Producer, error) {
	p := &legacyProducer{}
	for range q.Client.Nodes() {
		var stream *legacy.Producer
		var err error
		if len(channels) == 1 {
			stream, err = q.Client.Produce(ctx, channels[0])
		} else {
			stream, err = q.ProduceMulti(ctx, channels)
		}
		if err != nil {
			return nil, errors.Join(err, p.Close(ctx))
		}
		p.streams = append(p.streams, stream)
	}
	return p, nil
}

// legacyProducer is a stream to each node, filled by turns.
type legacyProducer struct {
	streams []*legacy.Producer
	next    int
	stored  atomic.Int64 // when it was confirmed last
}

func (p *legacyProducer) Push(_ context.Context, value []byte) error {
	p.next = (p.next + 1) % len(p.streams)
	err := p.streams[p.next].Write(value)
	if errors.Is(err, legacy.ErrEmptyValue) || errors.Is(err, legacy.ErrValueTooBig) {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return err
}

// all does something to every stream.
func (p *legacyProducer) all(do func(*legacy.Producer) error) error {
	var failed []error
	for _, stream := range p.streams {
		failed = append(failed, do(stream))
	}
	return errors.Join(failed...)
}

// confirm does something to every stream after which what is stored is known.
func (p *legacyProducer) confirm(do func(*legacy.Producer) error) error {
	err := p.all(do)
	stored := int64(0)
	for _, stream := range p.streams {
		stored += int64(stream.Stored())
	}
	p.stored.Store(stored)
	return err
}

func (p *legacyProducer) State() ProducerState        { return ProducerState{Stored: p.stored.Load()} }
func (p *legacyProducer) Send() error                 { return p.all((*legacy.Producer).Flush) }
func (p *legacyProducer) Flush(context.Context) error { return p.confirm((*legacy.Producer).Confirm) }
func (p *legacyProducer) Close(context.Context) error { return p.confirm((*legacy.Producer).Close) }

// Remove removes channels with all their records from all nodes. Only the legacy protocol
// can do this, so that is what options have to be for.
func Remove(ctx context.Context, options Options, channels ...string) error {
	q, err := dialLegacy(ctx, options)
	if err != nil {
		return err
	}
	defer q.Close()
	var failed []error
	for _, channel := range channels {
		failed = append(failed, q.RemoveChannel(ctx, channel))
	}
	return errors.Join(failed...)
}
