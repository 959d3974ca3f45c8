package legacy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
)

// within fails unless part lies in whole: what is decoded is no copy.
func within(t *testing.T, whole, part []byte) {
	t.Helper()
	if len(part) == 0 {
		return
	}
	for i := range whole {
		if &whole[i] == &part[0] {
			if len(part) > len(whole)-i {
				t.Fatalf("%d bytes at %d of %d", len(part), i, len(whole))
			}
			return
		}
	}
	t.Fatalf("%d bytes that are not part of the input", len(part))
}

// encode is the inverse of Decode.
func encode(r Request) []byte {
	b := AppendCommand(nil, r.Command)
	switch r.Command {
	case PushMulti, ProduceMulti:
		for name := range r.Channels.All {
			b = AppendArray(b, name)
		}
		b = append(b, EndMark...)
	case GetNumConnections:
	default:
		b = AppendArray(b, r.Channel)
	}
	if r.Command == Push || r.Command == PushMulti {
		b = AppendArray(b, r.Value)
	}
	return b
}

// FuzzDecode decodes a stream of requests in one piece and in random pieces.
func FuzzDecode(f *testing.F) {
	var all []byte
	for i, test := range requests {
		b := unhex(f, test.hex)
		f.Add(b, uint64(i))
		f.Add(b[:len(b)-1], uint64(i))
		all = append(all, b...)
	}
	f.Add(all, uint64(1))
	for _, text := range []string{
		"00000000", "ffffffff", "0100", "01000000 0100a00000000000 78",
		"01000000 0000a00000000000 78", "09000000 0100000000000000 61 f8ffffffffffffff",
		"0b000000 ffffffffffffffff", "0b000000 0100000000000000 61 ffffffffffffff7f",
	} {
		f.Add(unhex(f, text), uint64(2))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		for rest := stream; ; {
			var r Request
			n, err := new(Decoder).Decode(rest, &r)
			switch {
			case n < 0 || n > len(rest):
				t.Fatalf("%d of %d bytes", n, len(rest))
			case err != nil:
				checkError(t, rest, r, n, err)
			case n > 0:
				within(t, rest, r.Channel)
				within(t, rest, r.Channels.encoded)
				within(t, rest, r.Value)
				if again := encode(r); !bytes.Equal(again, rest[:n]) {
					t.Fatalf("encoded again: got % x, want % x", again, rest[:n])
				}
			}
			decodeInPieces(t, random, rest, r, n, err)
			if n == 0 || err != nil {
				return
			}
			rest = rest[n:]
		}
	})
}

func checkError(t *testing.T, b []byte, r Request, n int, err error) {
	t.Helper()
	var long *TooLongError
	switch {
	case err == ErrCommand || err == ErrNames:
	case errors.As(err, &long):
		if n < CodeSize+LengthSize || binary.LittleEndian.Uint64(b[n-LengthSize:]) != long.Length || long.Length <= MaxArray || long.Command != r.Command {
			t.Fatalf("%+v at %d, which is not the length there", long, n)
		}
	default:
		t.Fatalf("undocumented error %v", err)
	}
}

// decodeInPieces checks that the input, arriving in random pieces, gives the same result
// as in one, and never earlier than all of it is there.
func decodeInPieces(t *testing.T, random *rand.Rand, b []byte, want Request, wantN int, wantErr error) {
	t.Helper()
	var d Decoder
	most := 1 + random.IntN(len(b)+1)
	for size := 0; ; size = min(len(b), size+random.IntN(most)+1) {
		var r Request
		n, err := d.Decode(b[:size], &r)
		if n == 0 && err == nil && size < len(b) {
			continue
		}
		if n != wantN || !sameError(err, wantErr) || n > size {
			t.Fatalf("at %d of %d bytes: %d, %v, want %d, %v as in one piece", size, len(b), n, err, wantN, wantErr)
		}
		if n > 0 && err == nil {
			if show(r) != show(want) {
				t.Fatalf("got %s, want %s as in one piece", show(r), show(want))
			}
			if d != (Decoder{}) {
				t.Fatalf("the decoder still remembers %+v", d)
			}
		}
		return
	}
}

