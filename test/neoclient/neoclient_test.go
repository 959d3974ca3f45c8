package neoclient

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// fromHex decodes hexadecimal as the specification prints it.
func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer("|", "", " ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// play makes a client whose node follows a script: lines of the direction, C or N, and
// hexadecimal. Lines that begin otherwise continue the one before. At the end of the script
// the node closes the connection. What went wrong at the node fails the test.
func play(t *testing.T, script string) *Client {
	t.Helper()
	near, far := net.Pipe()
	result := make(chan error, 1)
	steps := parseScript(t, script)
	go func() {
		defer far.Close()
		result <- follow(far, steps)
	}()
	c := New(near)
	c.Timeout = 5 * time.Second
	t.Cleanup(func() {
		c.Close()
		if err := <-result; err != nil {
			t.Errorf("at the node: %v", err)
		}
	})
	return c
}

type step struct {
	fromClient bool
	bytes      []byte
}

func parseScript(t *testing.T, script string) (steps []step) {
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		direction, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "":
		case direction == "C" || direction == "N":
			steps = append(steps, step{direction == "C", fromHex(t, rest)})
		default:
			last := &steps[len(steps)-1]
			last.bytes = append(last.bytes, fromHex(t, line)...)
		}
	}
	return steps
}

func follow(conn net.Conn, steps []step) error {
	for i, s := range steps {
		if !s.fromClient {
			if _, err := conn.Write(s.bytes); err != nil {
				return fmt.Errorf("step %d: %w", i+1, err)
			}
			continue
		}
		got := make([]byte, len(s.bytes))
		if _, err := io.ReadFull(conn, got); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		if !bytes.Equal(got, s.bytes) {
			return fmt.Errorf("step %d: got % x, want % x", i+1, got, s.bytes)
		}
	}
	return nil
}

func TestHeaders(t *testing.T) { // neo protocol spec §17.2
	for _, c := range []struct {
		kind   byte
		length uint64
		hex    string
	}{
		{2, 1, "02 0100000000000000 03"},
		{2, 4, "02 0400000000000000 06"},
		{2, 8, "02 0800000000000000 0a"},
		{2, 79, "02 4f00000000000000 4d"},
		{1, 8, "01 0800000000000000 09"},
		{1, 9, "01 0900000000000000 08"},
		{1, 10, "01 0a00000000000000 0b"},
		{1, 256, "01 0001000000000000 00"},
		{1, 65535, "01 ffff000000000000 01"},
		{1, 100817, "01 d189010000000000 58"},
		{1, 72623859790382856, "01 0807060504030201 09"},
	} {
		if got, want := Header(c.kind, c.length), fromHex(t, c.hex); !bytes.Equal(got, want) {
			t.Errorf("Header(%d, %d): got % x, want % x", c.kind, c.length, got, want)
		}
	}
}

func counting() (key [128]byte) {
	for i := range key {
		key[i] = byte(i)
	}
	return key
}

func TestCodes(t *testing.T) { // neo protocol spec §17.3
	for _, c := range []struct {
		key       [128]byte
		timestamp uint64
		nonce     string
		want      string
	}{
		{counting(), 1500000000, "deadbeef", `7a711763a161f667de1f06ce7725114b109119c0b69a03747bae42a71a3d443c
			7e9c8243ac0f9b8e3e74569d268a361d37d6b7c33deccca37f7085c4ee49b4e2`},
		{counting(), 1795398876, "01020304", `0bfd145ee4664a8207343592fdbf775186c7a1c4c604b2ca5992379a59db0c6b
			ec72dd13215bcc8780353675e00eb14860854cce95349e10802a64eab637a3d7`},
		{[128]byte(bytes.Repeat([]byte{0xab}, 128)), 1, "00000000", `c7efd174ea3734bf9ce37b1f6974c047a99e89e61cdf6bb6a47cae2f5687e981
			fe4c54bc4986f148365eac6a8030a214e77a7be352494da0e0ac78d8fe612b69`},
	} {
		if got, want := Code(c.key, c.timestamp, fromHex(t, c.nonce)), fromHex(t, c.want); !bytes.Equal(got, want) {
			t.Errorf("time %d: got %x, want %x", c.timestamp, got, want)
		}
	}
}

