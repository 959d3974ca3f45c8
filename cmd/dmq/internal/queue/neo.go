package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
)

// neoQueue is a DMQ over the neo protocol.
type neoQueue struct {
	*client.Client
	timeout time.Duration
}

func connectNeo(ctx context.Context, options Options) (Queue, error) {
	logger, settled := newStartLog(options.Logger)
	c, err := client.New(client.Options{
		Nodes:          options.Nodes,
		Credentials:    options.Credentials,
		ConnectTimeout: options.Timeout,
		RequestTimeout: options.Timeout,
		Logger:         logger,
	})
	if err != nil {
		return nil, err
	}
	err = settle(ctx, options, func() (states []nodeState) {
		for _, node := range c.Nodes() {
			states = append(states, nodeState{node.Address, node.State == client.Connected, node.Err})
		}
		return states
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	settled()
	return &neoQueue{c, options.Timeout}, nil
}

func (q *neoQueue) Nodes() (addresses []string) {
	for _, node := range q.Client.Nodes() {
		addresses = append(addresses, node.Address)
	}
	return addresses
}

func (q *neoQueue) Consume(ctx context.Context, channel, subscriber string) (Consumer, error) {
	c, err := q.Client.Consume(ctx, channel, client.ConsumeOptions{Subscriber: subscriber})
	if err != nil {
		return nil, err
	}
	return neoConsumer{c, q}, nil
}

type neoConsumer struct {
	*client.Consumer
	queue *neoQueue
}

func (c neoConsumer) Await(ctx context.Context) {
	connected := 0
	for _, node := range c.queue.Client.Nodes() {
		if node.State == client.Connected {
			connected++
		}
	}
	if connected == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.queue.timeout)
	defer cancel()
	c.WaitStarted(ctx, connected)
}

func (c neoConsumer) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for record, err := range c.Consumer.Records() {
			if !yield(Record{Value: record.Value, Node: record.Node, Last: record.Left == 0}, err) {
				return
			}
		}
	}
}

func (q *neoQueue) Produce(_ context.Context, channels ...string) (Producer, error) {
	return newNeoProducer(q.Client, client.ProducerOptions{}, channels), nil
}

// neoProducer ends with the first record that the client gives up; left alone, the client
// would go on with those that follow, and give them up one by one.
type neoProducer struct {
	*client.Producer
	channels []string
	gaveUp   atomic.Bool // some record
	failed   error       // of the first Flush that has failed; the next one would not tell
}

func newNeoProducer(c *client.Client, options client.ProducerOptions, channels []string) *neoProducer {
	p := &neoProducer{channels: channels}
	options.OnError = func([]byte, []string, error) { p.gaveUp.Store(true) }
	p.Producer = c.Producer(options)
	return p
}

func (p *neoProducer) Push(ctx context.Context, value []byte) error {
	if p.gaveUp.Load() {
		return p.Flush(ctx)
	}
	err := p.Producer.Push(ctx, value, p.channels...)
	if errors.Is(err, client.ErrTooLarge) {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return err
}

func (p *neoProducer) State() ProducerState {
	state := p.Producer.State()
	return ProducerState{Stored: int64(state.Stored), Unconfirmed: int64(state.Pending)}
}

func (p *neoProducer) Send() error { return nil } // each record is sent as it comes

func (p *neoProducer) Flush(ctx context.Context) error {
	err := p.Producer.Flush(ctx)
	p.failed = cmp.Or(p.failed, err)
	return p.failed
}

func (p *neoProducer) Close(ctx context.Context) error {
	err := p.Producer.Close(ctx)
	return cmp.Or(p.failed, err)
}
