// A producer and a consumer of a DMQ, to be copied; docs/client.md goes through them.
//
//	go run ./client/example produce    # a record for each line typed
//	go run ./client/example consume    # prints records until Ctrl-C
//
// They talk to the node that make run starts.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: example produce|consume")
	}
	credentials, err := client.LoadCredentials("build/instance/etc/credentials")
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.New(client.Options{
		Nodes:       []string{"127.0.0.1:10001"}, // of a real DMQ: all its nodes
		Credentials: credentials,
		Logger:      slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	switch os.Args[1] {
	case "produce":
		err = produce(ctx, c)
	case "consume":
		err = consume(ctx, c)
	}
	if err != nil {
		log.Print(err)
	}
}

// produce stores a record for each line of standard input.
func produce(ctx context.Context, c *client.Client) error {
	p := c.Producer(client.ProducerOptions{})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := p.Push(ctx, lines.Bytes(), "jobs"); err != nil {
			return err
		}
	}
	return p.Close(ctx) // waits until all are stored
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
		fmt.Printf("%s\n", record.Value)
	}
	return nil
}
