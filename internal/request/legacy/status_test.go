package legacy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/storagetest"
)

// closed is an answer: the end of the connection.
const closed = "closed"

// The first check that fails decides the status (legacy protocol spec §3.1), and says whether the channel
// is created (legacy protocol spec §4).
func TestOrderOfChecks(t *testing.T) {
	longest := "'" + strings.Repeat("x", 251) + "'"
	longer := "'" + strings.Repeat("x", 252) + "'"
	for _, test := range []struct {
		rule, before, request, want string
		created, absent             string // channels, separated by blanks
	}{
		{"Push", "", "01000000 'c' 'v'", "c8000000", "c", ""},
		{"Push, bad name", "", "01000000 'c.' 'v'", "99010000", "", "c."},
		{"Push, bad name and empty value", "", "01000000 'c.' ''", "99010000", "", "c."},
		{"Push, empty name", "", "01000000 '' 'v'", "99010000", "", ""},
		{"Push, empty value creates the channel (Q9)", "", "01000000 'c' ''", "98010000", "c", ""},
		{"Push, longest name", "", "01000000 " + longest + " 'v'", "c8000000", strings.Trim(longest, "'"), ""},
		{"Push, longer name (Q15)", "", "01000000 " + longer + " 'v'", "99010000", "", strings.Trim(longer, "'")},
		{"Push, subscriber@channel", "", "01000000 's@c' 'v'", "99010000", "", "s@c c"},
		{"Push, disk full", "", "01000000 'disk-full' 'v'", "97010000", "disk-full", ""},
		{"Push, disk full but empty value", "", "01000000 'disk-full' ''", "98010000", "disk-full", ""},

		{"PushMulti", "", "09000000 'c' 'd' '' 'v'", "c8000000", "c d", ""},
		{"PushMulti, one bad name", "", "09000000 'c' 'd.' '' 'v'", "99010000", "", "c d."},
		{"PushMulti, bad name and empty value", "", "09000000 'c' 'd.' '' ''", "99010000", "", "c d."},
		{"PushMulti, empty value creates nothing (Q10)", "", "09000000 'c' 'd' '' ''", "98010000", "", "c d"},
		{"PushMulti, no names", "", "09000000 '' 'v'", "c8000000", "", ""},
		{"PushMulti, no names and empty value", "", "09000000 '' ''", "98010000", "", ""},
		{"PushMulti, disk full: closed", "", "09000000 'disk-full' 'c' '' 'v'", closed, "c disk-full", ""},

		{"Pop, bad name", "", "02000000 'c.'", "99010000", "", "c."},
		{"Pop, empty name", "", "02000000 ''", "99010000", "", ""},
		{"Pop, unknown channel (Q1)", "", "02000000 'c'", "f4010000", "", "c"},
		{"Pop, subscribed channel (Q1)", "subscribe", "02000000 'c'", "f4010000", "c", ""},
		{"Pop, subscribed channel with records", "subscribe push", "02000000 'c'", "f4010000", "c", ""},
		{"Pop, empty channel", "create", "02000000 'c'", "c8000000 0000000000000000", "c", ""},
		{"Pop", "push", "02000000 'c'", "c8000000 'v'", "c", ""},
		{"Pop, unreadable disk", "lose", "02000000 'spilled'", "f4010000", "spilled", ""},

		{"Consume, bad name (Q2)", "", "06000000 'c.'", "99010000", "", "c."},
		{"Consume, empty name (Q2)", "", "06000000 ''", "99010000", "", ""},
		{"Consume, unreadable disk", "lose", "06000000 'spilled'", "c8000000 " + closed, "spilled", ""},

		{"GetNumConnections (Q5)", "", "08000000", "96010000", "", ""},

		{"Produce creates the channel before the first record", "", "0a000000 'c' ''", "c8000000", "c", ""},
		{"Produce, bad name", "", "0a000000 'c.'", "99010000", "", "c."},
		{"Produce, empty name", "", "0a000000 ''", "99010000", "", ""},
		{"Produce, disk full", "", "0a000000 'disk-full' 'v'", "c8000000 " + closed, "disk-full", ""},

		{"ProduceMulti creates no channel before the first record", "", "0b000000 'c' 'd' '' ''", "c8000000", "", "c d"},
		{"ProduceMulti creates all with the first record", "", "0b000000 'c' 'd' '' 'v' ''", "c8000000", "c d", ""},
		{"ProduceMulti, one bad name", "", "0b000000 'c' 'd.' ''", "99010000", "", "c d."},
		{"ProduceMulti, no names (Q23)", "", "0b000000 '' 'v' ''", "c8000000", "", ""},
		{"ProduceMulti, disk full", "", "0b000000 'c' 'disk-full' '' 'v'", "c8000000 " + closed, "c disk-full", ""},

		{"RemoveChannel", "push", "0c000000 'c'", "c8000000", "", "c"},
		{"RemoveChannel, unknown", "", "0c000000 'c'", "c8000000", "", "c"},
		{"RemoveChannel, bad name", "", "0c000000 'c.'", "99010000", "", "c."},
		{"RemoveChannel, empty name", "", "0c000000 ''", "99010000", "", ""},
	} {
		t.Run(test.rule, func(t *testing.T) {
			n := start(t, 1)
			for _, step := range strings.Fields(test.before) {
				other := n.connect()
				switch step {
				case "create":
					other.ask("01000000 'c' ''", "98010000")
				case "push":
					other.ask("01000000 'c' 'v'", "c8000000")
				case "subscribe":
					other.ask("06000000 'c'", "c8000000")
					other.reset()
				case "lose":
					n.loseRecords()
				}
			}
			c := n.connect()
			replies, ends := strings.CutSuffix(test.want, closed)
			c.ask(test.request, replies)
			if ends {
				c.expectEnd()
			} else {
				c.ask("08000000", "96010000") // open, and at the start of the next request
			}
			for _, name := range strings.Fields(test.created) {
				if n.channels.Find([]byte(name)) == nil {
					t.Errorf("channel %q does not exist", name)
				}
			}
			for _, name := range strings.Fields(test.absent) {
				if n.channels.Find([]byte(name)) != nil {
					t.Errorf("channel %q exists", name)
				}
			}
			failed := ends || strings.Contains(test.want, "97010000") || strings.Contains(test.rule, "unreadable")
			entries := n.logs.All()
			if failed != (len(entries) == 1) || failed && (entries[0].Message != "request failed" || entries[0].Level != zapcore.ErrorLevel) {
				t.Errorf("logged %v, want an error if and only if the request failed", entries)
			}
		})
	}
}

