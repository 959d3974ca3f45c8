package neo

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// The messages in docs/protocol.md.
func TestQuestionVectors(t *testing.T) {
	for _, c := range []struct {
		question Question
		hex      string
	}{
		{Question{CodeListQueues, [][]byte{[]byte("job*"), nil}, []uint64{100}},
			"80 01 | 0400000000000000 6a6f622a | 0000000000000000 | 6400000000000000"},
		{Question{CodeQueueInfo, [][]byte{[]byte("s@jobs")}, nil}, "81 01 | 0600000000000000 73406a6f6273"},
		{Question{CodePeek, [][]byte{[]byte("jobs")}, []uint64{0, 2, 1000}},
			"82 01 | 0400000000000000 6a6f6273 | 0000000000000000 0200000000000000 e803000000000000"},
		{Question{CodeClients, [][]byte{nil}, nil}, "83 01 | 0000000000000000"},
		{Question{CodeDisconnect, nil, []uint64{7}}, "84 01 | 0700000000000000"},
		{Question{CodeClear, [][]byte{[]byte("jobs")}, nil}, "85 01 | 0400000000000000 6a6f6273"},
		{Question{CodeRemoveSubscriber, [][]byte{[]byte("s@jobs")}, []uint64{RemoveIfUnused}},
			"86 01 | 0600000000000000 73406a6f6273 | 0100000000000000"},
		{Question{CodeRemoveChannel, [][]byte{[]byte("jobs")}, nil}, "87 01 | 0400000000000000 6a6f6273"},
		{Question{CodePause, [][]byte{[]byte("jobs")}, nil}, "88 01 | 0400000000000000 6a6f6273"},
		{Question{CodeResume, [][]byte{[]byte("jobs")}, nil}, "89 01 | 0400000000000000 6a6f6273"},
	} {
		payload := fromHex(t, c.hex)
		if got := AppendQuestion(nil, 1, c.question)[FramePrefixSize:]; !bytes.Equal(got, payload) {
			t.Errorf("%s: encoded as % x, want % x", QuestionName(c.question.Code), got, payload)
		}
		code, version, fields, err := ParseStart(payload)
		if err != nil || Supports(code, version) != Supported {
			t.Errorf("%s: support %02x, %v", QuestionName(code), Supports(code, version), err)
		}
		got, err := ParseQuestion(code, fields)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.question) {
			t.Errorf("%s: decoded as %v, %v, want %v", QuestionName(code), got, err, c.question)
		}
		for n := range fields {
			if got, err := ParseQuestion(code, fields[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s, %d of %d bytes: %v, %v", QuestionName(code), n, len(fields), got, err)
			}
		}
		if got, err := ParseQuestion(code, append(slices.Clone(fields), 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s, one byte too many: %v, %v", QuestionName(code), got, err)
		}
	}
}

func TestAnswerVectors(t *testing.T) {
	payload := fromHex(t, "03 | 0500000000000000 6f68206e6f")
	b := append(AppendAnswerPrefix(nil, 1, QuestionUnknown, 5), "oh no"...)
	if got := b[FramePrefixSize:]; !bytes.Equal(got, payload) {
		t.Errorf("encoded as % x, want % x", got, payload)
	}
	status, body, err := ParseAnswer(payload)
	if status != QuestionUnknown || string(body) != "oh no" || err != nil {
		t.Errorf("decoded as %d, %q, %v", status, body, err)
	}
	for n := range payload {
		if _, _, err := ParseAnswer(payload[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d of %d bytes: %v", n, len(payload), err)
		}
	}

	records := []PeekRecord{
		{PeekUnconfirmed, 1, []byte("a")}, {PeekReturned | PeekCut, 4, []byte("bc")}, {0, 0, []byte{}},
	}
	payload = fromHex(t, "01 0100000000000000 0100000000000000 61 | 06 0400000000000000 0200000000000000 6263 | 00 0000000000000000 0000000000000000")
	var encoded []byte
	for _, r := range records {
		encoded = AppendPeekRecord(encoded, r)
	}
	if !bytes.Equal(encoded, payload) {
		t.Errorf("records encoded as % x, want % x", encoded, payload)
	}
	if got, err := ParsePeekRecords(payload); err != nil || fmt.Sprint(got) != fmt.Sprint(records) {
		t.Errorf("records decoded as %v, %v, want %v", got, err, records)
	}
	for _, hex := range []string{
		"00", "00 0100000000000000 0000000000000000", "04 0100000000000000 0100000000000000 61",
		"00 0100000000000000 0200000000000000 6161", "00 0100000000000000 ffffffffffffffff 61",
	} {
		if got, err := ParsePeekRecords(fromHex(t, hex)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %v", hex, got, err)
		}
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add(uint8(128), fromHex(f, "0400000000000000 6a6f622a | 0000000000000000 | 6400000000000000"))
	f.Add(uint8(132), fromHex(f, "0700000000000000"))
	f.Fuzz(func(t *testing.T, code uint8, fields []byte) {
		q, err := ParseQuestion(Code(code), fields)
		if err != nil {
			reason(t, err)
			return
		}
		if got := AppendQuestion(nil, 1, q)[FramePrefixSize+startSize:]; !bytes.Equal(got, fields) {
			t.Errorf("code %d: % x becomes % x", code, fields, got)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(fromHex(f, "01 | 0300000000000000 616263"))
	f.Add(fromHex(f, "01 0100000000000000 0100000000000000 61 | 06 0400000000000000 0200000000000000 6263"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if status, body, err := ParseAnswer(b); err != nil {
			reason(t, err)
		} else if got := append(AppendAnswerPrefix(nil, 1, status, len(body)), body...)[FramePrefixSize:]; !bytes.Equal(got, b) {
			t.Errorf("% x becomes % x", b, got)
		}
		if records, err := ParsePeekRecords(b); err != nil {
			reason(t, err)
		} else {
			var got []byte
			for _, r := range records {
				got = AppendPeekRecord(got, r)
			}
			if !bytes.Equal(got, b) {
				t.Errorf("% x becomes % x", b, got)
			}
		}
	})
}
