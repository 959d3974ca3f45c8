package storage

import (
	"fmt"
	"math/rand"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
)

// churn is a client of the kill test that has a channel for itself: it makes it, pushes, often
// subscribes, which renames the storage, takes some records, and removes it. Whenever the node
// was killed meanwhile, it first looks whether the channel is what it must be. Of an earlier
// generation of the channel nothing may ever be seen again.
type churn struct {
	channel    string
	random     *rand.Rand
	generation int

	sent     int          // records of this generation
	doubtful map[int]bool // those that were not acknowledged
	from, to int          // where a reader may start, see queue.again
	behind   int          // number behind the batch that is not confirmed
	// removed is how many records were sent before a RemoveChannel that was not acknowledged;
	// -1 if there was none.
	removed int
}

func newChurn(channel string, seed int64) *churn {
	return &churn{channel: channel, random: rand.New(rand.NewSource(seed)), doubtful: map[int]bool{}, removed: -1}
}

// work is a worker.
func (c *churn) work(r *round) error {
	if err := c.verify(r.legacy, r.neo); err != nil {
		return err
	}
	legacy, neo, err := connectBoth(r.legacy, r.neo)
	if err != nil {
		return err
	}
	defer legacy.Close()
	defer neo.Close()
	for !r.ending.Load() {
		if err := c.live(legacy, neo); err != nil {
			return err
		}
	}
	return nil
}

func connectBoth(legacyAddress, neoAddress string) (*legacyclient.Conn, *neoclient.Client, error) {
	legacy, err := legacyclient.Dial(legacyAddress)
	if err != nil {
		return nil, nil, err
	}
	neo, err := neoclient.Connect(neoAddress, clients.TestLogin())
	if err != nil {
		legacy.Close()
	}
	return legacy, neo, err
}

// live is one life of the channel.
func (c *churn) live(legacy *legacyclient.Conn, neo *neoclient.Client) error {
	if err := c.push(legacy, 1+c.random.Intn(30)); err != nil {
		return err
	}
	var k *neoclient.Consumer
	if c.random.Intn(3) > 0 {
		var err error
		if k, err = neo.Consume(c.channel, "s"); err != nil {
			return err
		}
		batch, err := k.Records()
		if err != nil {
			return err
		}
		if err := c.expect(batch); err != nil {
			return err
		}
		if c.random.Intn(2) > 0 {
			if err := c.confirm(k, neoclient.Stop); err != nil {
				return err
			}
			if message, _, err := k.Next(); err != nil || message != neoclient.Stopped {
				return orViolated(err, "%s: got message %02x after Stop, want Stopped", c.channel, message)
			}
			c.from, k = c.to, nil
		}
	}
	if err := c.push(legacy, c.random.Intn(30)); err != nil {
		return err
	}
	if err := c.remove(legacy); err != nil || k == nil {
		return err
	}
	if message, _, err := k.Next(); err != nil || message != neoclient.ChannelRemoved {
		return orViolated(err, "%s: got message %02x after RemoveChannel, want ChannelRemoved", c.channel, message)
	}
	return nil
}

func (c *churn) push(legacy *legacyclient.Conn, count int) error {
	for range count {
		c.doubtful[c.sent] = true
		c.sent++
		request := legacyclient.Request(legacyclient.Push, c.channel, c.record(c.sent-1))
		if status, err := legacy.Do(request); err != nil || status != legacyclient.Ok {
			return orViolated(err, "Push: got status %d, want 200", status)
		}
		delete(c.doubtful, c.sent-1)
	}
	return nil
}

func (c *churn) remove(legacy *legacyclient.Conn) error {
	c.removed = c.sent
	status, err := legacy.Do(legacyclient.Request(legacyclient.RemoveChannel, c.channel))
	if err != nil || status != legacyclient.Ok {
		return orViolated(err, "RemoveChannel: got status %d, want 200", status)
	}
	c.generation++
	c.sent, c.from, c.to, c.removed = 0, 0, 0, -1
	clear(c.doubtful)
	return nil
}

func (c *churn) record(number int) string {
	head := fmt.Sprintf("%d %d ", c.generation, number)
	return head + strings.Repeat("x", number*97%500)
}

// verify reads the channel to its end and removes it.
func (c *churn) verify(legacyAddress, neoAddress string) error {
	legacy, neo, err := connectBoth(legacyAddress, neoAddress)
	if err != nil {
		return err
	}
	defer legacy.Close()
	defer neo.Close()
	if err := c.push(legacy, 1); err != nil {
		return err
	}
	k, err := neo.Consume(c.channel, "s")
	if err != nil {
		return err
	}
	for got := 0; c.to < c.sent; got++ {
		batch, err := k.Records()
		if err != nil {
			return err
		}
		if got > 0 {
			c.from = c.to // the batch before is confirmed
		}
		if err := c.expect(batch); err != nil {
			return err
		}
		if err := c.confirm(k, neoclient.Continue); err != nil {
			return err
		}
	}
	return c.remove(legacy)
}

// expect judges a batch: the next records, without some of the doubtful ones. They must all
// come again until they are confirmed.
func (c *churn) expect(batch [][]byte) error {
	first := c.from
	for i, value := range batch {
		var generation, number int
		fmt.Sscanf(string(value), "%d %d ", &generation, &number)
		if generation != c.generation || string(value) != c.record(number) {
			return violated("%s: in generation %d got %s", c.channel, c.generation, clients.Excerpt(string(value)))
		}
		if i == 0 {
			if c.removed >= 0 && number >= c.removed {
				c.from, c.to = c.removed, c.removed // it was removed
			}
			c.removed = -1
			first = number
		}
		if number < c.from || i > 0 && number < c.to {
			return violated("%s: got record %d again", c.channel, number)
		}
		for n := c.to; n < number; n++ {
			if !c.doubtful[n] {
				return violated("%s: got record %d, although %d was acknowledged and is still to come", c.channel, number, n)
			}
		}
		c.to = number + 1
	}
	c.behind = c.to
	c.from, c.to = first, first
	return nil
}

// confirm sends feedback to the batch.
func (c *churn) confirm(k *neoclient.Consumer, feedback byte) error {
	c.to = c.behind
	return k.Feedback(feedback)
}
