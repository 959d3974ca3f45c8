package neo

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestHeaderIsCheckedForParityAndThenType(t *testing.T) {
	for _, c := range []struct {
		rule, hex string
		want      error
	}{
		{"parity 0 instead of 08", "01 0900000000000000 00", ErrParity},
		{"one bit of the length flipped", "01 0901000000000000 08", ErrParity},
		{"wrong type and wrong parity", "03 0900000000000000 08", ErrParity},
		{"type 0", "00 0900000000000000 09", ErrType},
		{"type 3", "03 0900000000000000 0a", ErrType},
		{"type ff", "ff 0900000000000000 f6", ErrType},
		{"9 bytes", "01 0900000000000000", ErrLength},
		{"nothing", "", ErrLength},
	} {
		if h, err := ParseHeader(fromHex(t, c.hex)); !errors.Is(err, c.want) || h != (Header{}) {
			t.Errorf("%s: got %v, %v, want %v", c.rule, h, err, c.want)
		}
	}
}

func TestRequestFramesAreCheckedAtTheHeader(t *testing.T) {
	for _, c := range []struct {
		rule    string
		header  Header
		maxBody uint64
		want    error
	}{
		{"an authentication frame", Header{TypeAuthentication, 8}, 1 << 20, ErrType},
		{"no room for the id", Header{TypeRequest, 7}, 1 << 20, ErrLength},
		{"empty body", Header{TypeRequest, 0}, 1 << 20, ErrLength},
		{"one more than the limit", Header{TypeRequest, 1001}, 1000, ErrLength},
		{"2^40", Header{TypeRequest, 1 << 40}, 1 << 30, ErrLength},
		{"2^63", Header{TypeRequest, 1 << 63}, math.MaxUint64, ErrLength},
		{"2^64-1", Header{TypeRequest, math.MaxUint64}, math.MaxUint64, ErrLength},
		{"2^64-10, which with its header makes 0", Header{TypeRequest, math.MaxUint64 - 9}, math.MaxUint64, ErrLength},
		{"2^63-10, which with its header is no int", Header{TypeRequest, 1<<63 - 10}, math.MaxUint64, ErrLength},
		{"a limit that allows nothing", Header{TypeRequest, 8}, 0, ErrLength},
	} {
		_, _, size, err := Next(AppendHeader(nil, c.header), c.maxBody)
		if !errors.Is(err, c.want) || size != 0 {
			t.Errorf("%s: got size %d, %v, want %v", c.rule, size, err, c.want)
		}
	}
}

func TestRequestID0IsAnError(t *testing.T) {
	if _, _, _, err := Next(AppendSupport(nil, 0, Supported), 1<<20); !errors.Is(err, ErrRequestID) {
		t.Errorf("got %v, want %v", err, ErrRequestID)
	}
}

func TestPayloadMayBeEmpty(t *testing.T) {
	id, payload, size, err := Next(AppendFramePrefix(nil, 9, 0), MinFrameBody)
	if id != 9 || len(payload) != 0 || size != FramePrefixSize || err != nil {
		t.Errorf("got %d, % x, %d, %v, want 9, nothing, %d", id, payload, size, err, FramePrefixSize)
	}
}

func TestABodyAsLongAsTheLimitIsAllowed(t *testing.T) {
	frame := append(AppendFramePrefix(nil, 1, 992), make([]byte, 992)...)
	if _, payload, _, err := Next(frame, 1000); len(payload) != 992 || err != nil {
		t.Errorf("got %d bytes of payload, %v, want 992", len(payload), err)
	}
}

func TestNextTellsHowManyBytesAreNeeded(t *testing.T) {
	for _, m := range messages {
		frame := fromHex(t, m.hex)
		for n := range frame {
			want := len(frame)
			if n < HeaderSize {
				want = HeaderSize
			}
			id, payload, size, err := Next(frame[:n], 1<<20)
			if id != 0 || payload != nil || size != want || err != nil {
				t.Fatalf("%s, %d of %d bytes: got %d, % x, %d, %v, want 0, nothing, %d",
					m.name, n, len(frame), id, payload, size, err, want)
			}
		}
	}
}

func TestFramesAreFoundHoweverTheStreamIsSplit(t *testing.T) {
	var stream []byte
	for _, m := range messages {
		stream = append(stream, fromHex(t, m.hex)...)
	}
	for chunk := 1; chunk <= len(stream); chunk++ {
		var buf, got []byte
		frames := 0
		for in := stream; len(in) > 0; {
			n := min(chunk, len(in))
			buf = append(buf, in[:n]...)
			in = in[n:]
			for {
				_, _, size, err := Next(buf, 1<<20)
				if err != nil {
					t.Fatalf("chunks of %d bytes: %v", chunk, err)
				}
				if size > len(buf) {
					break
				}
				got = append(got, buf[:size]...)
				buf = buf[size:]
				frames++
			}
		}
		if frames != len(messages) || !bytes.Equal(got, stream) {
			t.Fatalf("chunks of %d bytes: got %d frames, want %d", chunk, frames, len(messages))
		}
	}
}

func TestPayloadCannotGrowIntoTheNextFrame(t *testing.T) {
	stream := append(AppendSupport(nil, 1, Supported), AppendSupport(nil, 2, Supported)...)
	_, payload, size, _ := Next(stream, 100)
	_ = append(payload, 0xee)
	if stream[size] != byte(TypeRequest) {
		t.Errorf("appending to a payload overwrote the next frame")
	}
}

func TestErrorsNameWhatWasFoundAndWhatIsAllowed(t *testing.T) {
	_, _, _, err := Next(AppendHeader(nil, Header{TypeRequest, 1 << 40}), 1000)
	for _, part := range []string{"1099511627776", "8 to 1000"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want it to contain %q", err, part)
		}
	}
}
