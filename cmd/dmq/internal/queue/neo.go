package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/client"
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
		NodesFile:      options.NodesFile,
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
	return &neoProducer{q.Producer(client.ProducerOptions{}), channels}, nil
}

type neoProducer struct {
	*client.Producer
	channels []string
}

func (p *neoProducer) Push(ctx context.Context, value []byte) error {
	err := p.Producer.Push(ctx, value, p.channels...)
	if errors.Is(err, client.ErrTooLarge) {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return err
}

func (p *neoProducer) Send() error { return nil } // each record is sent as it comes
