package neo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// table is a credentials table.
type table map[string]*Key

func (t table) Key(name []byte) (*Key, bool) {
	key, ok := t[string(name)]
	return key, ok
}

// countingKey is 00 01 02 … 7f, the key of neo protocol spec §17.3.
func countingKey() *Key {
	var key Key
	for i := range key {
		key[i] = byte(i)
	}
	return &key
}

func repeatedKey(b byte) *Key {
	return (*Key)(bytes.Repeat([]byte{b}, KeySize))
}

// authentication is a row of neo protocol spec §17.3.
type authentication struct {
	name        string
	key         *Key
	client      string
	timestamp   uint64
	nonce       Nonce
	code        string
	timestampIn string // frame, if the specification prints it
	nonceOut    string // likewise
	credentials string // frame without the code
}

var authentications = []authentication{
	{
		"fixed inputs", countingKey(), "client1", 1500000000, Nonce{0xde, 0xad, 0xbe, 0xef},
		`7a711763a161f667de1f06ce7725114b109119c0b69a03747bae42a71a3d443c
		7e9c8243ac0f9b8e3e74569d268a361d37d6b7c33deccca37f7085c4ee49b4e2`,
		"02 0800000000000000 0a | 002f685900000000",
		"02 0400000000000000 06 | deadbeef",
		"02 4f00000000000000 4d | 0700000000000000 | 636c69656e7431",
	},
	{
		"recorded from a D client", countingKey(), "client1", 1795398876, Nonce{1, 2, 3, 4},
		`0bfd145ee4664a8207343592fdbf775186c7a1c4c604b2ca5992379a59db0c6b
		ec72dd13215bcc8780353675e00eb14860854cce95349e10802a64eab637a3d7`,
		"02 0800000000000000 0a | dc9c036b00000000",
		"02 0400000000000000 06 | 01020304",
		"02 4f00000000000000 4d | 0700000000000000 | 636c69656e7431",
	},
	{
		"third", repeatedKey(0xab), "a", 1, Nonce{},
		`c7efd174ea3734bf9ce37b1f6974c047a99e89e61cdf6bb6a47cae2f5687e981
		fe4c54bc4986f148365eac6a8030a214e77a7be352494da0e0ac78d8fe612b69`,
		"02 0800000000000000 0a | 0100000000000000",
		"02 0400000000000000 06 | 00000000",
		"02 4900000000000000 4b | 0100000000000000 | 61",
	},
}

// node returns the node's side of the row, with its clock at the client's time.
func (a authentication) node() *Handshake {
	return &Handshake{
		Keys:  table{a.client: a.key},
		Now:   func() time.Time { return time.Unix(int64(a.timestamp), 0) },
		Nonce: func() Nonce { return a.nonce },
	}
}

// conversation returns all the bytes of both sides for an accepted client.
func (a authentication) conversation(t *testing.T) (client, node []byte) {
	client = fromHex(t, "01"+a.timestampIn+a.credentials+a.code)
	node = fromHex(t, "01"+a.nonceOut+"02 0100000000000000 03 | 01")
	return client, node
}

func TestAuthenticationVectorsOfTheClient(t *testing.T) {
	for _, a := range authentications {
		code := AuthenticationCode(a.key, a.timestamp, a.nonce)
		if want := fromHex(t, a.code); !bytes.Equal(code[:], want) {
			t.Errorf("%s, code: got %x, want %x", a.name, code, want)
		}
		if got, want := AppendTimestamp(nil, a.timestamp), fromHex(t, a.timestampIn); !bytes.Equal(got, want) {
			t.Errorf("%s, timestamp: got % x, want % x", a.name, got, want)
		}
		if got, want := AppendCredentials(nil, a.client, code), fromHex(t, a.credentials+a.code); !bytes.Equal(got, want) {
			t.Errorf("%s, credentials: got % x, want % x", a.name, got, want)
		}
		frame := fromHex(t, a.nonceOut)
		if got, err := ParseNonce(frame); len(frame) != NonceFrameSize || got != a.nonce || err != nil {
			t.Errorf("%s, nonce: got %x, %v, want %x", a.name, got, err, a.nonce)
		}
	}
}

