package legacy

import (
	"bytes"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Whatever bytes come on however many connections, the node survives, and a client with
// good requests is served all along.
func TestRandomBytes(t *testing.T) {
	t.Parallel()
	random := nodetest.Random(t)
	node := nodetest.Start(t)
	const connections = 400
	inputs := make([][]byte, connections)
	for i := range inputs {
		inputs[i] = clients.HostileInput(random)
	}
	stop := make(chan struct{})
	served := make(chan error, 1)
	go func() { served <- clients.KeepServed(node.Legacy(), stop) }()
	nodetest.Together(t, 8, func(worker int) error {
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
	clients.Legacy(t, node).Alive()
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

// Noise inside a Produce is records, or the end of the connection; never something else.
func TestRandomBytesInsideProduce(t *testing.T) {
	t.Parallel()
	random := nodetest.Random(t)
	node := nodetest.Start(t)
	for range 50 {
		c := clients.Legacy(t, node)
		c.MustProduce("noise")
		noise := make([]byte, random.Intn(3000))
		random.Read(noise)
		c.Send(noise)
		c.Close()
	}
	clients.Legacy(t, node).Alive()
	clients.RoundTrips(t, node, "other", 1)
}