// handshake is the conversation of neo protocol spec §17.3 up to the verdict.
const handshake = `
	C 01
	N 01
	C 02 0800000000000000 0a | 002f685900000000
	N 02 0400000000000000 06 | deadbeef
	C 02 4f00000000000000 4d | 0700000000000000 | 636c69656e7431 |
	  7a711763a161f667de1f06ce7725114b109119c0b69a03747bae42a71a3d443c
	  7e9c8243ac0f9b8e3e74569d268a361d37d6b7c33deccca37f7085c4ee49b4e2
	`

func TestAuthenticate(t *testing.T) {
	login := Login{"client1", counting(), 1500000000}
	if err := play(t, handshake+"N 02 0100000000000000 03 | 01").Authenticate(login); err != nil {
		t.Errorf("accepted: got %v", err)
	}

	c := play(t, handshake+"N 02 0100000000000000 03 | 00")
	if err := c.Authenticate(login); !errors.Is(err, ErrRejected) {
		t.Errorf("rejected: got %v, want %v", err, ErrRejected)
	}
	if err := c.ExpectClose(); err != nil {
		t.Errorf("rejected: %v", err)
	}

	for fault, script := range map[string]string{
		"close without verdict": handshake,
		"verdict 2":             handshake + "N 02 0100000000000000 03 | 02",
		"long verdict":          handshake + "N 02 0200000000000000 00 | 01 01",
		"verdict of type 1":     handshake + "N 01 0900000000000000 08 | 0100000000000000 01",
		"bad parity":            handshake + "N 02 0100000000000000 04",
		"another version":       "C 01 \n N 02",
		"nonce of 3 bytes":      "C 01 \n N 01 \n C 02 0800000000000000 0a 002f685900000000 \n N 02 0300000000000000 01 deadbe",
	} {
		if err := play(t, script).Authenticate(login); err == nil || errors.Is(err, ErrRejected) {
			t.Errorf("%s: got %v, want an error that is no rejection", fault, err)
		}
	}
}

func TestPush(t *testing.T) { // neo protocol spec §17.4
	c := play(t, `
		C 01 2400000000000000 25 | 0100000000000000 | 01 03 | 01 |
		  0400000000000000 74657374 | 0500000000000000 68656c6c6f
		N 01 0900000000000000 08 | 0100000000000000 | fd
		N 01 0900000000000000 08 | 0100000000000000 | 01
		C 01 2600000000000000 27 | 0200000000000000 | 01 03 | 02 |
		  0100000000000000 61 | 0200000000000000 6263 | 0000000000000000
		N 01 0900000000000000 08 | 0200000000000000 | fd
		N 01 0900000000000000 08 | 0200000000000000 | 02`)
	if status, err := c.Push([]byte("hello"), "test"); status != 1 || err != nil {
		t.Errorf("got %d, %v, want 1", status, err)
	}
	if status, err := c.Push(nil, "a", "bc"); status != 2 || err != nil {
		t.Errorf("got %d, %v, want 2", status, err)
	}
}

