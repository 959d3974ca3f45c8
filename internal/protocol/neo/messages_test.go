package neo

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestMessagesAreConsumedExactly(t *testing.T) {
	for _, m := range messages {
		_, payload, _, err := Next(fromHex(t, m.hex), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if m.want == "fe" || m.want == "ff" {
			continue // the rest of an unsupported request is ignored, a status may be any byte
		}
		for n := range payload {
			if got, err := m.decode(payload[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s, first %d of %d bytes: got %s, %v, want %v", m.name, n, len(payload), got, err, ErrMalformed)
			}
		}
		if got, err := m.decode(append(bytes.Clone(payload), 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s, one byte too many: got %s, %v, want %v", m.name, got, err, ErrMalformed)
		}
	}
}

func TestMalformedPayloads(t *testing.T) {
	for _, c := range []struct {
		rule   string
		hex    string
		decode func([]byte) (string, error)
	}{
		{"a start needs code and version", "01", start},
		{"a start is not empty", "", start},
		{"Push needs the number of channels", "0103", start},
		{"Push with fewer channels than announced", "0103 | 02 | 0100000000000000 61 | 0100000000000000 62", start},
		{"Push with more channels than announced", "0103 | 01 | 0100000000000000 61 | 0100000000000000 62 | 0100000000000000 63", start},
		{"Push with a channel of 2^64-1 bytes", "0103 | 01 | ffffffffffffffff 61 | 0000000000000000", start},
		{"Push with a channel of 2^64-8 bytes", "0103 | 01 | f8ffffffffffffff 61 | 0000000000000000", start},
		{"Push with a channel of 2^63 bytes", "0103 | 01 | 0000000000000080 61 | 0000000000000000", start},
		{"Push with a value of 2^64-1 bytes", "0103 | 01 | 0100000000000000 61 | ffffffffffffffff 61", start},
		{"Push with a value of one byte too many", "0103 | 00 | 0200000000000000 61", start},
		{"Push without channels and value", "0103 | 00", start},
		{"Pop without channel", "0201", start},
		{"Pop with a channel of 2^64-1 bytes", "0201 | ffffffffffffffff 61", start},
		{"Consume without subscriber", "0604 | 0100000000000000 61", start},
		{"Consume with a subscriber of 2^64-1 bytes", "0604 | 0100000000000000 61 | ffffffffffffffff", start},
		{"empty feedback", "", feedback},
		{"feedback 0", "00", feedback},
		{"feedback 3", "03", feedback},
		{"feedback with extra bytes", "0100", feedback},
		{"two feedbacks in one", "0102", feedback},
		{"empty Pop reply", "", popReply},
		{"popped without value", "01", popReply},
		{"empty with value", "02 | 0000000000000000", popReply},
		{"popped 2^64-1 bytes", "01 | ffffffffffffffff", popReply},
		{"empty message", "", consumeMessage},
		{"message 1 is for clients", "01", consumeMessage},
		{"message 6", "06", consumeMessage},
		{"Records without batch", "03", consumeMessage},
		{"Records with an empty batch", "03 | 0000000000000000", consumeMessage},
		{"Records with a batch too short", "03 | 0a00000000000000 | 0100000000000000 61", consumeMessage},
		{"Records with bytes behind the batch", "03 | 0900000000000000 | 0100000000000000 61 62", consumeMessage},
		{"a record beyond the batch", "03 | 0900000000000000 | 0200000000000000 61", consumeMessage},
		{"a record of 2^64-1 bytes", "03 | 0900000000000000 | ffffffffffffffff 61", consumeMessage},
		{"a batch with a cut second length", "03 | 0d00000000000000 | 0100000000000000 61 | 01000000", consumeMessage},
		{"Stopped with extra bytes", "0400", consumeMessage},
		{"ChannelRemoved with extra bytes", "0500", consumeMessage},
	} {
		if got, err := c.decode(fromHex(t, c.hex)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %s, %v, want %v", c.rule, got, err, ErrMalformed)
		}
	}
}

func TestOnlyOneVersionOfEachRequestIsSupported(t *testing.T) {
	for code := range 256 {
		for version := range 256 {
			want := RequestNotSupported
			switch code {
			case 1, 2, 6, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139:
				want = VersionNotSupported
			}
			switch [2]int{code, version} {
			case [2]int{1, 3}, [2]int{2, 1}, [2]int{6, 4}:
				want = Supported
			}
			if code >= 128 && code <= 139 && version == 1 { // those of our own
				want = Supported
			}
			if got := Supports(Code(code), uint8(version)); got != want {
				t.Errorf("code %d, version %d: got %02x, want %02x", code, version, got, want)
			}
		}
	}
}

func TestPushTakes0To255Channels(t *testing.T) {
	for _, n := range []int{0, 1, 255} {
		channels := slices.Repeat([]string{"same"}, n)
		_, payload, _, _ := Next(push(1, "value", channels...), 1<<20)
		_, _, fields, _ := ParseStart(payload)
		p, err := ParsePush(fields)
		if got := list(p.Channels); !slices.Equal(got, channels) || string(p.Value) != "value" || err != nil {
			t.Errorf("%d channels: got %v, %q, %v", n, got, p.Value, err)
		}
	}
	got, err := AppendPush([]byte("before"), 1, slices.Repeat([]string{"a"}, 256), nil)
	if !errors.Is(err, ErrTooManyChannels) || string(got) != "before" {
		t.Errorf("256 channels: got %q, %v, want nothing appended, %v", got, err, ErrTooManyChannels)
	}
}

func TestACopyOfACursorStartsWhereItWasCopied(t *testing.T) {
	_, payload, _, _ := Next(push(1, "", "a", "b", "c"), 1<<20)
	_, _, fields, _ := ParseStart(payload)
	p, err := ParsePush(fields)
	if err != nil {
		t.Fatal(err)
	}
	again := p.Channels
	p.Channels.Next()
	if got, want := list(p.Channels), []string{"b", "c"}; !slices.Equal(got, want) {
		t.Errorf("moved: got %v, want %v", got, want)
	}
	if got, want := list(again), []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("copied before: got %v, want %v", got, want)
	}
}

func TestRecordsMayBeEmpty(t *testing.T) {
	_, payload, _, _ := Next(records(1, "", "x", ""), 1<<20)
	message, batch, err := ParseConsumeMessage(payload)
	if got, want := list(batch), []string{"", "x", ""}; message != Records || !slices.Equal(got, want) || err != nil {
		t.Errorf("got %d, %q, %v, want %d, %q", message, got, err, Records, want)
	}
}

func TestAnUnknownStatusIsReturnedAsItIs(t *testing.T) {
	for name, decode := range map[string]func([]byte) (string, error){
		"support": support, "Push": pushStatus, "Consume": consumeStatus,
	} {
		if got, err := decode([]byte{0x77}); got != "77" || err != nil {
			t.Errorf("%s status: got %s, %v, want 77", name, got, err)
		}
	}
	if got, err := popReply([]byte{0x77}); got != `77 ""` || err != nil {
		t.Errorf("Pop status: got %s, %v, want 77", got, err)
	}
}

func TestAPrefixCanBePutInFrontOfABatchAlreadyThere(t *testing.T) {
	want := records(4, "hello", "wor")
	out := append([]byte("earlier"), make([]byte, RecordsPrefixSize)...)
	out = appendArray(appendArray(out, "hello"), "wor")
	start := len("earlier")
	AppendRecordsPrefix(out[start:start], 4, len(out)-start-RecordsPrefixSize)
	if got := out[start:]; !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestPrefixSizes(t *testing.T) {
	for name, c := range map[string]struct {
		got  []byte
		want int
	}{
		"frame":   {AppendFramePrefix(nil, 1, 5), FramePrefixSize},
		"records": {AppendRecordsPrefix(nil, 1, 5), RecordsPrefixSize},
		"popped":  {AppendPoppedPrefix(nil, 1, 5), PoppedPrefixSize},
	} {
		if len(c.got) != c.want {
			t.Errorf("%s prefix: got %d bytes, want %d", name, len(c.got), c.want)
		}
	}
}

// hotPath does what a node and a client do for each request, with buffers at hand.
func hotPath(t testing.TB, stream, out []byte) {
	for len(stream) > 0 {
		id, payload, size, err := Next(stream, 1<<20)
		if err != nil || size > len(stream) {
			t.Fatal(size, err)
		}
		stream = stream[size:]
		switch code, _, fields, _ := ParseStart(payload); code {
		case CodePush:
			p, err := ParsePush(fields)
			if err != nil {
				t.Fatal(err)
			}
			for _, ok := p.Channels.Next(); ok; _, ok = p.Channels.Next() {
			}
			out = AppendPushStatus(AppendSupport(out[:0], id, Supported), id, Pushed)
		case CodePop:
			if _, err := ParsePop(fields); err != nil {
				t.Fatal(err)
			}
			out = append(AppendPoppedPrefix(AppendSupport(out[:0], id, Supported), id, len(payload)), payload...)
		case CodeConsume:
			if _, err := ParseConsume(fields); err != nil {
				t.Fatal(err)
			}
			out = AppendConsumeStatus(AppendSupport(out[:0], id, Supported), id, Started)
		}
	}
}

func TestNothingIsAllocatedPerRequest(t *testing.T) {
	stream := push(1, strings.Repeat("v", 100), "one", "two")
	stream = AppendPop(stream, 2, "one")
	stream = AppendConsume(stream, 3, "one", "subscriber")
	out := make([]byte, 0, 1024)
	if got := testing.AllocsPerRun(100, func() { hotPath(t, stream, out) }); got != 0 {
		t.Errorf("requests: got %v allocations, want 0", got)
	}

	client := records(3, "hello", "", "world")
	got := testing.AllocsPerRun(100, func() {
		_, payload, _, _ := Next(client, 1<<20)
		message, batch, err := ParseConsumeMessage(payload)
		if message != Records || err != nil {
			t.Fatal(message, err)
		}
		for _, ok := batch.Next(); ok; _, ok = batch.Next() {
		}
		out = AppendFeedback(AppendRecordsPrefix(out[:0], 3, 5), 3, Continue)
	})
	if got != 0 {
		t.Errorf("Consume messages: got %v allocations, want 0", got)
	}
}
