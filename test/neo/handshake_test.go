package neo

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// longName is as long as a client's name may be.
var longName = strings.Repeat("n", 100)

// handshakeClients are those of the tests of rejections.
var handshakeClients = clients.FixedClients + longName + ":" + clients.HexKey(clients.CountingKey) + "\n#~!@:" + clients.HexKey(clients.CountingKey) + "\n"

// wantRejected requires the handshake to end with a verdict of 00, then the connection.
func wantRejected(c *clients.NeoClient, login neoclient.Login) {
	c.T.Helper()
	if err := c.Authenticate(login); !errors.Is(err, neoclient.ErrRejected) {
		c.T.Fatalf("client %s: got %v, want a rejection", clients.Excerpt(login.Name), err)
	}
	c.WantClose()
}

// The rules of neo protocol spec §3.3. Each rejection is logged with the quoted name, cut if it is too long, and
// the first reason that holds.
func TestNeoRejections(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Credentials(handshakeClients))
	now := neoclient.Now("", [128]byte{}).Time
	good, other := clients.CountingKey, [128]byte{1}
	for _, test := range []struct {
		name      string
		key       [128]byte
		timestamp uint64
		log       string // behind the name
	}{
		{"", good, now, `empty`},
		{"", other, 0, `empty`},
		{strings.Repeat("x", 101), good, now, `too long`},
		{longName + "n", good, now, `too long`},
		{strings.Repeat("x", 927), good, now, `too long`},
		{strings.Repeat("\n", 927), good, now, `too long`},
		{"nobody", good, now, `unknown`},
		{"client", good, now, `unknown`},
		{"client11", good, now, `unknown`},
		{"Client1", good, now, `unknown`},
		{"nobody", other, 0, `unknown`},
		{strings.Repeat("x", 100), good, now, `unknown`},
		{"a:" + clients.HexKey(clients.CountingKey)[:90], good, now, `unknown`},
		{"cli ent", good, now, `invalid character`},
		{"client1 ", good, 0, `invalid character`},
		{"client1\x00", good, now, `invalid character`},
		{"evil\n2026-01-01 Warn [root] - forged\x1b[2J\x7f\xff\xc3\xa4", good, now, `invalid character`},
		{"client1", good, 1 << 63, `too large`},
		{"client1", other, math.MaxUint64, `too large`},
		{"client1", good, 0, `zero`},
		{"client1", other, 0, `zero`},
		{"client1", good, 1, `30 minutes`},
		{"client1", good, math.MaxInt64, `30 minutes`},
		{"client1", other, now - 3600, `30 minutes`},
		{"client1", other, now, `code`},
		{"#~!@", other, now, `code`},
		{longName, other, now, `code`},
	} {
		wantRejected(clients.DialNeo(t, node), neoclient.Login{Name: test.name, Key: test.key, Time: test.timestamp})
		quoted := regexp.QuoteMeta(fmt.Sprintf("%+q", test.name))
		if len(test.name) > 100 { // longer than a name can be: cut
			quoted = regexp.QuoteMeta(fmt.Sprintf("%+q...", test.name[:100]))
		}
		node.WaitLog(`^Warn \[swarm\.neo\.protocol\.connect\.NodeConnect\] - .*` + quoted + `.*` + test.log)
	}
	if log := node.Log(); strings.ContainsFunc(log, func(r rune) bool { return r < ' ' && r != '\n' || r > '~' }) {
		t.Errorf("the log has unprintable characters, want names quoted:\n%q", log)
	}
	for _, name := range []string{"client1", "#~!@", longName} {
		c := clients.DialNeo(t, node)
		c.Must(c.Authenticate(neoclient.Now(name, good)))
	}
}