func TestAuthenticationVectorsOfTheNode(t *testing.T) {
	for _, a := range authentications {
		client, node := a.conversation(t)
		for chunk := 1; chunk <= len(client); chunk++ {
			h := a.node()
			sent, consumed, done, err := converse(h, client, chunk)
			if !bytes.Equal(sent, node) || consumed != len(client) || !done || err != nil {
				t.Fatalf("%s in chunks of %d: got % x, %d of %d consumed, %v, %v, want % x",
					a.name, chunk, sent, consumed, len(client), done, err, node)
			}
			if h.Name() != a.client {
				t.Fatalf("%s: got name %q, want %q", a.name, h.Name(), a.client)
			}
		}
	}
}

// converse feeds a client's bytes in chunks, as if received that way, until the end.
func converse(h *Handshake, client []byte, chunk int) (sent []byte, consumed int, done bool, err error) {
	var buf []byte
	for len(client) > 0 && !done && err == nil {
		n := min(chunk, len(client))
		buf = append(buf, client[:n]...)
		client = client[n:]
		n, sent, done, err = h.Step(buf, sent)
		buf = buf[n:]
		consumed += n
	}
	return sent, consumed, done, err
}

func TestTheNodeRepliesAtEachStep(t *testing.T) {
	a := authentications[0]
	h := a.node()
	for _, c := range []struct {
		step, in string
		consumed int
		out      string
	}{
		{"nothing yet", "", 0, ""},
		{"version", "01", 1, "01"},
		{"half a header", "02 080000", 0, ""},
		{"timestamp", a.timestampIn, 18, a.nonceOut},
		{"half the credentials", a.credentials, 0, ""},
		{"credentials", a.credentials + a.code, 89, "02 0100000000000000 03 | 01"},
	} {
		want := fromHex(t, c.out)
		if n, out, _, err := h.Step(fromHex(t, c.in), nil); n != c.consumed || !bytes.Equal(out, want) || err != nil {
			t.Errorf("%s: got %d consumed, % x, %v, want %d, % x", c.step, n, out, err, c.consumed, want)
		}
	}
}

// The original sends nothing to a client whose first packet has garbage behind the version byte.
func TestGarbageBehindTheVersionIsNotAnswered(t *testing.T) {
	h := authentications[0].node()
	if _, out, done, err := h.Step(fromHex(t, "01 ffffffffffffffff ff ff"), nil); len(out) > 0 || done || err == nil {
		t.Errorf("got % x, %v, %v, want nothing and an error", out, done, err)
	}
}

func TestADifferentVersionIsAnsweredAndThenRefused(t *testing.T) {
	for _, version := range []byte{0, 2, 255} {
		h := authentications[0].node()
		n, out, done, err := h.Step([]byte{version, 2, 8}, nil)
		if n != 1 || !bytes.Equal(out, []byte{1}) || done || !errors.Is(err, ErrVersion) {
			t.Errorf("version %d: got %d consumed, % x, %v, %v, want 01 and %v", version, n, out, done, err, ErrVersion)
		}
	}
}

func TestRequestFramesSentEarlyAreNotLost(t *testing.T) {
	a := authentications[0]
	client, _ := a.conversation(t)
	early := push(1, "hello", "test")
	n, _, done, err := a.node().Step(append(bytes.Clone(client), early...), nil)
	if n != len(client) || !done || err != nil {
		t.Errorf("got %d consumed, %v, %v, want %d", n, done, err, len(client))
	}
}

// login returns the bytes of a client that answers the nonce with a code of its key.
func login(name string, key *Key, timestamp uint64, nonce Nonce) []byte {
	out := AppendTimestamp([]byte{Version}, timestamp)
	return AppendCredentials(out, name, AuthenticationCode(key, timestamp, nonce))
}