func TestPop(t *testing.T) { // neo protocol spec §17.5
	const start = `
		C 01 1600000000000000 17 | 0100000000000000 | 02 01 | 0400000000000000 74657374
		N 01 0900000000000000 08 | 0100000000000000 | fd
		N `
	for _, c := range []struct {
		reply, value string
		status       byte
		fault        bool
	}{
		{"01 1600000000000000 17 | 0100000000000000 | 01 | 0500000000000000 68656c6c6f", "hello", 1, false},
		{"01 1100000000000000 10 | 0100000000000000 | 01 | 0000000000000000", "", 1, false},
		{"01 0900000000000000 08 | 0100000000000000 | 02", "", 2, false},
		{"01 0900000000000000 08 | 0100000000000000 | 03", "", 3, false},
		{"01 0900000000000000 08 | 0100000000000000 | 04", "", 4, false},
		{"01 0900000000000000 08 | 0100000000000000 | 05", "", 0, true},
		{"01 0900000000000000 08 | 0100000000000000 | 01", "", 0, true},
		{"01 1200000000000000 13 | 0100000000000000 | 01 | 0000000000000000 00", "", 0, true},
		{"01 1200000000000000 13 | 0100000000000000 | 01 | 0200000000000000 00", "", 0, true},
	} {
		status, value, err := play(t, start+c.reply).Pop("test")
		if status != c.status || string(value) != c.value || (err != nil) != c.fault {
			t.Errorf("%s: got %d, %q, %v, want %d, %q, error: %v", c.reply, status, value, err, c.status, c.value, c.fault)
		}
	}
}

func TestConsume(t *testing.T) { // neo protocol spec §17.6, with id 1
	c := play(t, `
		C 01 2200000000000000 23 | 0100000000000000 | 06 04 | 0400000000000000 74657374 | 0400000000000000 73756231
		N 01 0900000000000000 08 | 0100000000000000 | fd
		N 01 0900000000000000 08 | 0100000000000000 | 01
		N 01 2900000000000000 28 | 0100000000000000 | 03 | 1800000000000000 |
		  0500000000000000 68656c6c6f | 0300000000000000 776f72
		C 01 0900000000000000 08 | 0100000000000000 | 01
		N 01 1900000000000000 18 | 0100000000000000 | 03 | 0800000000000000 | 0000000000000000
		C 01 0900000000000000 08 | 0100000000000000 | 01
		C 01 0900000000000000 08 | 0100000000000000 | 02
		N 01 1a00000000000000 1b | 0100000000000000 | 03 | 0900000000000000 | 0100000000000000 78
		N 01 0900000000000000 08 | 0100000000000000 | 04`)
	consumer, err := c.Consume("test", "sub1")
	if err != nil {
		t.Fatal(err)
	}
	records, err := consumer.Collect(3)
	if got := fmt.Sprintf("%q", records); got != `["hello" "wor" ""]` || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	records, err = consumer.End()
	if got := fmt.Sprintf("%q", records); got != `["x"]` || err != nil {
		t.Errorf("at the end: got %s, %v", got, err)
	}
	if err := c.ExpectClose(); err != nil {
		t.Error(err)
	}
}

// started is a Consume up to Started, then a message of the node.
const started = `
	C 01 1e00000000000000 1f | 0100000000000000 | 06 04 | 0400000000000000 74657374 | 0000000000000000
	N 01 0900000000000000 08 | 0100000000000000 | fd
	N 01 0900000000000000 08 | 0100000000000000 | 01
	N `

func TestConsumeMessages(t *testing.T) {
	for _, c := range []struct {
		rule, message string
		want          byte // 0 = an error
	}{
		{"ChannelRemoved", "01 0900000000000000 08 | 0100000000000000 | 05", ChannelRemoved},
		{"Stopped", "01 0900000000000000 08 | 0100000000000000 | 04", Stopped},
		{"Continue is no message of a node", "01 0900000000000000 08 | 0100000000000000 | 01", 0},
		{"Stopped with extra bytes", "01 0a00000000000000 0b | 0100000000000000 | 04 00", 0},
		{"no records", "01 1100000000000000 10 | 0100000000000000 | 03 | 0000000000000000", 0},
		{"a cut record", "01 1a00000000000000 1b | 0100000000000000 | 03 | 0900000000000000 | 0200000000000000 78", 0},
		{"bytes behind the batch", "01 1b00000000000000 1a | 0100000000000000 | 03 | 0900000000000000 | 0100000000000000 78 00", 0},
	} {
		consumer, err := play(t, started+c.message).Consume("test", "")
		if err != nil {
			t.Fatal(err)
		}
		message, _, err := consumer.Next()
		if c.want == 0 && err == nil || c.want != 0 && (message != c.want || err != nil) {
			t.Errorf("%s: got %d, %v, want %d", c.rule, message, err, c.want)
		}
	}
}

