// A producer and a consumer of a DMQ, to be copied; docs/client.md goes through them.
//
//	go run ./client/example produce    # a record for each line typed, until Ctrl-D or Ctrl-C
//	go run ./client/example consume    # prints records until Ctrl-C
//
// They talk to the node that make run starts. The exit status is 0 if everything was done.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
)

func main() {
	node := flag.String("node", "127.0.0.1:10001", "address of a node; of a real DMQ give the client all")
	key := flag.String("credentials", "build/instance/etc/credentials", "file with the name and key of the client")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, flag.Arg(0), *node, *key); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, command, node, key string) error {
	credentials, err := client.LoadCredentials(key)
	if err != nil {
		return err
	}
	c, err := client.New(client.Options{
		Nodes:       []string{node},
		Credentials: credentials,
		Logger:      slog.Default(),
	})
	if err != nil {
		return err
	}
	defer c.Close()
	switch command {
	case "produce":
		return produce(ctx, c, os.Stdin)
	case "consume":
		return consume(ctx, c)
	}
	return errors.New("usage: example produce|consume")
}

// produce stores a record for each line, until the end or ctx ends. What was read by then is
// stored.
func produce(ctx context.Context, c *client.Client, in io.Reader) error {
	p := c.Producer(client.ProducerOptions{})
	err := pushLines(ctx, p, in)
	err = errors.Join(err, p.Close(context.Background())) // waits until all are stored or given up
	state := p.State()
	fmt.Fprintf(os.Stderr, "%d records stored, %d not\n", state.Stored, state.Failed)
	return err
}

// pushLines pushes lines of any length. One is read while others wait to be stored.
func pushLines(ctx context.Context, p client.Producer, in io.Reader) error {
	type read struct {
		line []byte
		err  error
	}
	lines := make(chan read)
	go func() { // reading can't be interrupted, but left behind
		reader := bufio.NewReader(in)
		for {
			line, err := reader.ReadBytes('\n')
			select {
			case lines <- read{line, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case next := <-lines:
			if line := bytes.TrimSuffix(next.line, []byte("\n")); len(next.line) > 0 {
				if err := p.Push(ctx, line, "jobs"); err != nil {
					return err
				}
			}
			switch next.err {
			case nil:
			case io.EOF:
				return nil
			default:
				return next.err
			}
		case <-ctx.Done():
			return nil // Ctrl-C is the way to end
		}
	}
}

// consume prints records until ctx ends, and then those that were received already.
func consume(ctx context.Context, c *client.Client) error {
	consumer, err := c.Consume(context.Background(), "jobs", client.ConsumeOptions{})
	if err != nil {
		return err
	}
	defer consumer.Close()
	context.AfterFunc(ctx, consumer.Stop)
	for record, err := range consumer.Records() {
		if err != nil {
			return err
		}
		if _, err := fmt.Printf("%s\n", record.Value); err != nil {
			return err // and the record comes again
		}
	}
	return nil
}
