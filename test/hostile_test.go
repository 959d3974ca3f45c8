package test

import (
	"bytes"
	"math/rand"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Whatever bytes come on however many connections, the node survives, and a client with
// good requests is served all along.
func TestRandomBytes(t *testing.T) {
	t.Parallel()
	random := newRand(t)
	node := nodetest.Start(t)
	const connections = 400
	inputs := make([][]byte, connections)
	for i := range inputs {
		inputs[i] = hostileInput(random)
	}
	stop := make(chan struct{})
	served := make(chan error, 1)
	go func() { served <- keepServed(node.Legacy(), stop) }()
	together(t, 8, func(worker int) error {
		for i := worker; i < connections; i += 8 {
			if err := sendHostile(node.Legacy(), inputs[i], i); err != nil {
				return err
			}
		}
		return nil
	})
	close(stop)
	if err := <-served; err != nil {
		t.Errorf("the client with good requests: %v", err)
	}
	dial(t, node).alive()
}

// hostileInput returns pure noise, noise behind good requests, or damaged requests.
func hostileInput(random *rand.Rand) []byte {
	noise := make([]byte, random.Intn(5000))
	random.Read(noise)
	commands := []legacyclient.Command{0, 1, 2, 3, 6, 8, 9, 10, 11, 12, 13, -1}
	names := []string{"", "noise", "a b", "x", "noise2"}
	var requests []byte
	for range random.Intn(20) {
		request := legacyclient.Request(commands[random.Intn(len(commands))], names[random.Intn(len(names))], names[random.Intn(len(names))])
		if random.Intn(3) == 0 {
			request = append(request, make([]byte, 8)...) // an end of a list or an empty value
		}
		requests = append(requests, request...)
	}
	switch random.Intn(3) {
	case 0:
		return noise
	case 1:
		return append(requests, noise...)
	default:
		for range 1 + random.Intn(3) {
			if len(requests) > 0 {
				requests[random.Intn(len(requests))] ^= 1 << random.Intn(8)
			}
		}
		return requests
	}
}

// sendHostile sends the bytes on a connection and leaves it in one of several ways. That
// the node closes the connection meanwhile is no error.
func sendHostile(address string, input []byte, way int) error {
	conn, err := legacyclient.Dial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, part := range bytes.SplitAfterN(input, []byte{0}, 1+way%5) {
		if conn.Send(part) != nil {
			return nil
		}
	}
	switch way % 3 {
	case 0:
		conn.Reset()
	case 1:
		conn.CloseWrite()
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		for buffer := make([]byte, 4096); err == nil; {
			_, err = conn.Read(buffer)
		}
	}
	return nil
}

// keepServed pushes and pops until stop is closed.
func keepServed(address string, stop <-chan struct{}) error {
	conn, err := legacyclient.Dial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for number := 0; ; number++ {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := pushPop(conn, "served", record(number, 100)); err != nil {
			return err
		}
	}
}

// Noise inside a Produce is records, or the end of the connection; never something else.
func TestRandomBytesInsideProduce(t *testing.T) {
	t.Parallel()
	random := newRand(t)
	node := nodetest.Start(t)
	for range 50 {
		c := dial(t, node)
		c.produce("noise")
		noise := make([]byte, random.Intn(3000))
		random.Read(noise)
		c.Send(noise)
		c.Close()
	}
	dial(t, node).alive()
	roundTrips(t, node, "other", 1)
}
