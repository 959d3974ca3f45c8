package legacy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// A batch is whole records, whatever the reads are that they come in; and what ends a stream comes
// behind them.
func TestReadBatch(t *testing.T) {
	large := strings.Repeat("x", maxBatch+1)
	tooLarge := string(appendLength(nil, make([]byte, MaxValue+1)))
	tests := map[string]struct {
		records []string
		end     string
		want    error
	}{
		"small":           {[]string{"a", "bc", "def"}, "", io.ErrUnexpectedEOF},
		"large":           {[]string{"a", large, "b", large[1+wire.LengthSize:], "c"}, "", io.ErrUnexpectedEOF},
		"removed":         {[]string{"a", "bc"}, string(wire.EndMark), ErrChannelRemoved},
		"cut":             {[]string{"a"}, "\x02\x00\x00\x00\x00\x00\x00\x00b", io.ErrUnexpectedEOF},
		"cut in a length": {[]string{"a"}, "\x02\x00", io.ErrUnexpectedEOF},
		"too large":       {[]string{"a", "b"}, tooLarge, ErrValueTooBig},
	}
	readers := map[string]func(io.Reader) io.Reader{
		"whole":    func(r io.Reader) io.Reader { return r },
		"halves":   iotest.HalfReader,
		"one byte": iotest.OneByteReader,
	}
	for name, test := range tests {
		for size, reader := range readers {
			t.Run(name+"/"+size, func(t *testing.T) {
				var stream []byte
				for _, record := range test.records {
					stream = append(appendLength(stream, []byte(record)), record...)
				}
				stream = append(stream, test.end...)
				in := bufio.NewReaderSize(reader(bytes.NewReader(stream)), maxBatch)
				var got []string
				batch, err := readBatch(in)
				for ; err == nil; batch, err = readBatch(in) {
					records, err := neo.ParseArrays(batch)
					if err != nil || len(batch) == 0 {
						t.Fatalf("got a batch of %d bytes that is not whole records: %v", len(batch), err)
					}
					for record := range records.All {
						got = append(got, string(record))
					}
				}
				if !errors.Is(err, test.want) {
					t.Errorf("got error %v, want %v", err, test.want)
				}
				if strings.Join(got, " ") != strings.Join(test.records, " ") {
					t.Errorf("got %d records %.40q, want %d %.40q", len(got), got, len(test.records), test.records)
				}
			})
		}
	}
}
