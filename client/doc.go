// Package client is a client of a DMQ: a queue made of many nodes that know nothing of
// each other, which only the client sees as one. It speaks the neo protocol. What it has in
// common with package client/legacy, the methods of [Client], [Producer] and [Consumer], options
// and errors, is described in package client/dmq.
//
//	c, err := client.New(client.Options{
//		Nodes:       []string{"queue-1:10001", "queue-2:10001"},
//		Credentials: credentials,
//	})
//	…
//	defer c.Close()
//	err = c.WaitConnected(ctx, 1)
//	err = c.Push(ctx, []byte("resize 17.png"), "jobs")
//	value, err := c.Pop(ctx, "jobs")
//
// [Client.Push] stores one record and waits for the node's word. [Client.Producer] does the
// same for many records at once, and is the one for throughput. [Client.Pop] takes one
// record out; [Client.Consume] gets them as they come, from all nodes.
//
// # Connections
//
// From New to Close, each node has one connection, on which any number of Push and Pop
// requests run at the same time. It is made in the background and made again whenever it
// breaks, see package nodes for when; [Client.WaitConnected] waits for it, [Client.Nodes]
// tells how it is. A [Consumer] has a connection of its own to every node, so that a slow
// one holds up nobody else, and closing it gives back what it has not handled.
//
// A connection that has answered nothing for Options.RequestTimeout while requests wait is
// given up as if it had broken: so a node that hangs costs its requests that time, once.
// Otherwise the time a request may take is up to its context.
//
// # What a request promises
//
//	Push      stored in all its channels on one node, once; after a connection broke
//	          before the node's answer maybe on two nodes (or see Options.AtMostOnce)
//	Producer  the same
//	Pop       the record is the caller's; if the connection breaks before the node's
//	          answer has come, it may be lost
//	Consume   handed out at least once: what a batch had in it comes again if the
//	          connection ends before the whole batch was handled
//
// Records of one channel on one node come in the order in which they were stored there;
// between nodes there is no order.
//
// # Operators
//
// [Client.Node] is one node for operators: which queues it has, what is in them, who consumes them;
// and to clear, pause and remove them. [AskAll] asks all nodes at once.
//
// # Errors
//
// Every error of a request is an [*Error] that names request, channel and node. errors.Is
// finds the reason: [ErrEmpty], [ErrHasSubscribers], [ErrNotConnected], [ErrUncertain] and
// the others in this package, or that of the context.
//
// # Concurrency
//
// Everything may be used from any number of goroutines. Hooks of Options are called from
// goroutines of the client and must not block.
package client
