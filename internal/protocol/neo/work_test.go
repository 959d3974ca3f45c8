package neo

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// The messages in docs/protocol.md: what a client and a node say in a PopWait and a Work.
var workVectors = []struct {
	name, hex string
	encode    func() []byte
	decode    func(payload []byte) (string, error)
	want      string
}{
	{"PopWait from jobs, 1.5 seconds", "8a 01 | 0400000000000000 6a6f6273 | 0000000000000000 | dc05000000000000",
		func() []byte { return AppendPopWait(nil, 1, "jobs", "", 1500) }, firstOfOurs, `PopWait jobs "" 1500`},
	{"Work of jobs for s, a record a batch, 2 batches", `8b 01 | 0400000000000000 6a6f6273 | 0100000000000000 73 |
		0100000000000000 0000000000000000 0200000000000000`,
		func() []byte { return AppendWork(nil, 1, "jobs", "s", 1, 0, 2) }, firstOfOurs, `Work jobs "s" 1 0 2`},
	{"Records: batch 7, tried twice, a and the empty record", `03 | 0700000000000000 0200000000000000 | 1100000000000000 |
		0100000000000000 61 | 0000000000000000`,
		func() []byte { return job(1, 7, 2, "a", "") }, workMessage, `03 7 2 [a ]`},
	{"Confirm batch 7", "f1 | 0700000000000000",
		func() []byte { return AppendSettling(nil, 1, Settling{Confirm, 7, 0}) }, settling, "f1 7 0"},
	{"Return batch 7, in a second", "f2 | 0700000000000000 | e803000000000000",
		func() []byte { return AppendSettling(nil, 1, Settling{Return, 7, 1000}) }, settling, "f2 7 1000"},
	{"Release batch 7", "f3 | 0700000000000000",
		func() []byte { return AppendSettling(nil, 1, Settling{Release, 7, 0}) }, settling, "f3 7 0"},
}

func job(id, number, tries uint64, values ...string) []byte {
	var batch []byte
	for _, value := range values {
		batch = appendArray(batch, value)
	}
	return append(AppendBatchPrefix(nil, id, number, tries, len(batch)), batch...)
}

func firstOfOurs(payload []byte) (string, error) {
	code, version, fields, err := ParseStart(payload)
	if err == nil && Supports(code, version) != Supported {
		err = fmt.Errorf("support status %x", Supports(code, version))
	}
	if err != nil {
		return "", err
	}
	if code == CodePopWait {
		p, err := ParsePopWait(fields)
		return fmt.Sprintf("PopWait %s %q %d", p.Channel, p.Subscriber, p.Milliseconds), err
	}
	w, err := ParseWork(fields)
	return fmt.Sprintf("Work %s %q %d %d %d", w.Channel, w.Subscriber, w.Records, w.Bytes, w.Batches), err
}

func workMessage(payload []byte) (string, error) {
	m, b, err := ParseWorkMessage(payload)
	return fmt.Sprintf("%02x %d %d %v", m, b.Number, b.Tries, list(b.Records)), err
}

func settling(payload []byte) (string, error) {
	s, err := ParseSettling(payload)
	return fmt.Sprintf("%x %d %d", uint8(s.Settlement), s.Number, s.Delay), err
}

func TestWorkVectors(t *testing.T) {
	for _, v := range workVectors {
		payload := fromHex(t, v.hex)
		if got := v.encode()[FramePrefixSize:]; !bytes.Equal(got, payload) {
			t.Errorf("%s: encoded as % x, want % x", v.name, got, payload)
		}
		if got, err := v.decode(payload); got != v.want || err != nil {
			t.Errorf("%s: decoded as %s, %v, want %s", v.name, got, err, v.want)
		}
		for n := range payload {
			if got, err := v.decode(payload[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s, first %d of %d bytes: got %s, %v", v.name, n, len(payload), got, err)
			}
		}
		if got, err := v.decode(append(slices.Clone(payload), 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s, one byte too many: got %s, %v", v.name, got, err)
		}
	}
}

// A message about a batch is never the start of a request, because it may cross the end of its Work.
func TestSettlementsAreNoRequests(t *testing.T) {
	for code := range 256 {
		if IsSettlement(Code(code)) && Supports(Code(code), 1) != RequestNotSupported {
			t.Errorf("code %d is both", code)
		}
	}
}

func FuzzWork(f *testing.F) {
	for _, v := range workVectors {
		f.Add(fromHex(f, v.hex))
	}
	f.Add(fromHex(f, "8b01 | ffffffffffffffff 61"))
	f.Add(fromHex(f, "03 | 0700000000000000 0200000000000000 | 0000000000000000"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		same := func(frame []byte, err error) {
			t.Helper()
			if err != nil {
				reason(t, err)
			} else if !bytes.Equal(frame[FramePrefixSize:], payload) {
				t.Errorf("encoded again: got % x, want % x", frame[FramePrefixSize:], payload)
			}
		}
		s, err := ParseSettling(payload)
		same(AppendSettling(nil, 1, s), err)
		if message, b, err := ParseWorkMessage(payload); err != nil {
			reason(t, err)
		} else if message == Records {
			for value := range b.Records.All {
				within(t, payload, value)
			}
			same(job(1, b.Number, b.Tries, list(b.Records)...), nil)
		}
		code, version, fields, err := ParseStart(payload)
		if err != nil || Supports(code, version) != Supported {
			return
		}
		switch code {
		case CodePopWait:
			p, err := ParsePopWait(fields)
			within(t, payload, p.Channel)
			same(AppendPopWait(nil, 1, string(p.Channel), string(p.Subscriber), p.Milliseconds), err)
		case CodeWork:
			w, err := ParseWork(fields)
			within(t, payload, w.Subscriber)
			same(AppendWork(nil, 1, string(w.Channel), string(w.Subscriber), w.Records, w.Bytes, w.Batches), err)
		}
	})
}
