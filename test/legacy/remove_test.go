package legacy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Consumers that are blocked in a write when their channel is removed get what is
// already on its way, in whole records, then the end; nothing more of their channel and
// nothing of a later one.
func TestRemoveChannelWithBlockedConsumers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	blocked := []*clients.LegacyClient{clients.Legacy(t, node, clients.SmallWindow), clients.Legacy(t, node, clients.SmallWindow)}
	for _, c := range blocked {
		c.MustConsume("removed")
	}
	other := clients.Legacy(t, node)
	other.ProduceRecords("removed", 0, clients.BigCount, clients.BigRecord)
	onTheWay := map[*clients.LegacyClient]int{}
	for _, c := range blocked {
		onTheWay[c] = writtenTo(t, node, c) + inNode
	}
	other.MustRemove("removed")
	// What may reuse the memory of the removed channel:
	other.ProduceRecords("foreign", 500_000, 500_000+clients.BigCount, clients.BigRecord)
	other.ProduceRecords("removed", 600_000, 600_000+clients.BigCount, clients.BigRecord)

	for _, c := range blocked {
		got, last := 0, -1
		for number := c.Number(clients.BigRecord); number != -1; number = c.Number(clients.BigRecord) {
			if number <= last || number >= clients.BigCount {
				t.Fatalf("got record %d after %d, want a later one up to %d", number, last, clients.BigCount-1)
			}
			last = number
			got += clients.BigRecord
		}
		if got > onTheWay[c] {
			t.Errorf("got %d bytes, want at most the %d that were on their way when the channel was removed", got, onTheWay[c])
		}
		c.Alive()
	}

	// The name is free: it is now a channel without subscribers, until consumed.
	other.WantPop("removed", clients.Record(600_000, clients.BigRecord))
	blocked[0].MustConsume("removed")
	if got := blocked[0].Number(clients.BigRecord); got != 600_001 {
		t.Errorf("got record %d of the new channel, want 600001", got)
	}
}

// inNode is more than the node takes from a queue for one consumer before it has sent
// what it took before.
const inNode = 1 << 20

func TestRemoveChannelEndsEveryIdleConsumer(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	all := consumers(t, node, "idle", 50)
	other := clients.Legacy(t, node)
	for range 3 {
		other.MustRemove("idle")
		for _, c := range all {
			c.WantArray("")
			c.MustConsume("idle")
		}
	}
}

// Channels are removed while consumers are in every state: waiting, writing, slow and
// blocked. All end with a zero-length array and stay usable, and none gets a record of
// another channel or one that was produced after the removal (legacy protocol spec §15 item 6).
func TestRemoveChannelUnderLoad(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	load := newRemoveLoad(t, node)
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		load.round(round)
	}
	load.stop()
}

// removeLoad is the cast of TestRemoveChannelUnderLoad.
type removeLoad struct {
	t          *testing.T
	node       *nodetest.Node
	remover    *clients.LegacyClient
	waiting    []*clients.LegacyClient // on a channel without records
	blocked    []*clients.LegacyClient // don't read before the channel is removed
	writing    []*clients.LegacyClient // read as fast as they can
	foreign    *clients.LegacyClient
	quit       chan struct{}
	foreignEnd chan error
}

func newRemoveLoad(t *testing.T, node *nodetest.Node) *removeLoad {
	l := &removeLoad{t: t, node: node, remover: clients.Legacy(t, node), quit: make(chan struct{}), foreignEnd: make(chan error, 1)}
	for range 3 {
		l.waiting = append(l.waiting, clients.Legacy(t, node))
		l.writing = append(l.writing, clients.Legacy(t, node))
		l.blocked = append(l.blocked, clients.Legacy(t, node, clients.SmallWindow))
	}
	// Meanwhile another channel lives on, with records of its own.
	l.foreign = clients.Legacy(t, node)
	l.foreign.MustConsume("foreign")
	producer := clients.Legacy(t, node)
	producer.MustProduce("foreign")
	go func() { l.foreignEnd <- l.keepForeign(producer.Conn) }()
	return l
}