func TestUnsupported(t *testing.T) { // neo protocol spec §17.7
	c := play(t, `
		C 01 0a00000000000000 0b | 0500000000000000 | 01 02
		N 01 0900000000000000 08 | 0500000000000000 | fe`)
	if err := c.Start(5, []byte{1, 2}); err == nil || !strings.Contains(err.Error(), "got support status fe") {
		t.Errorf("got %v, want support status fe", err)
	}
}

func TestRepliesAreMatchedByID(t *testing.T) {
	c := play(t, `
		N 01 0900000000000000 08 | 0100000000000000 | 11
		  01 0900000000000000 08 | 0200000000000000 | 22
		  01 0900000000000000 08 | 0100000000000000 | 12
		  01 0900000000000000 08 | 0300000000000000 | 33`)
	for _, want := range []struct {
		id   uint64
		byte byte
	}{{3, 0x33}, {1, 0x11}, {2, 0x22}} {
		if got, err := c.ReadByteFor(want.id); got != want.byte || err != nil {
			t.Errorf("id %d: got %02x, %v, want %02x", want.id, got, err, want.byte)
		}
	}
	if parked := c.Parked(); len(parked) != 1 || parked[0].ID != 1 {
		t.Errorf("got parked frames %v, want one of id 1", parked)
	}
	if err := c.ExpectClose(); err == nil {
		t.Errorf("a frame nobody read does not count as sent")
	}
	if f, err := c.Read(); f.ID != 1 || !bytes.Equal(f.Payload, []byte{0x12}) || err != nil {
		t.Errorf("got %v, %v, want 12 for id 1", f, err)
	}
	if _, err := c.Read(); err != io.EOF {
		t.Errorf("got %v, want %v", err, io.EOF)
	}
}

func TestBadFramesAreErrors(t *testing.T) {
	for fault, script := range map[string]string{
		"parity":         "N 01 0900000000000000 09 | 0100000000000000 | 11",
		"type 2":         "N 02 0900000000000000 0b | 0100000000000000 | 11",
		"too short":      "N 01 0700000000000000 06 | 01000000000000",
		"2^64-1 bytes":   "N 01 ffffffffffffffff 01",
		"cut":            "N 01 0900000000000000 08 | 0100000000000000",
		"cut at 10":      "N 01 0900000000000000 08",
		"cut in header":  "N 01 09",
		"close, no data": "",
	} {
		f, err := play(t, script).Read()
		if err == nil || (err == io.EOF) != (script == "") {
			t.Errorf("%s: got %v, %v, want an error", fault, f, err)
		}
	}
}

func TestNothingWaitsForever(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := New(near)
	defer c.Close()
	c.Timeout = time.Millisecond
	for name, wait := range map[string]func() error{
		"Read":        func() error { _, err := c.Read(); return err },
		"Write":       func() error { return c.Write([]byte{1}) },
		"ExpectClose": c.ExpectClose,
	} {
		var timeout net.Error
		if err := wait(); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s: got %v, want a timeout", name, err)
		}
	}
}

func TestConnectTellsARejectionFromAFailure(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	steps := parseScript(t, handshake+"N 02 0100000000000000 03 | 00")
	result := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			err = follow(conn, steps)
			conn.Close()
		}
		result <- err
	}()
	_, err = Connect(listener.Addr().String(), Login{"client1", counting(), 1500000000})
	if !errors.Is(err, ErrRejected) {
		t.Errorf("got %v, want %v", err, ErrRejected)
	}
	if err := <-result; err != nil {
		t.Errorf("at the node: %v", err)
	}
	listener.Close()
	if _, err := Connect(listener.Addr().String(), Login{}); err == nil || errors.Is(err, ErrRejected) {
		t.Errorf("nobody listens: got %v, want an error that is no rejection", err)
	}
}
