package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// Frames that answer Pops on the ids 1 to 3, by name: the id, and s for the support
// status, v for a value, e for empty, x for an error of the node.
func frames(t *testing.T, names string) (stream []byte) {
	t.Helper()
	for name := range strings.FieldsSeq(names) {
		id := uint64(name[0] - '0')
		switch name[1:] {
		case "s":
			stream = neo.AppendSupport(stream, id, neo.Supported)
		case "v":
			stream = append(neo.AppendPoppedPrefix(stream, id, 5), newRecord(5)...)
		case "e":
			stream = neo.AppendPopStatus(stream, id, neo.PopEmpty)
		case "x":
			stream = neo.AppendPopStatus(stream, id, neo.PopError)
		default:
			t.Fatalf("no frame %q", name)
		}
	}
	return stream
}

// popAnswers are answers to Pops of 5 bytes on three ids.
func popAnswers() *answers {
	a := newAnswersTo(3, append(neo.AppendPoppedPrefix(nil, 0, 5), newRecord(5)...), neo.AppendPopStatus(nil, 0, neo.PopEmpty))
	a.sent()
	return a
}

func TestAnswersMayComeInAnyOrderAndHoweverTheyAreSplit(t *testing.T) {
	for _, order := range []string{"1s 1v 2s 2v 3s 3e", "3s 2s 1s 1e 3v 2v", "2s 3s 2v 1s 3e 1v"} {
		stream := frames(t, order)
		for cut := range stream {
			a := popAnswers()
			taken, err := a.take(stream[:cut])
			if err != nil {
				t.Fatalf("%s, first %d bytes: %v", order, cut, err)
			}
			if a.inFlight == 0 {
				t.Fatalf("%s, first %d bytes: nothing in flight any more", order, cut)
			}
			more, err := a.take(stream[taken:])
			if err != nil || taken+more != len(stream) || a.inFlight != 0 || !slices.Equal(a.ended, []int64{2, 1}) {
				t.Errorf("%s, split at %d: took %d of %d, %d in flight, ended %v, %v; want all, 0, [2 1], no error",
					order, cut, taken+more, len(stream), a.inFlight, a.ended, err)
			}
		}
	}
}

func TestAnswersThatAreWrongAreNoticed(t *testing.T) {
	otherValue := frames(t, "1s 1v")
	otherValue[len(otherValue)-1]++
	otherParity := frames(t, "1s")
	otherParity[neo.HeaderSize-1]++
	otherLastParity := frames(t, "1s 1v")
	otherLastParity[byteFrame+neo.HeaderSize-1]++
	for _, c := range []struct {
		what   string
		stream []byte
		want   string
	}{
		{"an id never used", frames(t, "4s"), "on id 4, which is not in flight"},
		{"id 0", frames(t, "0s"), "on id 0, which is not in flight"},
		{"a frame behind the last", frames(t, "1s 1v 1s"), "on id 1, which is not in flight"},
		{"no support status", frames(t, "1e"), "on id 1, want 01 09 00 00 00 00 00 00 00 08 00 00 00 00 00 00 00 00 fd"},
		{"two support statuses", frames(t, "1s 1s"), "on id 1, want"},
		{"an error", frames(t, "1s 1x"), "on id 1, want"},
		{"not supported", neo.AppendSupport(nil, 1, neo.VersionNotSupported), "on id 1, want"},
		{"a value of another size", append(neo.AppendPoppedPrefix(frames(t, "1s"), 1, 6), newRecord(6)...), "on id 1, want"},
		{"another value", otherValue, "on id 1, want"},
		{"another parity", otherParity, "on id 1, want"},
		{"another parity at the end", otherLastParity, "on id 1, want"},
	} {
		if _, err := popAnswers().take(c.stream); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.what, err, c.want)
		}
	}
}

func TestBatchMustBeginAsAnnounced(t *testing.T) {
	prefix := neo.AppendRecordsPrefix(nil, consumeID, 1234)
	if size, err := batchSize(prefix, consumeID); size != 1234 || err != nil {
		t.Errorf("size %d, %v; want 1234", size, err)
	}
	for at := range prefix {
		wrong := slices.Clone(prefix)
		wrong[at] ^= 0x40
		if size, err := batchSize(wrong, consumeID); err == nil {
			t.Errorf("byte %d changed: size %d, want an error", at, size)
		}
	}
}