// loseRecords lets the oldest record of a channel lie in a file that cannot be opened.
func (n *node) loseRecords() {
	n.t.Helper()
	c, err := n.channels.Open([]byte(spilled))
	if err != nil {
		n.t.Fatal(err)
	}
	record := make([]byte, 1<<20) // each takes a file of its own, of which the middle one is not open
	for range 3 {
		if err := c.Push(record); err != nil {
			n.t.Fatal(err)
		}
	}
	run, err := c.Pop(false)
	c.Commit()
	if err != nil {
		n.t.Fatal(err)
	}
	run.Deliver()
	files, err := filepath.Glob(filepath.Join(n.dir, "spill-*.dat"))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.Size() > int64(len(record)) { // the others are spare
			os.Remove(f)
		}
	}
}

// If a channel can't be created, because the disk has no room for that, the request fails: Push
// has a status for that, the others end the connection (Q16, Q18).
func TestNoChannelCanBeCreated(t *testing.T) {
	n := startWith(t, 1, storagetest.StartFull(t))
	for _, test := range []struct{ rule, request, want string }{
		{"Push", "01000000 'c' 'v'", "97010000"},
		{"Push, empty value", "01000000 'c' ''", "97010000"},
		{"PushMulti", "09000000 'c' '' 'v'", closed},
		{"Consume", "06000000 'c'", closed},
		{"Produce", "0a000000 'c'", closed},
		{"ProduceMulti", "0b000000 'c' '' 'v'", "c8000000 " + closed},
	} {
		t.Run(test.rule, func(t *testing.T) {
			c := n.connect()
			replies, ends := strings.CutSuffix(test.want, closed)
			c.ask(test.request, replies)
			if ends {
				c.expectEnd()
			}
			if n.channels.Find([]byte("c")) != nil {
				t.Error("the channel exists")
			}
		})
	}
	if n.logs.FilterMessage("request failed").FilterLevelExact(zapcore.ErrorLevel).Len() == 0 {
		t.Errorf("logged %v, want that requests failed", n.logs.All())
	}
}

// Input that cannot be understood ends the connection without a status, and is logged;
// what came before it is answered, what comes behind it is not looked at (legacy protocol spec §2.4, §5).
func TestBadInput(t *testing.T) {
	for _, test := range []struct{ rule, request, want, text string }{
		{"command None (V27)", "00000000", "", "Invalid command"},
		{"command 3 (V28)", "03000000", "", "Invalid command"},
		{"command -1 (V30)", "ffffffff", "", "Invalid command"},
		{"the other byte order (V31)", "00000001", "", "Invalid command"},
		{"behind requests (V33)", "01000000 'c' 'v' 02000000 'c' 63000000 01000000 'd' 'v'", "c8000000 c8000000 'v'", "Invalid command"},
		{"oversize value (O02)", "01000000 'c' 0100a00000000000 78*10485761 01000000 'd' 'v'", "", "The input array is too long."},
		{"oversize name (O04)", "08000000 02000000 0100a00000000000 78*10485761", "96010000", "The input array is too long."},
		{"oversize record (O06)", "0a000000 'c' 'v' 0100a00000000000 78*10485761 01000000 'd' 'v'", "c8000000", "The input array is too long."},
		{"oversize name in a list", "09000000 'c' 0100a00000000000 78*10485761", "", "The input array is too long."},
		{"too many names", "0b000000 " + strings.Repeat("'c' ", 65537) + " ''", "", "The input array is too long."},
	} {
		t.Run(test.rule, func(t *testing.T) {
			n := start(t, 1)
			c := n.connect()
			go func() { c.Write(unhex(t, test.request)) }() // fails if the node ends first
			c.expect(test.want)
			c.expectEnd()
			if n.channels.Find([]byte("d")) != nil {
				t.Error("what is behind the bad input was executed")
			}
			if entries := n.logs.All(); len(entries) != 1 || entries[0].Message != test.text || entries[0].Level != zapcore.ErrorLevel {
				t.Errorf("logged %v, want one error %q", entries, test.text)
			}
		})
	}
}

// What is too long is swallowed to its last byte, and then the connection is closed.
func TestOversizeIsSwallowed(t *testing.T) {
	n := start(t, 1)
	c := n.connect()
	c.send("0a000000 'c' 'one' 0100a00000000000 78*10485760")
	c.expect("c8000000")
	n.until(0, "all but one byte", func() bool {
		received, _ := n.pools[0].Traffic()
		return received == 4+9+11+8+10485760
	})
	n.do(0, func() {
		if c.conn.Closing() {
			t.Error("closed before the last byte")
		}
	})
	c.send("78")
	c.expectEnd()
	n.connect().ask("02000000 'c'", "c8000000 'one'")
}