// Each row breaks its rule and all later ones it can, so the order of neo protocol spec §3.3 shows.
func TestRejectionsInTheirOrder(t *testing.T) {
	const now = 1500000000
	key, wrong := countingKey(), repeatedKey(1)
	longest := strings.Repeat("n", 100)
	keys := table{"known": key, longest: key}
	for _, c := range []struct {
		rule      string
		name      string
		key       *Key
		timestamp uint64
		want      Reason // 0 = accepted
	}{
		{"accepted", "known", key, now, 0},
		{"1 empty name", "", wrong, 0, NameEmpty},
		{"2 name of 101 bytes", longest + "n", wrong, 0, NameTooLong},
		{"2 name of 927 bytes", strings.Repeat("n", 927), wrong, 0, NameTooLong},
		{"2 name of 100 bytes", longest, key, now, 0},
		{"3 unknown name of 100 bytes", strings.Repeat("m", 100), wrong, 0, NameUnknown},
		{"3 unknown name", "unknown", wrong, 0, NameUnknown},
		{"3 blank in the name", "un known", wrong, 0, NameCharacter},
		{"3 control byte in the name", "known\n", wrong, 0, NameCharacter},
		{"3 byte above 7e in the name", "known\x7f", wrong, 0, NameCharacter},
		{"3 all graphic bytes are legal", "!~", wrong, 0, NameUnknown},
		{"4 timestamp 2^63", "known", wrong, 1 << 63, TimestampTooLarge},
		{"4 timestamp 2^64-1", "known", wrong, math.MaxUint64, TimestampTooLarge},
		{"5 timestamp 0", "known", wrong, 0, TimestampZero},
		{"6 timestamp 2^63-1", "known", wrong, math.MaxInt64, TimestampOff},
		{"6 timestamp 1", "known", wrong, 1, TimestampOff},
		{"6 1801 s behind", "known", wrong, now - 1801, TimestampOff},
		{"6 1801 s ahead", "known", wrong, now + 1801, TimestampOff},
		{"6 1800 s behind", "known", key, now - 1800, 0},
		{"6 1800 s ahead", "known", key, now + 1800, 0},
		{"7 wrong key", "known", wrong, now, CodeDiffers},
	} {
		nonce := Nonce{1, 2, 3, 4}
		h := &Handshake{
			Keys:  keys,
			Now:   func() time.Time { return time.Unix(now, 999_999_999) },
			Nonce: func() Nonce { return nonce },
		}
		client := login(c.name, c.key, c.timestamp, nonce)
		sent, consumed, done, err := converse(h, client, len(client))
		verdict := byte(0)
		if c.want == 0 {
			verdict = 1
		}
		if consumed != len(client) || done != (c.want == 0) || sent[len(sent)-1] != verdict {
			t.Errorf("%s: got %d of %d consumed, %v, verdict %d, %v", c.rule, consumed, len(client), done, sent[len(sent)-1], err)
		}
		var rejection *Rejection
		switch {
		case c.want == 0 && err != nil:
			t.Errorf("%s: got %v, want accepted", c.rule, err)
		case c.want != 0 && !errors.As(err, &rejection):
			t.Errorf("%s: got %v, want %v", c.rule, err, c.want)
		case c.want != 0 && (rejection.Reason != c.want || rejection.Name != c.name):
			t.Errorf("%s: got %v of %q, want %v", c.rule, rejection.Reason, rejection.Name, c.want)
		}
	}
}

