package main

import (
	"bytes"
	"testing"
)

func TestWalkerCountsCompleteRecordsHoweverTheyAreSplit(t *testing.T) {
	for _, size := range []int{1, 7, 8, 9, 100} {
		stream := appendRecords(nil, size, 5)
		for cut := 1; cut <= len(stream); cut++ {
			w := walker{size: uint64(size)}
			for start := 0; start < len(stream); start += cut {
				end := min(start+cut, len(stream))
				taken, ended, err := w.walk(stream[start:end])
				if taken != end-start || ended || err != nil {
					t.Fatalf("size %d, pieces of %d: walk = %d, %t, %v; want %d, false, nil", size, cut, taken, ended, err, end-start)
				}
				if want := int64(end / (lengthLen + size)); w.records != want {
					t.Fatalf("size %d, pieces of %d: %d records after %d bytes, want %d", size, cut, w.records, end, want)
				}
				if want := end%(lengthLen+size) == 0; w.atBoundary() != want {
					t.Fatalf("size %d, pieces of %d: boundary after %d bytes: %t, want %t", size, cut, end, w.atBoundary(), want)
				}
			}
		}
	}
}

func TestWalkerStopsBehindTheZeroLengthArray(t *testing.T) {
	stream := append(appendRecords(nil, 3, 2), endOfStream...)
	behind := []byte{8, 0, 0, 0}
	for split := range len(stream) {
		w := walker{size: 3}
		if _, ended, err := w.walk(stream[:split]); ended || err != nil {
			t.Fatalf("split at %d: first piece: ended %t, %v", split, ended, err)
		}
		taken, ended, err := w.walk(append(bytes.Clone(stream[split:]), behind...))
		if taken != len(stream)-split || !ended || err != nil {
			t.Errorf("split at %d: walk = %d, %t, %v; want %d, true, nil", split, taken, ended, err, len(stream)-split)
		}
		if w.records != 2 {
			t.Errorf("split at %d: %d records, want 2", split, w.records)
		}
	}
}

func TestWalkerRefusesAnotherLength(t *testing.T) {
	for _, split := range []int{0, 1, 7} {
		stream := appendRecords(appendRecords(nil, 3, 1), 4, 1)
		first := lengthLen + 3 + split
		w := walker{size: 3}
		_, _, err := w.walk(stream[:first])
		if err == nil {
			_, _, err = w.walk(stream[first:])
		}
		if want := "record 2 has 4 bytes, want 3"; err == nil || err.Error() != want {
			t.Errorf("length split at %d: error %v, want %s", split, err, want)
		}
	}
}

func TestAnswerMustBeTheOneExpected(t *testing.T) {
	ok := appendCode(appendCode(nil, statusOk), statusOk)
	if err := checkAnswer([]byte{200, 0, 0, 0, 200}, ok[:5]); err != nil {
		t.Errorf("200: %v", err)
	}
	want := "answer f4 01 00 00, want c8 00 00 00"
	if err := checkAnswer(appendCode(nil, 500), ok[:4]); err == nil || err.Error() != want {
		t.Errorf("500: error %v, want %s", err, want)
	}
}
