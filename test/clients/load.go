package clients

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// HostileInput returns pure noise, noise behind good requests, or damaged requests.
func HostileInput(random *rand.Rand) []byte {
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

// KeepServed pushes and pops until stop is closed.
func KeepServed(address string, stop <-chan struct{}) error {
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
		if err := PushPop(conn, "served", Record(number, 100)); err != nil {
			return err
		}
	}
}

// RoundTrips pushes and pops records on a connection of its own. Should the node have
// stopped for others, the client's patience ends.
func RoundTrips(t *testing.T, node *nodetest.Node, channel string, count int) {
	t.Helper()
	c := Legacy(t, node)
	for number := range count {
		c.MustPush(channel, Record(number, 100))
		c.WantPop(channel, Record(number, 100))
	}
}

// PushPop pushes a value to a channel that is otherwise empty and pops it.
func PushPop(conn *legacyclient.Conn, channel, value string) error {
	if status, err := conn.Do(legacyclient.Request(legacyclient.Push, channel, value)); status != legacyclient.Ok {
		return fmt.Errorf("Push: got status %d, error %v", status, err)
	}
	if status, err := conn.Do(legacyclient.Request(legacyclient.Pop, channel)); status != legacyclient.Ok {
		return fmt.Errorf("Pop: got status %d, error %v", status, err)
	}
	if got, err := conn.Array(); got != value {
		return fmt.Errorf("got %s, error %v; want %s", Excerpt(got), err, Excerpt(value))
	}
	return nil
}