func TestTheCodeCoversTimestampAndNonce(t *testing.T) {
	a := authentications[0]
	for name, code := range map[string][CodeSize]byte{
		"another timestamp": AuthenticationCode(a.key, a.timestamp+1, a.nonce),
		"another nonce":     AuthenticationCode(a.key, a.timestamp, Nonce{}),
		"no code":           {},
	} {
		in := AppendCredentials(AppendTimestamp([]byte{Version}, a.timestamp), a.client, code)
		var rejection *Rejection
		_, _, done, err := a.node().Step(in, nil)
		if done || !errors.As(err, &rejection) || rejection.Reason != CodeDiffers {
			t.Errorf("%s: got %v, %v, want %v", name, done, err, CodeDiffers)
		}
	}
}

func TestTheTimestampIsComparedWithTheTimeOfItsReceipt(t *testing.T) {
	a := authentications[0]
	clock := time.Unix(int64(a.timestamp)-5000, 0)
	h := a.node()
	h.Now = func() time.Time { return clock }
	client, _ := a.conversation(t)
	h.Step(client[:1], nil)
	clock = time.Unix(int64(a.timestamp), 0)
	h.Step(client[1:19], nil)
	clock = time.Unix(int64(a.timestamp)+5000, 0)
	if _, _, done, err := h.Step(client[19:], nil); !done || err != nil {
		t.Errorf("got %v, %v, want accepted", done, err)
	}
}

func TestProtocolErrorsEndWithoutVerdict(t *testing.T) {
	a := authentications[0]
	header := func(kind Type, body uint64) []byte { return AppendHeader(nil, Header{kind, body}) }
	timestamp := append([]byte{Version}, fromHex(t, a.timestampIn)...)
	credentials := func(count uint64, rest int) []byte {
		b := header(TypeAuthentication, uint64(countSize+rest))
		b = binary.LittleEndian.AppendUint64(b, count)
		return append(b, make([]byte, rest)...)
	}
	for _, c := range []struct {
		rule   string
		before []byte
		frame  []byte // only as much as must suffice for the error
		want   error
	}{
		{"parity", []byte{Version}, fromHex(t, "02 0800000000000000 0b"), ErrParity},
		{"type 3", []byte{Version}, header(3, 8), ErrType},
		{"type 0", []byte{Version}, header(0, 8), ErrType},
		{"request frame", []byte{Version}, header(TypeRequest, 8), ErrType},
		{"request frame of 2^40 bytes", []byte{Version}, header(TypeRequest, 1<<40), ErrType},
		{"timestamp of 7 bytes", []byte{Version}, header(TypeAuthentication, 7), ErrLength},
		{"timestamp of 9 bytes", []byte{Version}, header(TypeAuthentication, 9), ErrLength},
		{"timestamp of no bytes", []byte{Version}, header(TypeAuthentication, 0), ErrLength},
		{"1000 bytes", []byte{Version}, header(TypeAuthentication, 1000), ErrLength},
		{"2^64-1 bytes", []byte{Version}, header(TypeAuthentication, math.MaxUint64), ErrLength},
		{"request frame for credentials", timestamp, header(TypeRequest, 79), ErrType},
		{"credentials of 1000 bytes", timestamp, header(TypeAuthentication, 1000), ErrLength},
		{"credentials of 2^64-1 bytes", timestamp, header(TypeAuthentication, math.MaxUint64), ErrLength},
		{"credentials of 71 bytes", timestamp, header(TypeAuthentication, 71), ErrLength},
		{"name longer than the body", timestamp, credentials(8, 7+64), ErrMalformed},
		{"name shorter than the body", timestamp, credentials(6, 7+64), ErrMalformed},
		{"name of 2^64-1 bytes", timestamp, credentials(math.MaxUint64, 7+64), ErrMalformed},
		{"name of 2^64-8 bytes", timestamp, credentials(math.MaxUint64-7, 7+64), ErrMalformed},
	} {
		h := a.node()
		if n, _, done, err := h.Step(c.before, nil); n != len(c.before) || done || err != nil {
			t.Fatalf("%s, before: got %d consumed, %v, %v", c.rule, n, done, err)
		}
		_, out, done, err := h.Step(c.frame, nil)
		if len(out) != 0 || done || !errors.Is(err, c.want) {
			t.Errorf("%s: got % x, %v, %v, want nothing sent, %v", c.rule, out, done, err, c.want)
		}
		if _, out, done, again := h.Step(fromHex(t, a.timestampIn+a.credentials+a.code), nil); len(out) != 0 || done || again != err {
			t.Errorf("%s, after the end: got % x, %v, %v, want the same error", c.rule, out, done, again)
		}
	}
}

