package neo

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// fromHex decodes hexadecimal as the specification prints it: bars, blanks and line ends
// are separators only.
func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer("|", "", " ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// The table of neo protocol spec §17.2.
func TestHeaderVectors(t *testing.T) {
	for _, c := range []struct {
		header Header
		hex    string
	}{
		{Header{2, 1}, "02 0100000000000000 03"},
		{Header{2, 4}, "02 0400000000000000 06"},
		{Header{2, 8}, "02 0800000000000000 0a"},
		{Header{2, 79}, "02 4f00000000000000 4d"},
		{Header{1, 8}, "01 0800000000000000 09"},
		{Header{1, 9}, "01 0900000000000000 08"},
		{Header{1, 10}, "01 0a00000000000000 0b"},
		{Header{1, 256}, "01 0001000000000000 00"},
		{Header{1, 65535}, "01 ffff000000000000 01"},
		{Header{1, 100817}, "01 d189010000000000 58"},
		{Header{1, 72623859790382856}, "01 0807060504030201 09"},
	} {
		want := fromHex(t, c.hex)
		if got := AppendHeader(nil, c.header); !bytes.Equal(got, want) {
			t.Errorf("AppendHeader(%v): got % x, want % x", c.header, got, want)
		}
		got, err := ParseHeader(want)
		if got != c.header || err != nil {
			t.Errorf("ParseHeader(% x): got %v, %v, want %v", want, got, err, c.header)
		}
	}
}

// message is a request frame of neo protocol spec §17.4 to §17.8 with its meaning. decode describes what the
// decoders make of the payload in words of its own.
type message struct {
	name   string
	hex    string
	id     uint64
	encode func() []byte
	decode func(payload []byte) (string, error)
	want   string
}

var messages = []message{
	// neo protocol spec §17.4
	{"Push hello to test", `01 2400000000000000 25 | 0100000000000000 | 01 03 | 01 |
		0400000000000000 74657374 | 0500000000000000 68656c6c6f`, 1,
		func() []byte { return push(1, "hello", "test") }, start, `Push [test] "hello"`},
	{"Push supported", "01 0900000000000000 08 | 0100000000000000 | fd", 1,
		func() []byte { return AppendSupport(nil, 1, Supported) }, support, "fd"},
	{"Push pushed", "01 0900000000000000 08 | 0100000000000000 | 01", 1,
		func() []byte { return AppendPushStatus(nil, 1, Pushed) }, pushStatus, "01"},
	{"Push of the empty value to two channels", `01 2600000000000000 27 | 0200000000000000 | 01 03 | 02 |
		0100000000000000 61 | 0200000000000000 6263 | 0000000000000000`, 2,
		func() []byte { return push(2, "", "a", "bc") }, start, `Push [a bc] ""`},
	{"Push node error", "01 0900000000000000 08 | 0100000000000000 | 02", 1,
		func() []byte { return AppendPushStatus(nil, 1, PushError) }, pushStatus, "02"},

	// neo protocol spec §17.5
	{"Pop from test", "01 1600000000000000 17 | 0300000000000000 | 02 01 | 0400000000000000 74657374", 3,
		func() []byte { return AppendPop(nil, 3, "test") }, start, "Pop test"},
	{"Pop popped", "01 1600000000000000 17 | 0300000000000000 | 01 | 0500000000000000 68656c6c6f", 3,
		func() []byte { return append(AppendPoppedPrefix(nil, 3, 5), "hello"...) }, popReply, `01 "hello"`},
	{"Pop empty", "01 0900000000000000 08 | 0300000000000000 | 02", 3,
		func() []byte { return AppendPopStatus(nil, 3, PopEmpty) }, popReply, `02 ""`},
	{"Pop node error", "01 0900000000000000 08 | 0300000000000000 | 03", 3,
		func() []byte { return AppendPopStatus(nil, 3, PopError) }, popReply, `03 ""`},
	{"Pop has subscribers", "01 0900000000000000 08 | 0300000000000000 | 04", 3,
		func() []byte { return AppendPopStatus(nil, 3, PopSubscribed) }, popReply, `04 ""`},

	// neo protocol spec §17.6
	{"Consume of test without subscriber name", `01 1e00000000000000 1f | 0400000000000000 | 06 04 |
		0400000000000000 74657374 | 0000000000000000`, 4,
		func() []byte { return AppendConsume(nil, 4, "test", "") }, start, `Consume test as ""`},
	{"Consume started", "01 0900000000000000 08 | 0400000000000000 | 01", 4,
		func() []byte { return AppendConsumeStatus(nil, 4, Started) }, consumeStatus, "01"},
	{"Consume batch of two records", `01 2900000000000000 28 | 0400000000000000 | 03 | 1800000000000000 |
		0500000000000000 68656c6c6f | 0300000000000000 776f72`, 4,
		func() []byte { return records(4, "hello", "wor") }, consumeMessage, "03 [hello wor]"},
	{"Consume Continue", "01 0900000000000000 08 | 0400000000000000 | 01", 4,
		func() []byte { return AppendFeedback(nil, 4, Continue) }, feedback, "01"},
	{"Consume Stop", "01 0900000000000000 08 | 0400000000000000 | 02", 4,
		func() []byte { return AppendFeedback(nil, 4, Stop) }, feedback, "02"},
	{"Consume Stopped", "01 0900000000000000 08 | 0400000000000000 | 04", 4,
		func() []byte { return AppendStopped(nil, 4) }, consumeMessage, "04 []"},
	{"Consume ChannelRemoved", "01 0900000000000000 08 | 0400000000000000 | 05", 4,
		func() []byte { return AppendChannelRemoved(nil, 4) }, consumeMessage, "05 []"},
	{"Consume of test as sub1", `01 2200000000000000 23 | 8877665544332211 | 06 04 |
		0400000000000000 74657374 | 0400000000000000 73756231`, 0x1122334455667788,
		func() []byte { return AppendConsume(nil, 0x1122334455667788, "test", "sub1") }, start, `Consume test as "sub1"`},
	{"Consume as sub1 supported", "01 0900000000000000 08 | 8877665544332211 | fd", 0x1122334455667788,
		func() []byte { return AppendSupport(nil, 0x1122334455667788, Supported) }, support, "fd"},
	{"Consume as sub1 started", "01 0900000000000000 08 | 8877665544332211 | 01", 0x1122334455667788,
		func() []byte { return AppendConsumeStatus(nil, 0x1122334455667788, Started) }, consumeStatus, "01"},

	// neo protocol spec §17.7
	{"Push version 2", "01 0a00000000000000 0b | 0500000000000000 | 01 02", 5,
		func() []byte { return append(AppendFramePrefix(nil, 5, 2), 1, 2) }, start, "fe"},
	{"version not supported", "01 0900000000000000 08 | 0500000000000000 | fe", 5,
		func() []byte { return AppendSupport(nil, 5, VersionNotSupported) }, support, "fe"},
	{"code 5", "01 0a00000000000000 0b | 0600000000000000 | 05 00", 6,
		func() []byte { return append(AppendFramePrefix(nil, 6, 2), 5, 0) }, start, "ff"},
	{"request not supported", "01 0900000000000000 08 | 0600000000000000 | ff", 6,
		func() []byte { return AppendSupport(nil, 6, RequestNotSupported) }, support, "ff"},
}

func TestMessageVectors(t *testing.T) {
	for _, m := range messages {
		frame := fromHex(t, m.hex)
		if got := m.encode(); !bytes.Equal(got, frame) {
			t.Errorf("%s, encoded: got % x, want % x", m.name, got, frame)
		}
		id, payload, size, err := Next(frame, 1<<20)
		if id != m.id || size != len(frame) || err != nil {
			t.Errorf("%s, Next: got id %x, size %d, %v, want id %x, size %d", m.name, id, size, err, m.id, len(frame))
		}
		got, err := m.decode(payload)
		if got != m.want || err != nil {
			t.Errorf("%s, decoded: got %s, %v, want %s", m.name, got, err, m.want)
		}
	}
}

// The first Records frame of neo protocol spec §17.8: 100 records of 1000 bytes.
func TestFullBatchVector(t *testing.T) {
	value := strings.Repeat("x", 1000)
	frame := records(7, slices.Repeat([]string{value}, 100)...)
	want := fromHex(t, "01 d189010000000000 58 | 0700000000000000 | 03 | c089010000000000")
	if len(want) != RecordsPrefixSize || !bytes.HasPrefix(frame, want) {
		t.Errorf("prefix: got % x, want % x", frame[:RecordsPrefixSize], want)
	}
	_, payload, _, err := Next(frame, 100817)
	if err != nil {
		t.Fatal(err)
	}
	_, batch, err := ParseConsumeMessage(payload)
	if got := list(batch); len(got) != 100 || got[99] != value || err != nil {
		t.Errorf("got %d records, %v, want 100 of 1000 bytes", len(got), err)
	}
}

// push, records: the frames of valid messages.

func push(id uint64, value string, channels ...string) []byte {
	frame, err := AppendPush(nil, id, channels, []byte(value))
	if err != nil {
		panic(err)
	}
	return frame
}

func records(id uint64, values ...string) []byte {
	var batch []byte
	for _, value := range values {
		batch = appendArray(batch, value)
	}
	return append(AppendRecordsPrefix(nil, id, len(batch)), batch...)
}

// list copies what a cursor goes over.
func list(arrays Arrays) (all []string) {
	for a, ok := arrays.Next(); ok; a, ok = arrays.Next() {
		all = append(all, string(a))
	}
	return all
}

// start, support …: one decoder each, as words.

func start(payload []byte) (string, error) {
	code, version, fields, err := ParseStart(payload)
	if err != nil {
		return "", err
	}
	if s := Supports(code, version); s != Supported {
		return fmt.Sprintf("%02x", s), nil
	}
	switch code {
	case CodePush:
		p, err := ParsePush(fields)
		return fmt.Sprintf("Push %v %q", list(p.Channels), p.Value), err
	case CodePop:
		channel, err := ParsePop(fields)
		return fmt.Sprintf("Pop %s", channel), err
	default:
		c, err := ParseConsume(fields)
		return fmt.Sprintf("Consume %s as %q", c.Channel, c.Subscriber), err
	}
}

func support(payload []byte) (string, error) {
	s, err := ParseSupport(payload)
	return fmt.Sprintf("%02x", s), err
}

func pushStatus(payload []byte) (string, error) {
	s, err := ParsePushStatus(payload)
	return fmt.Sprintf("%02x", s), err
}

func popReply(payload []byte) (string, error) {
	s, value, err := ParsePopReply(payload)
	return fmt.Sprintf("%02x %q", s, value), err
}

func consumeStatus(payload []byte) (string, error) {
	s, err := ParseConsumeStatus(payload)
	return fmt.Sprintf("%02x", s), err
}

func feedback(payload []byte) (string, error) {
	f, err := ParseFeedback(payload)
	return fmt.Sprintf("%02x", f), err
}

func consumeMessage(payload []byte) (string, error) {
	m, batch, err := ParseConsumeMessage(payload)
	return fmt.Sprintf("%02x %v", m, list(batch)), err
}
