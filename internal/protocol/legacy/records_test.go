package legacy

import (
	"bytes"
	"testing"
)

func TestDecodeRecords(t *testing.T) {
	for _, test := range []struct {
		rule, hex string
		run       int // bytes
		count     int
		end       bool
		tooLong   uint64
	}{
		{"nothing", "", 0, 0, false, 0},
		{"one (V21)", "0200000000000000 7231", 10, 1, false, 0},
		{"two (V21)", "0200000000000000 7231 0200000000000000 7232", 20, 2, false, 0},
		{"the end (V21)", "0000000000000000", 0, 0, true, 0},
		{"two and the end (V24)", "0200000000000000 7231 0200000000000000 7232 0000000000000000", 20, 2, true, 0},
		{"a request behind the end (V42)", "0100000000000000 61 0000000000000000 02000000 0200000000000000 706e", 9, 1, true, 0},
		{"an incomplete one (O10)", "0400000000000000 66756c6c 0a00000000000000 313233", 12, 1, false, 0},
		{"an incomplete length", "0100000000000000 61 01000000000000", 9, 1, false, 0},
		{"only a length", "0100000000000000", 0, 0, false, 0},
		{"10 MiB (O01)", "0000a00000000000 78*10485760", 10485768, 1, false, 0},
		{"10 MiB incomplete", "0000a00000000000 78*10485759", 0, 0, false, 0},
		{"one byte more, known from the length (O06)", "0100000000000000 61 0100a00000000000", 9, 1, false, MaxArray + 1},
		{"one byte more, with its bytes", "0100000000000000 61 0100a00000000000 78*100", 9, 1, false, MaxArray + 1},
		{"2^63 bytes", "0000000000000080", 0, 0, false, 1 << 63},
		{"2^64-8 bytes", "f8ffffffffffffff 00", 0, 0, false, 1<<64 - 8},
		{"2^64-1 bytes", "ffffffffffffffff 00", 0, 0, false, 1<<64 - 1},
	} {
		b := unhex(t, test.hex)
		r := DecodeRecords(b)
		if len(r.Run) != test.run || !bytes.Equal(r.Run, b[:test.run]) || r.Count != test.count || r.End != test.end || r.TooLong != test.tooLong {
			t.Errorf("%s: %d records in %d bytes, end %v, too long %d, want %d in %d, %v, %d",
				test.rule, r.Count, len(r.Run), r.End, r.TooLong, test.count, test.run, test.end, test.tooLong)
		}
		at := 0
		for record := range r.All {
			if record.Count != 1 || record.End || record.TooLong != 0 || !bytes.Equal(record.Run, b[at:at+len(record.Run)]) {
				t.Errorf("%s: record at %d: %+v", test.rule, at, record)
			}
			at += len(record.Run)
		}
		if at != test.run {
			t.Errorf("%s: all records have %d bytes, want %d", test.rule, at, test.run)
		}
	}
}

// However a stream is cut, the same records come out.
func TestSplitRecords(t *testing.T) {
	stream := unhex(t, "0200000000000000 7231 0100000000000000 00 0300000000000000 616263 0000000000000000")
	for cut := range len(stream) + 1 {
		var got []byte
		count := 0
		first := DecodeRecords(stream[:cut])
		got, count = append(got, first.Run...), count+first.Count
		if first.End != (cut == len(stream)) {
			t.Errorf("cut at %d: end %v", cut, first.End)
		}
		second := DecodeRecords(stream[len(first.Run):])
		got, count = append(got, second.Run...), count+second.Count
		if !second.End || count != 3 || !bytes.Equal(got, stream[:len(stream)-LengthSize]) {
			t.Errorf("cut at %d: %d records, % x, end %v, want 3 and the end", cut, count, got, second.End)
		}
	}
}

func TestAllRecordsStopsWhenTold(t *testing.T) {
	r := DecodeRecords(unhex(t, "0100000000000000 61 0100000000000000 62"))
	for record := range r.All {
		if string(record.Run[LengthSize:]) != "a" {
			t.Errorf("went on after break: % x", record.Run)
		}
		break
	}
}