// A name too long for a frame of 999 bytes gets no verdict (neo protocol spec §3.4).
func TestNeoNameBeyondTheFrameLimit(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := clients.DialNeo(t, node)
	nonce, err := c.Introduce(clients.TestLogin().Time)
	c.Must(err)
	c.MustWrite(neoclient.Credentials(strings.Repeat("x", 928), neoclient.Code([128]byte{}, clients.TestLogin().Time, nonce)))
	c.WantClose()
}

// A client's clock may be off by 30 minutes (neo protocol spec §3.3 rule 6).
func TestNeoTimestamps(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	for _, test := range []struct {
		skew     int
		accepted bool
	}{{-1799, true}, {1799, true}, {0, true}, {-1802, false}, {1802, false}} {
		c, login := clients.DialNeo(t, node), clients.TestLogin()
		login.Time += uint64(test.skew)
		if test.accepted {
			c.Must(c.Authenticate(login))
			c.Alive()
		} else {
			wantRejected(c, login)
		}
	}
}

// The node reads its clock when the timestamp comes, so it doesn't matter how long a
// client took until then (Q3).
func TestNeoDawdlingClientIsNotAhead(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	node := nodetest.Start(t)
	c := clients.DialNeo(t, node)
	play(c, "C 01\nN 01")
	time.Sleep(3 * time.Second) // the time that must not count
	login := clients.TestLogin()
	login.Time += 1799
	c.MustWrite(neoclient.AuthenticationFrame(neoclient.Number(login.Time)))
	play(c, "N 02 0400000000000000 06")
	nonce, err := c.ReadBytes(4)
	c.Must(err)
	c.Must(c.Answer(login.Name, neoclient.Code(login.Key, login.Time, nonce)))
}

// badHandshakes are what ends a handshake without verdict (neo protocol spec §3.4, §6.2). The node must not
// wait for a body that its header makes wrong (Q4).
var badHandshakes = []struct {
	fault string
	// bytes are sent in place of the timestamp frame, or of the credentials frame if
	// there is a nonce. code is the right one.
	bytes func(code []byte) []byte
	late  bool
}{
	{"parity", func([]byte) []byte { return fault(neoclient.Header(2, 8)) }, false},
	{"type 0", func([]byte) []byte { return neoclient.Header(0, 8) }, false},
	{"type 1", func([]byte) []byte { return neoclient.Header(1, 8) }, false},
	{"type 3", func([]byte) []byte { return neoclient.Header(3, 8) }, false},
	{"no timestamp", func([]byte) []byte { return neoclient.Header(2, 0) }, false},
	{"timestamp of 7 bytes", func([]byte) []byte { return neoclient.AuthenticationFrame(make([]byte, 7)) }, false},
	{"timestamp of 9 bytes", func([]byte) []byte { return neoclient.AuthenticationFrame(make([]byte, 9)) }, false},
	{"timestamp of 999 bytes", func([]byte) []byte { return neoclient.AuthenticationFrame(make([]byte, 999)) }, false},
	{"timestamp of 1000 bytes", func([]byte) []byte { return neoclient.Header(2, 1000) }, false},
	{"a request", func([]byte) []byte { return neoclient.RequestFrame(1, neoclient.PushPayload(nil)) }, false},
	{"HTTP", func([]byte) []byte { return []byte("GET / HTTP/1.1\r\n\r\n") }, false},

	{"parity behind the nonce", func([]byte) []byte { return fault(neoclient.Header(2, 76)) }, true},
	{"type 0 behind the nonce", func([]byte) []byte { return neoclient.Header(0, 76) }, true},
	{"type 1 behind the nonce", func([]byte) []byte { return neoclient.Header(1, 76) }, true},
	{"type 255 behind the nonce", func([]byte) []byte { return neoclient.Header(255, 76) }, true},
	{"credentials of 0 bytes", func([]byte) []byte { return neoclient.Header(2, 0) }, true},
	{"credentials of 71 bytes", func([]byte) []byte { return neoclient.AuthenticationFrame(make([]byte, 71)) }, true},
	{"credentials of 1000 bytes", func([]byte) []byte { return neoclient.Header(2, 1000) }, true},
	{"name longer than its frame", counted(5), true},
	{"name as long as its frame", counted(76), true},
	{"name of 2^63 bytes", counted(1 << 63), true},
	{"name of 2^64-1 bytes", counted(math.MaxUint64), true},
	{"name of 2^64-8 bytes", counted(math.MaxUint64 - 7), true},
	{"name shorter than its frame", counted(3), true},
	{"no name in the frame", counted(0), true},
	{"code of 63 bytes", func(code []byte) []byte { return neoclient.Credentials("test", code[:63]) }, true},
	{"code of 65 bytes", func(code []byte) []byte { return neoclient.Credentials("test", append(code, 0)) }, true},
}

