package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Push stores records, Pop takes them out again.
func Example() {
	nodes, stop := exampleNodes(2) // in real life: []string{"queue-1:10000", "queue-2:10000"}
	defer stop()

	client, err := legacy.New(legacy.Options{Nodes: nodes})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	if err := client.Push(ctx, []byte("resize 17.png"), "jobs"); err != nil {
		log.Fatal(err)
	}
	for {
		record, err := client.Pop(ctx, "jobs")
		if errors.Is(err, legacy.ErrEmpty) {
			fmt.Println(err)
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", record)
	}
	// Output:
	// resize 17.png
	// Pop "jobs": the channel is empty
}

// A producer sends many records fast. Consume gets them as they come, from all nodes.
func ExampleClient_Consume() {
	nodes, stop := exampleNodes(2)
	defer stop()
	client, err := legacy.New(legacy.Options{Nodes: nodes})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	producer := client.Producer(legacy.ProducerOptions{})
	for i := range 1000 {
		if err := producer.Push(ctx, fmt.Appendf(nil, "hit %d", i), "hits"); err != nil {
			log.Fatal(err)
		}
	}
	if err := producer.Close(ctx); err != nil { // waits until all are stored
		log.Fatal(err)
	}

	consumer, err := client.Consume(ctx, "hits", legacy.ConsumeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close()
	count := 0
	for _, err := range consumer.Records() {
		if err != nil {
			log.Fatal(err)
		}
		if count++; count == 1000 {
			break // nothing is under way here that could be lost
		}
	}
	fmt.Println(count, "records")
	// Output: 1000 records
}

// With Options.AtMostOnce a Push that is uncertain may be stored. Whether to do it again is up to
// you.
func ExampleClient_Push_uncertain() {
	client, err := legacy.New(legacy.Options{Nodes: []string{"127.0.0.1:1"}, AtMostOnce: true}) // nobody is there
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	err = client.Push(context.Background(), []byte("resize 17.png"), "jobs")
	switch {
	case err == nil:
		fmt.Println("stored")
	case errors.Is(err, legacy.ErrUncertain):
		fmt.Println("stored or not:", err)
	case errors.Is(err, legacy.ErrNotConnected):
		fmt.Println("not stored: no node can be reached")
	default:
		fmt.Println("not stored:", err)
	}
	// Output: not stored: no node can be reached
}

// exampleNodes starts nodes, and returns their addresses and what stops them.
func exampleNodes(count int) (addresses []string, stop func()) {
	t := new(exampleT)
	for range count {
		addresses = append(addresses, nodetest.Start(t).Legacy())
	}
	return addresses, t.cleanup
}

// exampleT lets an example start nodes. What goes wrong ends it.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                         {}
func (t *exampleT) Failed() bool                    { return false }
func (t *exampleT) Fatal(args ...any)               { log.Panic(args...) }
func (t *exampleT) Fatalf(text string, args ...any) { log.Panicf(text, args...) }
func (t *exampleT) Errorf(text string, args ...any) { log.Panicf(text, args...) }
func (t *exampleT) Cleanup(f func())                { t.cleanups = append(t.cleanups, f) }

func (t *exampleT) TempDir() string {
	dir, err := os.MkdirTemp("", "dmqnode-example-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (t *exampleT) cleanup() {
	for i := len(t.cleanups); i > 0; i-- {
		t.cleanups[i-1]()
	}
}