func TestARejectedClientStaysRejected(t *testing.T) {
	a := authentications[0]
	h := a.node()
	client := login(a.client, repeatedKey(9), a.timestamp, a.nonce)
	_, _, _, first := h.Step(client, nil)
	n, out, done, err := h.Step(fromHex(t, a.credentials+a.code), nil)
	if n != 0 || len(out) != 0 || done || err == nil || err != first || h.Name() != "" {
		t.Errorf("got %d consumed, % x, %v, %v, name %q, want the first rejection", n, out, done, err, h.Name())
	}
}

func TestARejectionQuotesTheName(t *testing.T) {
	err := &Rejection{"evil\n\x1b[31m\xff\u202eé", NameCharacter}
	want := `client "evil\n\x1b[31m\xff\u202e\u00e9" rejected: invalid character in client name`
	if got := err.Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEveryReasonHasAText(t *testing.T) {
	seen := make(map[string]bool)
	for r := NameEmpty; r <= CodeDiffers; r++ {
		text := r.String()
		if seen[text] || strings.HasPrefix(text, "reason ") {
			t.Errorf("reason %d: got %q, want a text of its own", r, text)
		}
		seen[text] = true
	}
}

func TestEachHandshakeHasItsOwnNonceAndTheRealClock(t *testing.T) {
	key := countingKey()
	seen := make(map[Nonce]bool)
	for range 3 {
		h := &Handshake{Keys: table{"client": key}}
		now := uint64(time.Now().Unix())
		_, out, _, err := h.Step(AppendTimestamp([]byte{Version}, now), nil)
		if err != nil {
			t.Fatal(err)
		}
		nonce, err := ParseNonce(out[1:])
		if err != nil || seen[nonce] {
			t.Errorf("got nonce %x, %v, want a fresh one", nonce, err)
		}
		seen[nonce] = true
		code := AuthenticationCode(key, now, nonce)
		if _, _, done, err := h.Step(AppendCredentials(nil, "client", code), nil); !done || err != nil {
			t.Errorf("got %v, %v, want accepted", done, err)
		}
	}
}

func TestTheLongestHandshakeFrameFits(t *testing.T) {
	var code [CodeSize]byte
	if got := len(AppendCredentials(nil, strings.Repeat("n", 927), code)); got != MaxHandshakeFrame {
		t.Errorf("got %d bytes, want %d", got, MaxHandshakeFrame)
	}
}

func TestParseVerdict(t *testing.T) {
	for _, c := range []struct {
		rule, hex string
		accepted  bool
		err       error
	}{
		{"accepted", "02 0100000000000000 03 | 01", true, nil},
		{"rejected", "02 0100000000000000 03 | 00", false, nil},
		{"neither", "02 0100000000000000 03 | 02", false, ErrMalformed},
		{"cut", "02 0100000000000000 03", false, ErrLength},
		{"cut header", "02 01", false, ErrLength},
		{"one byte more", "02 0100000000000000 03 | 01 00", false, ErrLength},
		{"two bytes announced", "02 0200000000000000 00 | 01 00", false, ErrLength},
		{"request frame", "01 0100000000000000 00 | 01", false, ErrType},
		{"parity", "02 0100000000000000 00 | 01", false, ErrParity},
	} {
		got, err := ParseVerdict(fromHex(t, c.hex))
		if got != c.accepted || !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, %v, want %v, %v", c.rule, got, err, c.accepted, c.err)
		}
	}
}
