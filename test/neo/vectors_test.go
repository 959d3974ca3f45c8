package neo

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// play sends and requires bytes, written as in neo protocol spec §17: "C " is what the client sends, "N "
// what the node has to send. A line without either continues the one before.
func play(c *clients.NeoClient, script string) {
	c.T.Helper()
	var steps []string
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "C "), strings.HasPrefix(line, "N "):
			steps = append(steps, line)
		case line != "":
			steps[len(steps)-1] += line
		}
	}
	for _, step := range steps {
		want := fromHex(c.T, step[2:])
		if step[0] == 'C' {
			c.MustWrite(want)
			continue
		}
		got, err := c.ReadBytes(len(want))
		if err != nil || !bytes.Equal(got, want) {
			c.T.Fatalf("%s\ngot % x, error %v\nwant % x", step, got, err, want)
		}
	}
}

func TestNeoVersionVectors(t *testing.T) { // neo protocol spec §17.1
	t.Parallel()
	node := nodetest.Start(t)
	play(clients.DialNeo(t, node), "C 01\nN 01")
	for _, other := range []string{"00", "02", "ff"} {
		c := clients.DialNeo(t, node)
		play(c, "C "+other+"\nN 01")
		c.WantClose()
	}
}

// Every header of neo protocol spec §17.2 that a node can get is accepted, and refused with another parity.
func TestNeoHeaderVectors(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	tests := []struct {
		header string
		body   int // -1: not sent, the frame is too large
		reply  bool
	}{
		{"01 0900000000000000 08", 9, false}, // the payload is a stray Continue
		{"01 0a00000000000000 0b", 10, true},
		{"01 0001000000000000 00", 256, true},
		{"01 ffff000000000000 01", 65535, true},
		{"01 d189010000000000 58", 100817, true},
		{"01 0807060504030201 09", -1, false},
		{"01 0800000000000000 09", 8, false}, // no payload
	}
	for _, test := range tests {
		header := fromHex(t, test.header)
		c := clients.Neo(t, node)
		c.Alive()
		c.MustWrite(header)
		if test.body < 9 {
			c.MustWrite(append([]byte{5}, make([]byte, max(0, test.body-1))...))
			c.WantClose()
		} else {
			body := make([]byte, test.body) // the id is 5
			body[0] = 5
			body[8] = neoclient.Continue // or request code 1, version 0
			c.MustWrite(body)
			if test.reply {
				c.WantFrame(5, clients.UnsupportedVersion)
			}
			c.WantNothing()
		}

		c = clients.Neo(t, node)
		header[9] ^= 0x10
		c.MustWrite(header)
		c.WantClose()
	}
}

// The handshakes of neo protocol spec §17.3, but for what depends on the clock and on the nonce. The codes
// themselves, with fixed inputs, are tested at the client, which this test relies on.
func TestNeoAuthenticationVectors(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Credentials(clients.FixedClients))
	introduce := func(c *clients.NeoClient, timestamp uint64) (nonce []byte) {
		play(c, "C 01\nN 01\n")
		c.MustWrite(fromHex(t, "02 0800000000000000 0a"), neoclient.Number(timestamp))
		play(c, "N 02 0400000000000000 06")
		nonce, err := c.ReadBytes(4)
		c.Must(err)
		return nonce
	}

	c, now := clients.DialNeo(t, node), neoclient.Now("", [128]byte{}).Time
	nonce := introduce(c, now)
	c.MustWrite(fromHex(t, "02 4f00000000000000 4d | 0700000000000000 | 636c69656e7431"), neoclient.Code(clients.CountingKey, now, nonce))
	play(c, "N 02 0100000000000000 03 | 01")
	c.Alive()

	c = clients.DialNeo(t, node)
	nonce = introduce(c, 1)
	key := [128]byte(bytes.Repeat([]byte{0xab}, 128))
	c.MustWrite(fromHex(t, "02 4900000000000000 4b | 0100000000000000 | 61"), neoclient.Code(key, 1, nonce))
	play(c, "N 02 0100000000000000 03 | 00") // 1970 is too long ago
	c.WantClose()
}

