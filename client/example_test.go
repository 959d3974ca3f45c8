package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
)

// A program that stores a record and takes it out again.
func Example() {
	nodes := []string{exampleNode()} // such as "queue-1:10001", "queue-2:10001"

	c, err := client.New(client.Options{Nodes: nodes, Credentials: credentials})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.WaitConnected(ctx, 1); err != nil {
		log.Fatal(err)
	}

	if err := c.Push(ctx, []byte("resize 17.png"), "example-jobs"); err != nil {
		log.Fatal(err)
	}
	value, err := c.Pop(ctx, "example-jobs")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", value)
	if _, err = c.Pop(ctx, "example-jobs"); errors.Is(err, client.ErrEmpty) {
		fmt.Println("no more")
	}
	// Output:
	// resize 17.png
	// no more
}

// Consume gets records as they come, until Stop.
func ExampleClient_Consume() {
	c := exampleClient()
	defer c.Close()
	ctx := context.Background()
	for _, job := range []string{"resize 17.png", "resize 18.png", "quit"} {
		if err := c.Push(ctx, []byte(job), "example-consume"); err != nil {
			log.Fatal(err)
		}
	}

	consumer, err := c.Consume(ctx, "example-consume", client.ConsumeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close()
	for record, err := range consumer.Records() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", record.Value)
		if string(record.Value) == "quit" {
			consumer.Stop() // the loop ends after what was received
		}
	}
	// Output:
	// resize 17.png
	// resize 18.png
	// quit
}

// Each subscriber gets every record that is pushed after it has started.
func ExampleConsumeOptions() {
	c := exampleClient()
	defer c.Close()
	ctx := context.Background()
	subscribe := func(name string) client.Consumer {
		consumer, err := c.Consume(ctx, "example-events", client.ConsumeOptions{Subscriber: name})
		if err == nil {
			err = consumer.WaitStarted(ctx, 0)
		}
		if err != nil {
			log.Fatal(err)
		}
		return consumer
	}
	mailer, archive := subscribe("mailer"), subscribe("archive")
	if err := c.Push(ctx, []byte("user 5 has signed up"), "example-events"); err != nil {
		log.Fatal(err)
	}
	for _, consumer := range []client.Consumer{mailer, archive} {
		for record := range consumer.Records() {
			fmt.Printf("%s\n", record.Value)
			consumer.Stop()
		}
	}
	// Output:
	// user 5 has signed up
	// user 5 has signed up
}

// A Producer stores many records at a time.
func ExampleClient_Producer() {
	c := exampleClient()
	defer c.Close()
	ctx := context.Background()

	p := c.Producer(client.ProducerOptions{
		OnError: func(value []byte, channels []string, err error) {
			log.Printf("%s was not stored: %v", value, err)
		},
	})
	for i := range 1000 {
		if err := p.Push(ctx, fmt.Appendf(nil, "record %d", i), "example-produce"); err != nil {
			log.Fatal(err)
		}
	}
	if err := p.Close(ctx); err != nil { // waits until all are stored
		log.Fatal(err)
	}
	fmt.Println(p.State().Stored, "stored")
	// Output:
	// 1000 stored
}

// What to do about the ways in which a Pop can fail.
func ExampleClient_Pop() {
	c := exampleClient()
	defer c.Close()
	value, err := c.Pop(context.Background(), "example-pop")
	var e *client.Error
	switch {
	case err == nil:
		fmt.Printf("%s\n", value)
	case errors.Is(err, client.ErrEmpty):
		fmt.Println("nothing to do")
	case errors.Is(err, client.ErrUncertain):
		fmt.Println("a record may be lost:", err)
	case errors.As(err, &e):
		fmt.Println("failed at node", e.Node, "because of", e.Err)
	}
	// Output:
	// nothing to do
}