// fault breaks the parity of a header.
func fault(header []byte) []byte {
	header[9] ^= 1
	return header
}

// counted makes credentials of client "test" which say that the name has some other length.
func counted(length uint64) func([]byte) []byte {
	return func(code []byte) []byte {
		return neoclient.AuthenticationFrame(append(append(neoclient.Number(length), "test"...), code...))
	}
}

func TestNeoHandshakeProtocolErrors(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	for _, test := range badHandshakes {
		for _, behind := range []int{0, 100_000} {
			c, login := clients.DialNeo(t, node), clients.TestLogin()
			var code []byte
			if test.late {
				nonce, err := c.Introduce(login.Time)
				c.Must(err)
				code = neoclient.Code(login.Key, login.Time, nonce)
			} else {
				play(c, "C 01\nN 01")
			}
			c.MustWrite(test.bytes(code), make([]byte, behind))
			if err := c.ExpectClose(); err != nil {
				t.Errorf("%s, %d bytes behind: %v", test.fault, behind, err)
			}
		}
	}
	clients.Neo(t, node).Alive()
	if log := node.Log(); strings.Contains(log, "swarm.neo") {
		t.Errorf("got log\n%s\nwant nothing of handshakes that broke the protocol", log)
	}
}

// The end of the stream arrives in order also behind a verdict of 00 and another version.
func TestNeoRefusedClientsAreNotReset(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := clients.DialNeo(t, node)
	c.MustWrite([]byte{2}, make([]byte, 300_000))
	play(c, "N 01")
	c.WantClose()

	c = clients.DialNeo(t, node)
	nonce, err := c.Introduce(clients.TestLogin().Time)
	c.Must(err)
	c.MustWrite(neoclient.Credentials("nobody", neoclient.Code([128]byte{}, 0, nonce)), make([]byte, 300_000))
	play(c, "N 02 0100000000000000 03 | 00")
	c.WantClose()
}

// The handshake may arrive in two pieces, cut anywhere. Between them another connection
// gets an answer, so the node has seen the first.
func TestNeoHandshakeSplitAtEveryByte(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "1"))
	between := clients.Neo(t, node)
	timestamp := append([]byte{1}, neoclient.AuthenticationFrame(neoclient.Number(clients.TestLogin().Time))...)
	for cut := range 1 + 10 + 8 + 64 + 14 {
		c, login := clients.DialNeo(t, node), clients.TestLogin()
		copy(timestamp[11:], neoclient.Number(login.Time))
		early := min(cut, len(timestamp))
		c.MustWrite(timestamp[:early])
		between.Alive()
		c.MustWrite(timestamp[early:])
		play(c, "N 01 | 02 0400000000000000 06")
		nonce, err := c.ReadBytes(4)
		c.Must(err)
		credentials := neoclient.Credentials(login.Name, neoclient.Code(login.Key, login.Time, nonce))
		c.MustWrite(credentials[:cut%len(credentials)])
		between.Alive()
		c.MustWrite(credentials[cut%len(credentials):])
		play(c, "N 02 0100000000000000 03 | 01")
		c.Alive()
	}
}

