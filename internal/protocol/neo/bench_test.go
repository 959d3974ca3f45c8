package neo

import (
	"strings"
	"testing"
)

var value100 = strings.Repeat("v", 100)

// BenchmarkNext splits frames of Push with 100-byte values off a full read buffer.
func BenchmarkNext(b *testing.B) {
	var stream []byte
	for len(stream) < 64<<10 {
		stream = append(stream, push(1, value100, "channel")...)
	}
	b.ReportAllocs()
	frames := 0
	rest := stream
	for b.Loop() {
		_, _, size, err := Next(rest, 1<<26)
		if err != nil {
			b.Fatal(err)
		}
		if rest = rest[size:]; len(rest) == 0 {
			rest = stream
		}
		frames++
	}
}

func BenchmarkParsePush(b *testing.B) {
	_, payload, _, err := Next(push(1, value100, "channel"), 1<<26)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _, fields, err := ParseStart(payload)
		if err != nil {
			b.Fatal(err)
		}
		p, err := ParsePush(fields)
		if err != nil {
			b.Fatal(err)
		}
		for _, ok := p.Channels.Next(); ok; _, ok = p.Channels.Next() {
		}
	}
}

// BenchmarkAppendPushReply encodes the two frames that answer a Push.
func BenchmarkAppendPushReply(b *testing.B) {
	out := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		out = AppendPushStatus(AppendSupport(out[:0], 1, Supported), 1, Pushed)
	}
}

func BenchmarkAppendPoppedPrefix(b *testing.B) {
	out, value := make([]byte, 0, 256), []byte(value100)
	b.ReportAllocs()
	for b.Loop() {
		out = append(AppendPoppedPrefix(AppendSupport(out[:0], 1, Supported), 1, len(value)), value...)
	}
}

func BenchmarkAppendRecordsPrefix(b *testing.B) {
	out := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		out = AppendRecordsPrefix(out[:0], 1, MinBatch)
	}
}

func BenchmarkAppendPush(b *testing.B) {
	out, channels, value := make([]byte, 0, 256), []string{"channel"}, []byte(value100)
	b.ReportAllocs()
	for b.Loop() {
		out, _ = AppendPush(out[:0], 1, channels, value)
	}
}

// BenchmarkBatch decodes a full batch of 100-byte records and goes over it.
func BenchmarkBatch(b *testing.B) {
	values := make([]string, MinBatch/108+1)
	for i := range values {
		values[i] = value100
	}
	_, payload, _, err := Next(records(1, values...), 1<<26)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		_, batch, err := ParseConsumeMessage(payload)
		if err != nil {
			b.Fatal(err)
		}
		for _, ok := batch.Next(); ok; _, ok = batch.Next() {
		}
	}
}

// BenchmarkHandshake is the whole of the node's side, for what a connection costs.
func BenchmarkHandshake(b *testing.B) {
	a := authentications[0]
	client := login(a.client, a.key, a.timestamp, a.nonce)
	out := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		h := a.node()
		if _, _, done, err := h.Step(client, out[:0]); !done {
			b.Fatal(err)
		}
	}
}
