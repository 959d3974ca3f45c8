package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/sociomantic-tsunami/dmqnode/client"
)

// neoQueue is a DMQ over the neo protocol.
type neoQueue struct {
	*client.Client
}

func connectNeo(ctx context.Context, options Options) (Queue, error) {
	changed := make(chan struct{}, 1)
	c, err := client.New(client.Options{
		Nodes:          options.Nodes,
		NodesFile:      options.NodesFile,
		Credentials:    options.Credentials,
		ConnectTimeout: options.Timeout,
		RequestTimeout: options.Timeout,
		Logger:         options.Logger,
		OnStateChange: func(client.NodeState) {
			select {
			case changed <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		return nil, err
	}
	q := &neoQueue{c}
	if err := q.settle(ctx, options, changed); err != nil {
		c.Close()
		return nil, err
	}
	return q, nil
}

// settle waits until each node is connected or has failed to, so that a channel is called
// empty only by all that can be asked.
func (q *neoQueue) settle(ctx context.Context, options Options, changed <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	for {
		connected, pending := 0, 0
		var failed []error
		for _, node := range q.Client.Nodes() {
			switch {
			case node.State == client.Connected:
				connected++
			case node.Err != nil:
				failed = append(failed, &client.Error{Request: "connecting", Node: node.Address, Err: node.Err})
			default:
				pending++
			}
		}
		switch {
		case pending == 0 && connected == 0:
			return fmt.Errorf("%w: %w", client.ErrNotConnected, errors.Join(failed...))
		case pending == 0:
			for _, err := range failed {
				options.Logger.Warn(err.Error())
			}
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return q.WaitConnected(ctx, 0) // says who is missing
		}
	}
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
	return neoConsumer{c}, nil
}

type neoConsumer struct{ *client.Consumer }

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
