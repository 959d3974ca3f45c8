package test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// play sends and requires bytes, written as in neo protocol spec §17: "C " is what the client sends, "N "
// what the node has to send. A line without either continues the one before.
func (c *neo) play(script string) {
	c.t.Helper()
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
		want := fromHex(c.t, step[2:])
		if step[0] == 'C' {
			c.write(want)
			continue
		}
		got, err := c.ReadBytes(len(want))
		if err != nil || !bytes.Equal(got, want) {
			c.t.Fatalf("%s\ngot % x, error %v\nwant % x", step, got, err, want)
		}
	}
}

func TestNeoVersionVectors(t *testing.T) { // neo protocol spec §17.1
	t.Parallel()
	node := nodetest.Start(t)
	dialNeo(t, node).play("C 01\nN 01")
	for _, other := range []string{"00", "02", "ff"} {
		c := dialNeo(t, node)
		c.play("C " + other + "\nN 01")
		c.wantClose()
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
		c := connect(t, node)
		c.alive()
		c.write(header)
		if test.body < 9 {
			c.write(append([]byte{5}, make([]byte, max(0, test.body-1))...))
			c.wantClose()
		} else {
			body := make([]byte, test.body) // the id is 5
			body[0] = 5
			body[8] = neoclient.Continue // or request code 1, version 0
			c.write(body)
			if test.reply {
				c.wantFrame(5, unsupportedVersion)
			}
			c.wantNothing()
		}

		c = connect(t, node)
		header[9] ^= 0x10
		c.write(header)
		c.wantClose()
	}
}

// fixedClients are those of neo protocol spec §17.3.
var (
	fixedClients = "client1:" + hexKey(countingKey) + "\na:" + strings.Repeat("ab", 128) + "\n"
	countingKey  = func() (key [128]byte) {
		for i := range key {
			key[i] = byte(i)
		}
		return key
	}()
)

func hexKey(key [128]byte) string { return fmt.Sprintf("%x", key) }

// The handshakes of neo protocol spec §17.3, but for what depends on the clock and on the nonce. The codes
// themselves, with fixed inputs, are tested at the client, which this test relies on.
func TestNeoAuthenticationVectors(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Credentials(fixedClients))
	introduce := func(c *neo, timestamp uint64) (nonce []byte) {
		c.play("C 01\nN 01\n")
		c.write(fromHex(t, "02 0800000000000000 0a"), neoclient.Number(timestamp))
		c.play("N 02 0400000000000000 06")
		nonce, err := c.ReadBytes(4)
		c.must(err)
		return nonce
	}

	c, now := dialNeo(t, node), neoclient.Now("", [128]byte{}).Time
	nonce := introduce(c, now)
	c.write(fromHex(t, "02 4f00000000000000 4d | 0700000000000000 | 636c69656e7431"), neoclient.Code(countingKey, now, nonce))
	c.play("N 02 0100000000000000 03 | 01")
	c.alive()

	c = dialNeo(t, node)
	nonce = introduce(c, 1)
	key := [128]byte(bytes.Repeat([]byte{0xab}, 128))
	c.write(fromHex(t, "02 4900000000000000 4b | 0100000000000000 | 61"), neoclient.Code(key, 1, nonce))
	c.play("N 02 0100000000000000 03 | 00") // 1970 is too long ago
	c.wantClose()
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
			c := connect(t, nodetest.Start(t))
			c.play(test.script)
			c.wantNothing()
		})
	}
}

func TestNeoChannelRemovedVector(t *testing.T) { // neo protocol spec §17.6
	t.Parallel()
	node := nodetest.Start(t)
	c := connect(t, node)
	c.play(`C 01 1e00000000000000 1f | 0400000000000000 | 06 04 | 0400000000000000 74657374 | 0000000000000000
	        N 01 0900000000000000 08 | 0400000000000000 | fd
	        N 01 0900000000000000 08 | 0400000000000000 | 01`)
	dial(t, node).remove("test")
	c.play("N 01 0900000000000000 08 | 0400000000000000 | 05")
	c.wantNothing()
}

// 250 queued records of 1000 bytes make batches of 100, 100 and 50, the next one at once
// after Continue (neo protocol spec §17.8).
func TestNeoBatchVector(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Performance.write_flush_ms", "60000"))
	dial(t, node).produceRecords("test", 0, 250, 1000)
	c := connect(t, node)
	c.play(`C 01 1e00000000000000 1f | 0400000000000000 | 06 04 | 0400000000000000 74657374 | 0000000000000000
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
		c.play("N " + batch.prefix)
		want := legacyclient.Records(numbered(batch.first, batch.last, 1000)...) // laid out in the same way
		got, err := c.ReadBytes(len(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("batch of records %d to %d: got %d bytes %s, error %v", batch.first, batch.last-1, len(got), excerpt(string(got)), err)
		}
		c.play("C 01 0900000000000000 08 | 0400000000000000 | 01")
	}
	c.wantNothing()
}
