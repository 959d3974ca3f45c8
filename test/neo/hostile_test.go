package neo

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Whatever bytes come on however many connections, before and after the handshake, the node
// survives and a client with good requests is served all along.
func TestNeoRandomBytes(t *testing.T) {
	t.Parallel()
	const connections, workers = 600, 8
	random := nodetest.Random(t)
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"), nodetest.Set("Server.channel_size_limit", "100000"))
	inputs := make([]hostile, connections)
	for i := range inputs {
		inputs[i] = newHostile(random)
	}
	address := node.Neo()
	stop := make(chan struct{})
	served := make(chan error, 1)
	go func() { served <- keepServedNeo(address, stop) }()
	nodetest.Together(t, workers, func(worker int) error {
		for i := worker; i < connections; i += workers {
			if err := inputs[i].send(address); err != nil {
				return fmt.Errorf("input %d: %w", i, err)
			}
		}
		return nil
	})
	close(stop)
	if err := <-served; err != nil {
		t.Errorf("the client with good requests: %v", err)
	}
	clients.Neo(t, node).Alive()
	clients.Legacy(t, node).Alive()
}

// hostile is input for a connection.
type hostile struct {
	authenticate bool
	bytes        []byte
	way          int // to leave
}

// newHostile returns noise, or requests some of which are damaged.
func newHostile(random *rand.Rand) hostile {
	h := hostile{authenticate: random.Intn(4) > 0, way: random.Intn(3)}
	noise := make([]byte, random.Intn(3000))
	random.Read(noise)
	if !h.authenticate && random.Intn(2) == 0 {
		h.bytes = []byte{1} // at least the version is right
		if random.Intn(2) == 0 {
			h.bytes = append(h.bytes, neoclient.AuthenticationFrame(noise[:min(len(noise), random.Intn(1100))])...)
		}
	}
	if h.authenticate {
		for range random.Intn(40) {
			h.bytes = append(h.bytes, randomFrame(random)...)
		}
	}
	switch random.Intn(3) {
	case 0:
		h.bytes = append(h.bytes, noise...)
	case 1:
		for range 1 + random.Intn(3) {
			if len(h.bytes) > 0 {
				h.bytes[random.Intn(len(h.bytes))] ^= 1 << random.Intn(8)
			}
		}
	}
	return h
}

// randomFrame returns a frame with a good header, for one of a few ids, so that messages
// meet requests that are active.
func randomFrame(random *rand.Rand) []byte {
	names := []string{"", "noise", "noise2", "a b", "x@y"}
	name := func() string { return names[random.Intn(len(names))] }
	var payload []byte
	switch random.Intn(8) {
	case 0, 1:
		payload = neoclient.PushPayload(make([]byte, random.Intn(500)), name(), name())
	case 2:
		payload = neoclient.PopPayload(name())
	case 3:
		payload = neoclient.ConsumePayload(name(), name())
	case 4, 5:
		payload = []byte{byte(random.Intn(3))}
	case 6:
		payload = make([]byte, random.Intn(100))
		random.Read(payload)
	default:
		payload = neoclient.PushPayload([]byte("value"), name())
		binary.LittleEndian.PutUint64(payload[3:], random.Uint64()>>random.Intn(64)) // length of the name
	}
	if random.Intn(10) == 0 {
		payload = payload[:random.Intn(len(payload)+1)]
	}
	return neoclient.RequestFrame(uint64(random.Intn(6)), payload)
}

// send sends the input and leaves the connection. That the node closes it meanwhile is no
// error; that it does not close it in order is.
func (h hostile) send(address string) error {
	conn, err := legacyclient.Dial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if h.authenticate {
		if err := neoclient.New(conn.TCPConn).Authenticate(clients.TestLogin()); err != nil {
			return err
		}
	}
	if conn.Send(h.bytes) != nil {
		return nil
	}
	switch h.way {
	case 0:
		conn.Reset()
	case 1:
		if err := conn.CloseWrite(); err != nil {
			return nil
		}
		if err := readToTheEnd(conn); err != nil {
			return fmt.Errorf("behind %d bytes and the end: %w", len(h.bytes), err)
		}
	}
	return nil
}

// readToTheEnd reads what the node sends until it closes the connection.
func readToTheEnd(conn *legacyclient.Conn) error {
	c := neoclient.New(conn.TCPConn)
	c.Timeout = nodetest.Patience
	for {
		_, err := c.ReadBytes(1)
		switch {
		case err == nil:
		case c.ExpectClose() == nil:
			return nil
		default:
			return err
		}
	}
}

// keepServedNeo pushes, pops and consumes until stop is closed.
func keepServedNeo(address string, stop <-chan struct{}) error {
	c, err := neoclient.Connect(address, clients.TestLogin())
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := pushAndPop(c, "served", 50); err != nil {
			return err
		}
		if err := consumeSome(c, 5); err != nil {
			return err
		}
	}
}

// Clients that come and go in the middle of everything leave nothing behind: no descriptor,
// no memory.
func TestNeoConnectionsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "1"))
	other := clients.Neo(t, node)
	open := 0
	round := func() {
		for i := range 200 {
			c := clients.Neo(t, node)
			k := c.MustConsume("behind", "")
			other.MustPush(clients.Record(i, 1000), "behind")
			k.Batch()
			c.MustWrite(neoclient.RequestFrame(900, neoclient.PushPayload(make([]byte, 50_000), "other"))[:20_000])
			clients.NeoLeaving[i%len(clients.NeoLeaving)].Leave(c)
			if i%len(clients.NeoLeaving) == 2 {
				c.WantClose()
				c.Close()
			}
		}
		nodetest.Eventually(t, "the node closes all connections", func() bool { return open == 0 || node.Sockets() <= open })
	}
	round()
	nodetest.Eventually(t, "the node closes all connections", func() bool {
		open = node.Sockets()
		return open < 50
	})
	before := node.ResetPeakRSS()
	round()
	nodetest.WantGrowth(t, node, before, 8<<20)
}
