package overflow

import (
	"encoding/hex"
	"testing"
)

// Vectors from the fixtures and storage spec §3.4.
func TestHeaderBytes(t *testing.T) {
	for _, v := range []struct {
		h   header
		hex string
	}{
		{header{3, 0, 10}, "0300000000000000" + "0000000000000000" + "0900000000000000" + "0a00000000000000"},
		{header{2, 501, 5}, "0200000000000000" + "f501000000000000" + "f300000000000000" + "0500000000000000"},
		{header{0, 0, 16}, "0000000000000000" + "0000000000000000" + "1000000000000000" + "1000000000000000"},
		{header{1, 75, 5}, "0100000000000000" + "4b00000000000000" + "4f00000000000000" + "0500000000000000"},
		{header{0x01020304, -2, 1 << 63}, "0403020100000000" + "feffffffffffffff" + "8500000000000000" + "0000000000000080"},
	} {
		b := make([]byte, headerSize)
		v.h.put(b)
		if got := hex.EncodeToString(b); got != v.hex {
			t.Errorf("%+v:\n got %s\nwant %s", v.h, got, v.hex)
		}
		if h, ok := parseHeader(b); h != v.h || !ok {
			t.Errorf("parse %s: got %+v, %t, want %+v, true", v.hex, h, ok, v.h)
		}
	}
}

func TestPaddingOfAHeaderIsIgnored(t *testing.T) {
	b := make([]byte, headerSize)
	header{3, 70, 10}.put(b)
	for _, i := range []int{4, 5, 6, 7, 17, 18, 19, 20, 21, 22, 23} {
		b[i] = 0xff
	}
	if h, ok := parseHeader(b); !ok || h != (header{3, 70, 10}) {
		t.Errorf("got %+v, %t", h, ok)
	}
}

func TestAnyOtherByteOfAHeaderMattersForTheParity(t *testing.T) {
	for _, i := range []int{0, 3, 8, 15, 16, 24, 31} {
		b := make([]byte, headerSize)
		header{3, 70, 10}.put(b)
		b[i] ^= 0x10
		if h, ok := parseHeader(b); ok {
			t.Errorf("byte %d changed: accepted as %+v", i, h)
		}
	}
}

// A process can be killed after any byte of a link has been stored. Until the record behind
// it counts, the header must be recognised as that of the newest record.
func TestHeaderOfTheNewestRecordSurvivesAHalfWrittenLink(t *testing.T) {
	for _, next := range []int64{142, 0x1234567, 0x7fffffffffff} {
		var link [linkSize]byte
		header{7, next, 100}.putLink(link[:])
		for written := 0; written <= linkSize; written++ {
			b := make([]byte, headerSize)
			header{7, 0, 100}.put(b)
			copy(b[linkOffset:], link[:written])
			h, ok, intact := parseNewest(b)
			if !ok || h.channel != 7 || h.length != 100 || intact != (written == 0) {
				t.Errorf("next %d, %d bytes written: got %+v, ok %t, intact %t", next, written, h, ok, intact)
			}
		}
	}
}
