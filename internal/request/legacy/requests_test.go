package legacy

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// conversation is requests of all kinds in a row, and the replies to them.
var conversation = []struct{ request, reply string }{
	{"01000000 'c' 'one'", "c8000000"},
	{"09000000 'c' 'd' 'c' '' 'two'", "c8000000"},
	{"02000000 'c'", "c8000000 'one'"},
	{"08000000", "96010000"},
	{"0a000000 'c'", "c8000000"},
	{"'three' 'four' 'five' ''", ""},
	{"0b000000 'd' 'e' 'd' ''", "c8000000"},
	{"'six' 'seven' ''", ""},
	{"02000000 'c' 02000000 'c' 02000000 'c'", "c8000000 'two' c8000000 'two' c8000000 'three'"},
	{"02000000 'c' 02000000 'c' 02000000 'c'", "c8000000 'four' c8000000 'five' c8000000 ''"},
	{"02000000 'd' 02000000 'd' 02000000 'd'", "c8000000 'two' c8000000 'six' c8000000 'six'"},
	{"02000000 'd' 02000000 'd' 02000000 'd'", "c8000000 'seven' c8000000 'seven' c8000000 ''"},
	{"02000000 'e' 02000000 'e' 02000000 'e'", "c8000000 'six' c8000000 'seven' c8000000 ''"},
	{"0a000000 'b.d'", "99010000"},
	{"0c000000 'c' 0c000000 'd' 0c000000 'e'", "c8000000 c8000000 c8000000"},
	{"02000000 'c'", "f4010000"},
}

// Requests and records may be cut at any byte, and may come in one piece (legacy protocol spec §3.3).
func TestSplitAtEveryByte(t *testing.T) {
	n := start(t, 1)
	var requests, replies []byte
	for _, step := range conversation {
		requests = append(requests, unhex(t, step.request)...)
		replies = append(replies, unhex(t, step.reply)...)
	}
	c := n.connect()
	received := func() uint64 { received, _ := n.pools[0].Traffic(); return received }
	for cut := range len(requests) + 1 {
		before := received()
		c.write(requests[:cut])
		n.until(0, "the first piece", func() bool { return received() == before+uint64(cut) })
		c.write(requests[cut:])
		c.read(replies)
	}
}

func TestStepByStep(t *testing.T) {
	c := start(t, 1).connect()
	for _, step := range conversation {
		c.ask(step.request, step.reply)
	}
}

// Records of length 0, which only neo clients can store, are skipped (legacy protocol spec §7.7).
func TestEmptyRecordsAreSkipped(t *testing.T) {
	n := start(t, 1)
	push := func(values ...string) {
		ch, err := n.channels.Open([]byte("c"))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if err := ch.Push([]byte(v)); err != nil {
				t.Error(err)
			}
		}
		ch.Commit()
	}
	c := n.connect()
	push("", "", "one", "", "two", "")
	c.ask("02000000 'c' 02000000 'c' 02000000 'c'", "c8000000 'one' c8000000 'two' c8000000 ''")
	push("", "three", "", "", "four")
	c.ask("06000000 'c'", "c8000000 'three' 'four'")
	push("", "five", "")
	c.expect("'five'")
}

// A Produce looks its channel up for each record: one that was removed is created again,
// and no record gets into another channel (O17, O18, Q7).
func TestRemoveInsideProduce(t *testing.T) {
	for _, produce := range []string{"0a000000 'c'", "0b000000 'c' ''"} {
		n := start(t, 1)
		c, other := n.connect(), n.connect()
		c.ask(produce, "c8000000")
		c.send("'one'")
		n.until(0, "the first record", func() bool { return n.channels.Find([]byte("c")) != nil })
		other.ask("0c000000 'c' 01000000 'd' 'x'", "c8000000 c8000000")
		c.send("'two' ''")
		c.ask("02000000 'c' 02000000 'c' 02000000 'd'", "c8000000 'two' c8000000 '' c8000000 'x'")
	}
}

// Large records take part in everything, also one that is larger than a read.
func TestLargeRecords(t *testing.T) {
	n := start(t, 1)
	c := n.connect()
	const large = "0000a00000000000 78*10485760"
	c.ask("01000000 'c' "+large+" 01000000 'c' 'small'", "c8000000 c8000000")
	c.ask("0a000000 'c' "+large+" 'little' ''", "c8000000")
	c.ask("02000000 'c' 02000000 'c'", "c8000000 "+large+" c8000000 'small'")
	c.ask("06000000 'c'", "c8000000 "+large+" 'little'")
}

