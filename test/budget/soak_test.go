package budget

import (
	"errors"
	"math/rand"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// hostileTime is how long the test goes on without -soak.
const hostileTime = 2 * time.Second

// Many connections of both protocols that keep to no rule, for seconds, or as long as -soak says.
// The node survives with as much memory as it may use, and a client with good requests is served
// all along.
func TestHostileTraffic(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	const peers, most = 64, 160 << 20
	node := nodetest.Start(t,
		nodetest.Set("EventLoop.count", "3"),
		nodetest.Set("Server.channel_size_limit", "100000"),
		nodetest.Set("Limits.channels", "50"),
		nodetest.Set("Limits.input_memory", "33554432"),
		nodetest.Set("Limits.output_memory", "16777216"),
		nodetest.Set("Limits.request_timeout_ms", "1000"))
	random := nodetest.Random(t)
	seeds := make([]int64, peers)
	for i := range seeds {
		seeds[i] = random.Int63()
	}
	before := node.ResetPeakRSS()
	neoAddress := node.Neo()
	stop, served := make(chan struct{}), make(chan error, 1)
	go func() { served <- clients.KeepServed(node.Legacy(), stop) }()
	inTime := nodetest.AtMost(hostileTime)
	var connections atomic.Int64
	nodetest.Together(t, peers, func(i int) error {
		random := rand.New(rand.NewSource(seeds[i]))
		for inTime() {
			connections.Add(1)
			if i%2 == 0 {
				hostileLegacy(random, node.Legacy())
			} else {
				hostileNeo(random, neoAddress)
			}
		}
		return nil
	})
	close(stop)
	if err := <-served; err != nil {
		t.Errorf("the client with good requests: %v", err)
	}
	t.Logf("%d hostile connections", connections.Load())
	nodetest.WantGrowth(t, node, before, most)
	clients.Legacy(t, node).Alive()
}

// hostileLegacy opens a connection, sends what has no end, or too many of it, and leaves somehow.
// What becomes of it is all the same.
func hostileLegacy(random *rand.Rand, address string) {
	c, err := legacyclient.Dial(address)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Duration(random.Intn(300)) * time.Millisecond))
	channel := string(rune('a' + random.Intn(26)))
	switch random.Intn(8) {
	case 0: // almost a large Push
		request := legacyclient.Request(legacyclient.Push, channel, strings.Repeat("x", random.Intn(10<<20)))
		c.Write(request[:len(request)-1])
	case 1: // an endless array
		c.Write(legacyclient.AppendLength(legacyclient.AppendCommand(nil, legacyclient.Push), 1<<63))
		c.Write(make([]byte, random.Intn(3<<20)))
	case 2: // many names
		names := strings.Split(strings.Repeat(channel+" ", 1+random.Intn(60_000)), " ")
		c.Write(legacyclient.ListRequest(legacyclient.PushMulti, names[:len(names)-1], strings.Repeat("x", random.Intn(100))))
	case 3: // many requests whose answers nobody reads
		c.Write([]byte(strings.Repeat(string(legacyclient.Request(legacyclient.Pop, channel)), 20_000)))
	case 4: // a consumer that does not read
		c.Write(legacyclient.Request(legacyclient.Consume, channel))
		c.Write(make([]byte, random.Intn(1<<20)))
	case 5: // channels that come and go
		c.Write([]byte(strings.Repeat(string(legacyclient.Request(legacyclient.Push, channel, "x"))+
			string(legacyclient.Request(legacyclient.RemoveChannel, channel)), 50)))
	case 6: // records, and noise
		c.Write(legacyclient.ListRequest(legacyclient.ProduceMulti, []string{channel, "z"}))
		c.Write(legacyclient.Records(strings.Repeat("x", random.Intn(10_000))))
		c.Write(clients.HostileInput(random))
	default:
		c.Write(clients.HostileInput(random))
	}
	c.Read(make([]byte, random.Intn(1<<16)+1))
	if random.Intn(2) == 0 {
		c.Reset()
	}
}

// hostileNeo does the like, sometimes after it has been let in.
func hostileNeo(random *rand.Rand, address string) {
	login := clients.TestLogin()
	if random.Intn(4) == 0 {
		login.Name = strings.Repeat("n", random.Intn(1000))
	}
	c, err := neoclient.Dial(address)
	if err != nil {
		return
	}
	defer c.Close()
	c.Timeout = time.Duration(50+random.Intn(300)) * time.Millisecond
	if random.Intn(8) == 0 {
		c.Write(clients.HostileInput(random))
		return
	}
	if c.Authenticate(login) != nil {
		return
	}
	channel := string(rune('a' + random.Intn(26)))
	var frames []byte
	for id := range uint64(1 + random.Intn(200)) {
		payload := neoclient.PopPayload(channel)
		switch random.Intn(4) {
		case 0:
			payload = neoclient.PushPayload(make([]byte, random.Intn(10_000)), channel, channel)
		case 1:
			payload = neoclient.ConsumePayload(channel, "")
		}
		frames = append(frames, neoclient.RequestFrame(id, payload)...)
	}
	for range random.Intn(4) {
		frames[random.Intn(len(frames))] ^= 1 << random.Intn(8)
	}
	err = c.Write(frames)
	for err == nil && random.Intn(20) > 0 {
		_, err = c.Read()
	}
	if random.Intn(2) == 0 && !errors.Is(err, neoclient.ErrRejected) {
		c.Write(neoclient.Header(neoclient.Request, uint64(random.Intn(300<<20))))
		c.Write(make([]byte, random.Intn(2<<20)))
	}
}
