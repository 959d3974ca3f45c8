package legacy

import (
	"bytes"
	"testing"
)

// BenchmarkDecode decodes requests as they come pipelined. It allocates nothing.
func BenchmarkDecode(b *testing.B) {
	value := bytes.Repeat([]byte("v"), 100)
	push := AppendArray(AppendArray(AppendCommand(nil, Push), "channel"), value)
	multi := AppendCommand(nil, PushMulti)
	for range 10 {
		multi = AppendArray(multi, "channel")
	}
	multi = AppendArray(append(multi, EndMark...), value)
	for _, test := range []struct {
		name string
		one  []byte
	}{
		{"Push", push},
		{"Pop", AppendArray(AppendCommand(nil, Pop), "channel")},
		{"PushMulti", multi},
	} {
		b.Run(test.name, func(b *testing.B) {
			const pipelined = 64
			input := bytes.Repeat(test.one, pipelined)
			var d Decoder
			var r Request
			if got := testing.AllocsPerRun(100, func() { decodeAll(b, &d, &r, input) }); got != 0 {
				b.Errorf("%v allocations for %d requests, want 0", got, pipelined)
			}
			b.SetBytes(int64(len(test.one)))
			b.ReportAllocs()
			for i := 0; i < b.N; i += pipelined {
				decodeAll(b, &d, &r, input)
			}
		})
	}
}

func decodeAll(b testing.TB, d *Decoder, r *Request, input []byte) {
	for len(input) > 0 {
		n, err := d.Decode(input, r)
		if n == 0 || err != nil {
			b.Fatal(n, err)
		}
		input = input[n:]
	}
}

// BenchmarkDecodeRecords looks for the end of the records of one read.
func BenchmarkDecodeRecords(b *testing.B) {
	record := AppendArray(nil, bytes.Repeat([]byte("r"), 100))
	const records = 2000
	input := bytes.Repeat(record, records)
	if got := testing.AllocsPerRun(100, func() { DecodeRecords(input) }); got != 0 {
		b.Errorf("%v allocations, want 0", got)
	}
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	for i := 0; i < b.N; i += records {
		if r := DecodeRecords(input); r.Count != records {
			b.Fatalf("%d records, want %d", r.Count, records)
		}
	}
}

// Decoding a request or a run of records allocates nothing.
func TestDecodingAllocatesNothing(t *testing.T) {
	for _, test := range requests {
		input := unhex(t, test.hex)
		var d Decoder
		var r Request
		got := testing.AllocsPerRun(100, func() {
			decodeAll(t, &d, &r, input)
			d.Decode(input[:len(input)-1], &r)
			for range r.Channels.All {
			}
			DecodeRecords(input)
		})
		if got != 0 {
			t.Errorf("%s: %v allocations, want 0", test.vector, got)
		}
	}
}