// The conversations of neo protocol spec §17.4 to §17.7, byte for byte.
func TestNeoRequestVectors(t *testing.T) {
	const (
		pushHello = `C 01 2400000000000000 25 | 0100000000000000 | 01 03 | 01 |
		               0400000000000000 74657374 | 0500000000000000 68656c6c6f
		             N 01 0900000000000000 08 | 0100000000000000 | fd
		             N 01 0900000000000000 08 | 0100000000000000 | 01
		             `
		pushWor = `C 01 2200000000000000 23 | 0100000000000000 | 01 03 | 01 |
		             0400000000000000 74657374 | 0300000000000000 776f72
		           N 01 0900000000000000 08 | 0100000000000000 | fd
		           N 01 0900000000000000 08 | 0100000000000000 | 01
		           `
		pop = `C 01 1600000000000000 17 | 0300000000000000 | 02 01 | 0400000000000000 74657374
		       N 01 0900000000000000 08 | 0300000000000000 | fd
		       `
		consume = `C 01 1e00000000000000 1f | 0400000000000000 | 06 04 | 0400000000000000 74657374 | 0000000000000000
		           N 01 0900000000000000 08 | 0400000000000000 | fd
		           N 01 0900000000000000 08 | 0400000000000000 | 01
		           `
		batch = `N 01 2900000000000000 28 | 0400000000000000 | 03 | 1800000000000000 |
		           0500000000000000 68656c6c6f | 0300000000000000 776f72
		         `
		sendContinue = "C 01 0900000000000000 08 | 0400000000000000 | 01\n"
		stop         = "C 01 0900000000000000 08 | 0400000000000000 | 02\n"
		stopped      = "N 01 0900000000000000 08 | 0400000000000000 | 04\n"
	)
	tests := []struct{ name, script string }{
		{"Push", pushHello},
		{"Push to two channels of an empty value", `
			C 01 2600000000000000 27 | 0200000000000000 | 01 03 | 02 |
			  0100000000000000 61 | 0200000000000000 6263 | 0000000000000000
			N 01 0900000000000000 08 | 0200000000000000 | fd
			N 01 0900000000000000 08 | 0200000000000000 | 01`},
		{"Push, node error, because the channel is te@t", `
			C 01 2400000000000000 25 | 0100000000000000 | 01 03 | 01 |
			  0400000000000000 74654074 | 0500000000000000 68656c6c6f
			N 01 0900000000000000 08 | 0100000000000000 | fd
			N 01 0900000000000000 08 | 0100000000000000 | 02`},
		{"Pop of hello", pushHello + pop + `
			N 01 1600000000000000 17 | 0300000000000000 | 01 | 0500000000000000 68656c6c6f`},
		{"Pop, empty", pop + "N 01 0900000000000000 08 | 0300000000000000 | 02"},
		{"Pop, node error, because the channel is te@t", `
			C 01 1600000000000000 17 | 0300000000000000 | 02 01 | 0400000000000000 74654074
			N 01 0900000000000000 08 | 0300000000000000 | fd
			N 01 0900000000000000 08 | 0300000000000000 | 03`},
		{"Pop, has subscribers", consume + stop + stopped + pop + "N 01 0900000000000000 08 | 0300000000000000 | 04"},
		{"Consume, Stop", consume + stop + stopped},
		{"Consume, batch, Stop", pushHello + pushWor + consume + batch + stop + stopped},
		{"Consume, batch, Continue, Stop", pushHello + pushWor + consume + batch + sendContinue + stop + stopped},
		{"Consume as sub1 with id 1122334455667788", `
			C 01 2200000000000000 23 | 8877665544332211 | 06 04 | 0400000000000000 74657374 | 0400000000000000 73756231
			N 01 0900000000000000 08 | 8877665544332211 | fd
			N 01 0900000000000000 08 | 8877665544332211 | 01`},
		{"Push version 2, unknown code 5", `
			C 01 0a00000000000000 0b | 0500000000000000 | 01 02
			N 01 0900000000000000 08 | 0500000000000000 | fe
			C 01 0a00000000000000 0b | 0600000000000000 | 05 00
			N 01 0900000000000000 08 | 0600000000000000 | ff`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := clients.Neo(t, nodetest.Start(t))
			play(c, test.script)
			c.WantNothing()
		})
	}
}

func TestNeoChannelRemovedVector(t *testing.T) { // neo protocol spec §17.6
	t.Parallel()
	node := nodetest.Start(t)
	c := clients.Neo(t, node)
	play(c, `C 01 1e00000000000000 1f | 0400000000000000 | 06 04 | 0400000000000000 74657374 | 0000000000000000
	        N 01 0900000000000000 08 | 0400000000000000 | fd
	        N 01 0900000000000000 08 | 0400000000000000 | 01`)
	clients.Legacy(t, node).MustRemove("test")
	play(c, "N 01 0900000000000000 08 | 0400000000000000 | 05")
	c.WantNothing()
}

// 250 queued records of 1000 bytes make batches of 100, 100 and 50, the next one at once
// after Continue (neo protocol spec §17.8).
func TestNeoBatchVector(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Performance.write_flush_ms", "60000"))
	clients.Legacy(t, node).ProduceRecords("test", 0, 250, 1000)
	c := clients.Neo(t, node)
	play(c, `C 01 1e00000000000000 1f | 0400000000000000 | 06 04 | 0400000000000000 74657374 | 0000000000000000
	        N 01 0900000000000000 08 | 0400000000000000 | fd
	        N 01 0900000000000000 08 | 0400000000000000 | 01`)
	for _, batch := range []struct {
		prefix      string
		first, last int
	}{
		{"01 d189010000000000 58 | 0400000000000000 | 03 | c089010000000000", 0, 100},
		{"01 d189010000000000 58 | 0400000000000000 | 03 | c089010000000000", 100, 200},
		{"01 f1c4000000000000 34 | 0400000000000000 | 03 | e0c4000000000000", 200, 250},
	} {
		play(c, "N "+batch.prefix)
		want := legacyclient.Records(clients.Numbered(batch.first, batch.last, 1000)...) // laid out in the same way
		got, err := c.ReadBytes(len(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("batch of records %d to %d: got %d bytes %s, error %v", batch.first, batch.last-1, len(got), clients.Excerpt(string(got)), err)
		}
		play(c, "C 01 0900000000000000 08 | 0400000000000000 | 01")
	}
	c.WantNothing()
}

// fromHex decodes bytes as the specification writes them: | and white space separate.
func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer("|", "", " ", "", "\t", "", "\n", "").Replace(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return b
}
