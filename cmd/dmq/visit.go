package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// visit is a consumer of the tool's own that leaves the nodes as it has found them: it removes the
// subscriber that it has made. Where it can't, the subscriber stays, and the tool says so: at
// nodes that can't remove one or do not allow it, or with records that nobody else gets.
type visit struct {
	tool  *tool
	nodes *client.Client
	queue string
	found map[string]error // by node: why a subscriber there is not the tool's own; nil if it is
}

// visiting finds out what is there before the consumer comes.
func (t *tool) visiting(ctx context.Context, dmq queue.Queue, channel, subscriber string) *visit {
	v := &visit{tool: t, nodes: dmq.Single(), queue: subscriber + "@" + channel, found: map[string]error{}}
	defer t.waiting("for the answers of nodes")()
	for _, a := range client.AskAll(v.nodes, func(n *client.Node) (client.QueueInfo, error) { return n.QueueInfo(ctx, v.queue) }) {
		switch {
		case a.Err == nil:
			v.found[a.Node] = errFound
		case !errors.Is(a.Err, client.ErrNotFound):
			v.found[a.Node] = a.Err
		}
	}
	return v
}

// Why a subscriber stays.
var (
	errFound      = errors.New("it was there before")
	errUnfinished = errors.New("because of the error")
	errKept       = errors.New("as --keep says")
)

// settling is how long a node may take to notice that a consumer has left.
const settling = time.Second

// leave is called when the consumer is closed. err is how it ended: an interrupt is as good as any
// other end in order. It returns what there is to say of what is left.
func (v *visit) leave(ctx context.Context, keep bool, err error) string {
	switch {
	case keep:
		return v.staying(errKept)
	case unlessInterrupted(err) != nil:
		return v.staying(errUnfinished)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.tool.timeout)
	defer cancel()
	defer v.tool.waiting("for the answers of nodes")()
	for _, a := range client.AskAll(v.nodes, func(n *client.Node) (none struct{}, err error) { return none, v.remove(ctx, n) }) {
		if a.Err != nil && !errors.Is(a.Err, client.ErrNotFound) {
			return v.staying(a.Err)
		}
	}
	return fmt.Sprintf("subscriber %s is removed again", v.queue)
}

func (v *visit) remove(ctx context.Context, n *client.Node) error {
	if why := v.found[n.Address()]; why != nil {
		return why
	}
	for deadline := time.Now().Add(settling); ; {
		err := n.RemoveUnused(ctx, v.queue)
		if !errors.Is(err, client.ErrInUse) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(settling / 20):
		case <-ctx.Done():
			return err
		}
	}
}

// staying tells that the subscriber goes on collecting, and why it is not removed.
func (v *visit) staying(why error) string {
	if e, ok := errors.AsType[*client.Error](why); ok {
		why = e.Err
	}
	return fmt.Sprintf("subscriber %s stays and collects what comes (%v); 'dmq unsubscribe %s' removes it", v.queue, why, v.queue)
}