// What follows in one write with the credentials is not lost (neo protocol spec §3.4), whether it is whole
// requests or a part of one.
func TestNeoRequestsBehindTheCredentials(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	frame := neoclient.RequestFrame(7, neoclient.PushPayload([]byte("value"), "early"))
	for cut := range len(frame) + 1 {
		c, login := clients.DialNeo(t, node), clients.TestLogin()
		nonce, err := c.Introduce(login.Time)
		c.Must(err)
		c.MustWrite(neoclient.Credentials(login.Name, neoclient.Code(login.Key, login.Time, nonce)), frame[:cut])
		play(c, "N 02 0100000000000000 03 | 01")
		c.MustWrite(frame[cut:])
		c.WantReply(7, clients.Supported, clients.Pushed)
		c.WantPop("early", "value")
	}
}

// A nonce is new for each connection, so a recorded code is worth nothing.
func TestNeoNoncesDiffer(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	login := clients.TestLogin()
	var nonces [][]byte
	for range 20 {
		c := clients.DialNeo(t, node)
		nonce, err := c.Introduce(login.Time)
		c.Must(err)
		for _, other := range nonces {
			if bytes.Equal(nonce, other) {
				t.Errorf("got nonce % x twice", nonce)
			}
		}
		if nonces = append(nonces, nonce); len(nonces) == 2 {
			if err := c.Answer(login.Name, neoclient.Code(login.Key, login.Time, nonces[0])); !errors.Is(err, neoclient.ErrRejected) {
				t.Errorf("with the code of another connection: got %v, want a rejection", err)
			}
		}
	}
}

// A client that does not authenticate in time is disconnected, whatever it has said, and
// even if it goes on saying something; one that has is not (Q5).
func TestNeoHandshakeTimeout(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	node := nodetest.Start(t,
		nodetest.Set("Limits.handshake_timeout_ms", "1500"), nodetest.Set("Server.connection_limit", "7"), nodetest.Set("Limits.peer_connections", "0"))
	authenticated := clients.Neo(t, node)
	before := time.Now()
	silent, version, half, nonced, almost := clients.DialNeo(t, node), clients.DialNeo(t, node), clients.DialNeo(t, node), clients.DialNeo(t, node), clients.DialNeo(t, node)
	play(version, "C 01\nN 01")
	half.MustWrite([]byte{1}, neoclient.Header(2, 8), []byte{1, 2, 3})
	play(half, "N 01")
	for _, c := range []*clients.NeoClient{nonced, almost} {
		_, err := c.Introduce(clients.TestLogin().Time)
		c.Must(err)
	}
	almost.MustWrite(neoclient.Credentials("test", make([]byte, 64))[:85])
	dribbling := clients.DialNeo(t, node)
	go func() {
		for _, b := range append([]byte{1}, neoclient.AuthenticationFrame(neoclient.Number(clients.TestLogin().Time))...) {
			dribbling.Write([]byte{b})
			time.Sleep(100 * time.Millisecond) // a client that takes 1.9 s for 19 bytes
		}
	}()
	play(dribbling, "N 01")

	for name, c := range map[string]*clients.NeoClient{
		"silent": silent, "with a version": version, "inside the timestamp": half, "with a nonce": nonced,
		"inside the credentials": almost, "dribbling": dribbling,
	} {
		if err := c.ExpectClose(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if took := time.Since(before); took < 1500*time.Millisecond {
		t.Errorf("the node closed connections after %v, want 1.5 s", took)
	}
	for _, c := range []*clients.NeoClient{silent, version, half, nonced, almost} {
		c.Close()
	}
	authenticated.Alive()
	nodetest.Eventually(t, "their places are free", func() bool {
		c, err := neoclient.Connect(node.Neo(), clients.TestLogin())
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return err == nil
	})
	if log := node.Log(); strings.Contains(log, "swarm.neo") {
		t.Errorf("got log\n%s\nwant nothing of handshakes that took too long", log)
	}
}