// An idle connection does not keep the memory of the request it sent last.
func TestRequestsAreNotKept(t *testing.T) {
	n := start(t, 1)
	used := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	request := unhex(t, "01000000 'c' 0000300000000000 78*3145728")
	before := used()
	for range 8 {
		c := n.connect()
		c.write(request)
		c.expect("c8000000")
	}
	if after := used(); after > before+16<<20 {
		t.Errorf("8 idle connections that each pushed 3 MiB keep %d MiB, want less than 16", (after-before)>>20)
	}
}

// Requests wait for a Consume to end, and then are executed (V37, V38).
func TestRequestsBehindConsume(t *testing.T) {
	n := start(t, 1)
	c, other := n.connect(), n.connect()
	c.ask("06000000 'c' 01000000 'd' 'x' 06000000 'e' 02000000 'd'", "c8000000")
	other.ask("02000000 'd'", "f4010000")
	other.ask("01000000 'c' 'one'", "c8000000")
	c.expect("'one'")
	other.ask("0c000000 'c'", "c8000000")
	c.expect("'' c8000000 c8000000")
	other.ask("01000000 'e' 'two'", "c8000000")
	c.expect("'two'")
	other.ask("0c000000 'e'", "c8000000")
	c.expect("'' c8000000 'x'")
	c.ask("06000000 'c'", "c8000000")
}

// A record reaches a consumer that waits on another loop, and so does the removal.
func TestConsumeAcrossLoops(t *testing.T) {
	n := start(t, 2)
	consumer, producer := n.connectTo(0, false), n.connectTo(1, false)
	consumer.ask("06000000 'c'", "c8000000")
	for i := range 200 {
		value := fmt.Sprintf("'record%d'", i)
		producer.ask("01000000 'c' "+value, "c8000000")
		consumer.expect(value)
	}
	producer.ask("0c000000 'c'", "c8000000")
	consumer.expect("''")
	consumer.ask("08000000", "96010000")
}

// Whatever a consumer is doing when its channel is removed, it gets what was on its way,
// then the end mark, and nothing of a new channel with the name (conformance item 6).
func TestRemoveUnderConsumers(t *testing.T) {
	n := start(t, 2)
	const size = 10_000
	remover := n.connectTo(1, false)
	var slow []*client
	for i := range 4 {
		c := n.connectTo(i%2, true)
		c.ask("06000000 'c'", "c8000000")
		slow = append(slow, c)
	}
	for i := range 400 {
		remover.write(push("c", record(i, size)))
		remover.expect("c8000000")
	}
	for _, c := range slow {
		n.until(c.loop, "a consumer that is stuck", func() bool {
			_, unsent := c.conn.Progress()
			return unsent > 0
		})
	}
	idle := n.connectTo(0, false)
	idle.ask("06000000 'd'", "c8000000")
	remover.ask("0c000000 'c' 0c000000 'd' 01000000 'c' 'new' 01000000 'd' 'new'", "c8000000 c8000000 c8000000 c8000000")
	idle.expect("''")
	seen := make(map[string]bool)
	for _, c := range slow {
		previous := ""
		for {
			r := c.array()
			if len(r) == 0 {
				break
			}
			key := string(r[:6])
			if len(r) != size || key <= previous || seen[key] {
				t.Fatalf("record %.6s of %d bytes after %s, seen %v", r, len(r), previous, seen[key])
			}
			previous = key
			seen[key] = true
		}
		c.ask("08000000", "96010000")
	}
	remover.ask("02000000 'c' 02000000 'd'", "c8000000 'new' c8000000 'new'")
}

// array reads one array.
func (c *client) array() []byte {
	c.node.t.Helper()
	b := make([]byte, wire.LengthSize)
	c.readFull(b)
	r := wire.DecodeRecords(b)
	if r.End {
		return nil
	}
	size := 0
	for i := range b {
		size |= int(b[i]) << (8 * i)
	}
	b = make([]byte, size)
	c.readFull(b)
	return b
}

func push(channel string, value []byte) []byte {
	return wire.AppendArray(wire.AppendArray(wire.AppendCommand(nil, wire.Push), channel), value)
}

func pops(channel string, count int) []byte {
	one := wire.AppendArray(wire.AppendCommand(nil, wire.Pop), channel)
	return []byte(strings.Repeat(string(one), count))
}