func sameError(a, b error) bool {
	var x, y *TooLongError
	if errors.As(a, &x) && errors.As(b, &y) {
		return *x == *y
	}
	return a == b
}

// Announced lengths cost no memory: nothing but an error is ever allocated.
func FuzzDecodeAllocatesNothing(f *testing.F) {
	for _, test := range requests {
		f.Add(unhex(f, test.hex))
	}
	f.Add(unhex(f, "01000000 0000a00000000000"))
	f.Add(unhex(f, "09000000 0000a00000000000"))
	f.Add(unhex(f, "0b000000 0100000000000000 61 ffffffffffffffff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Decoder
		var r Request
		var err error
		got := testing.AllocsPerRun(10, func() {
			d = Decoder{}
			_, err = d.Decode(b, &r)
			DecodeRecords(b)
		})
		most := 0.0
		if err != nil {
			most = 1
		}
		if got > most {
			t.Errorf("%v allocations, %v, want at most %v", got, err, most)
		}
	})
}

// FuzzRecords decodes a stream of records in one piece and in random pieces.
func FuzzRecords(f *testing.F) {
	for i, text := range []string{
		"", "0200000000000000 7231 0200000000000000 7232 0000000000000000",
		"0400000000000000 66756c6c 0a00000000000000 313233", "0100000000000000 61 0100a00000000000 78",
		"0000000000000000 01", "ffffffffffffffff", "f8ffffffffffffff 00", "0000a00000000000 78",
	} {
		f.Add(unhex(f, text), uint64(i))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		whole := DecodeRecords(stream)
		within(t, stream, whole.Run)
		if len(whole.Run) > 0 && &whole.Run[0] != &stream[0] {
			t.Fatal("the run does not start where the input does")
		}
		count := 0
		var again []byte
		for record := range whole.All {
			payload := record.Run[LengthSize:]
			if len(payload) == 0 || len(payload) > MaxArray {
				t.Fatalf("a record of %d bytes", len(payload))
			}
			again = AppendArray(again, payload)
			count++
		}
		if count != whole.Count || !bytes.Equal(again, whole.Run) {
			t.Fatalf("%d records, want %d", count, whole.Count)
		}
		rest := stream[len(whole.Run):]
		announced := uint64(0)
		if len(rest) >= LengthSize {
			announced = binary.LittleEndian.Uint64(rest)
		}
		switch {
		case whole.End != (len(rest) >= LengthSize && announced == 0),
			whole.TooLong > 0 != (announced > MaxArray), whole.TooLong > 0 && whole.TooLong != announced,
			announced > 0 && announced <= MaxArray && uint64(len(rest)) >= LengthSize+announced:
			t.Fatalf("end %v, too long %d, stopped before % x", whole.End, whole.TooLong, rest[:min(len(rest), 20)])
		}

		random := rand.New(rand.NewPCG(seed, 0))
		var got []byte
		count = 0
		for start, size := 0, 0; ; {
			size = min(len(stream), size+random.IntN(len(stream)+1)+1)
			r := DecodeRecords(stream[start:size])
			got, count, start = append(got, r.Run...), count+r.Count, start+len(r.Run)
			if size == len(stream) || r.End || r.TooLong > 0 {
				if r.End != whole.End || r.TooLong != whole.TooLong {
					t.Fatalf("in pieces: end %v, too long %d, want %v, %d", r.End, r.TooLong, whole.End, whole.TooLong)
				}
				break
			}
		}
		if count != whole.Count || !bytes.Equal(got, whole.Run) {
			t.Fatalf("in pieces: %d records, want %d", count, whole.Count)
		}
	})
}