// keepForeign produces a record to the foreign channel and consumes it, until quit.
func (l *removeLoad) keepForeign(producer *legacyclient.Conn) error {
	record := strings.Repeat("foreign ", 100)
	for {
		select {
		case <-l.quit:
			return nil
		default:
		}
		if err := producer.Send(legacyclient.Records(record)); err != nil {
			return fmt.Errorf("producing to the foreign channel: %w", err)
		}
		if text, err := l.foreign.Array(); err != nil || text != record {
			return fmt.Errorf("consumer of the foreign channel: got %s, error %v", clients.Excerpt(text), err)
		}
	}
}

func (l *removeLoad) stop() {
	l.t.Helper()
	close(l.quit)
	if err := <-l.foreignEnd; err != nil {
		l.t.Fatal(err)
	}
	l.remover.MustRemove("foreign")
	l.foreign.WantArray("")
}

func (l *removeLoad) round(round int) {
	l.t.Helper()
	before, after := fmt.Sprintf("round %d before", round), fmt.Sprintf("round %d after", round)
	var all []*clients.LegacyClient
	consume := func(channel string, clients []*clients.LegacyClient) {
		for _, c := range clients {
			c.MustConsume(channel)
		}
		all = append(all, clients...)
	}
	consume("waiting", l.waiting)
	consume("loaded", l.blocked)
	producer := clients.Legacy(l.t, l.node)
	producer.MustProduce("loaded")
	producer.MustSend(bytes.Repeat(loadRecord(before), fillCount))
	consume("loaded", l.writing)

	// The producer and the writing consumers work while the channel is removed.
	started, removed := make(chan struct{}), make(chan struct{})
	produced := make(chan error, 1)
	go func() { produced <- flood(producer.Conn, before, after, started, removed) }()
	ends := make(chan error, len(all))
	for i, c := range all {
		go func() {
			if i < len(l.waiting)+len(l.blocked) {
				<-removed
			}
			ends <- readToEnd(c.Conn, loadRecord(before))
		}()
	}
	select {
	case <-started:
	case err := <-produced:
		l.t.Fatal(err)
	}
	l.remover.MustRemove("loaded")
	close(removed)
	l.remover.MustRemove("waiting")
	for range all {
		if err := <-ends; err != nil {
			l.t.Fatal(err)
		}
	}
	if err := <-produced; err != nil {
		l.t.Fatal(err)
	}
	for _, c := range all {
		c.Alive()
	}
	producer.Alive()
	producer.Close()
	l.remover.MustRemove("loaded")
}

const (
	loadSize   = 1000
	fillCount  = 12_000 // records, more than the sockets of the blocked consumers take
	floodCount = 10_000 // records that are produced around the removal
)

func loadRecord(tag string) []byte {
	return legacyclient.Records(tag + strings.Repeat(".", loadSize-len(tag)))
}

// flood goes on with a Produce and closes started half-way. From the status of the
// RemoveChannel on it sends records with another tag, at last 500 of them.
func flood(conn *legacyclient.Conn, before, after string, started chan<- struct{}, removed <-chan struct{}) error {
	record := loadRecord(before)
	for i := range floodCount {
		if i == floodCount/2 {
			close(started)
		}
		select {
		case <-removed:
			record = loadRecord(after)
		default:
		}
		if err := conn.Send(record); err != nil {
			return err
		}
	}
	<-removed
	return conn.Send(append(bytes.Repeat(loadRecord(after), 500), legacyclient.Records("")...))
}

// readToEnd reads copies of one record, given with its length, up to the zero-length array.
func readToEnd(conn *legacyclient.Conn, want []byte) error {
	for {
		text, err := conn.Array()
		switch {
		case err != nil:
			return err
		case text == "":
			return nil
		case text != string(want[8:]):
			return fmt.Errorf("got %s, want %s", clients.Excerpt(text), clients.Excerpt(string(want[8:])))
		}
	}
}
