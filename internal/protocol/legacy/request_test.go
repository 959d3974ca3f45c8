package legacy

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// unhex turns hex as the spec prints it into bytes: blanks separate fields, and 78*1000
// is a byte repeated 1000 times.
func unhex(t testing.TB, text string) (b []byte) {
	t.Helper()
	for _, field := range strings.Fields(text) {
		digits, times, repeated := strings.Cut(field, "*")
		piece, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%q: %v", field, err)
		}
		n := 1
		if repeated {
			if n, err = strconv.Atoi(times); err != nil {
				t.Fatalf("%q: %v", field, err)
			}
		}
		b = append(b, bytes.Repeat(piece, n)...)
	}
	return b
}

// show is a request in words.
func show(r Request) string {
	text := fmt.Sprintf("%s channel %q", r.Command, r.Channel)
	for name := range r.Channels.All {
		text += fmt.Sprintf(" channel %q", name)
	}
	return text + fmt.Sprintf(" value %q", r.Value)
}

// requests are those of the spec's vectors, by the number of the vector.
var requests = []struct{ vector, hex, want string }{
	{"V01", "01000000 0400000000000000 74657374 0300000000000000 616263", `Push channel "test" value "abc"`},
	{"V07", "01000000 0400000000000000 6e657731 0000000000000000", `Push channel "new1" value ""`},
	{"V10", "01000000 0200000000000000 c3a4 0100000000000000 76", `Push channel "ä" value "v"`},
	{"V02", "02000000 0400000000000000 74657374", `Pop channel "test" value ""`},
	{"V06", "02000000 0000000000000000", `Pop channel "" value ""`},
	{"V05", "02000000 0700000000000000 6e6f206368616e", `Pop channel "no chan" value ""`},
	{"V35", "06000000 0200000000000000 6331", `Consume channel "c1" value ""`},
	{"V41", "06000000 0000000000000000", `Consume channel "" value ""`},
	{"V11", "08000000", `GetNumConnections channel "" value ""`},
	{"V15", "09000000 0200000000000000 6d31 0200000000000000 6d32 0000000000000000 0300000000000000 76616c",
		`PushMulti channel "" channel "m1" channel "m2" value "val"`},
	{"V17", "09000000 0000000000000000 0300000000000000 76616c", `PushMulti channel "" value "val"`},
	{"V19", "09000000 0000000000000000 0000000000000000", `PushMulti channel "" value ""`},
	{"V20", "09000000 0200000000000000 6d31 0300000000000000 6d2031 0000000000000000 0300000000000000 76616c",
		`PushMulti channel "" channel "m1" channel "m 1" value "val"`},
	{"V21", "0a000000 0200000000000000 7031", `Produce channel "p1" value ""`},
	{"V24", "0b000000 0200000000000000 7131 0200000000000000 7132 0200000000000000 7131 0000000000000000",
		`ProduceMulti channel "" channel "q1" channel "q2" channel "q1" value ""`},
	{"V25", "0b000000 0000000000000000", `ProduceMulti channel "" value ""`},
	{"V12", "0c000000 0400000000000000 74657374", `RemoveChannel channel "test" value ""`},
}

func TestDecode(t *testing.T) {
	for _, test := range requests {
		input := unhex(t, test.hex)
		for _, behind := range []string{"", "01", "0200000001000000000000007a", "ffffffffffffffffffffffff"} {
			var d Decoder
			var r Request
			n, err := d.Decode(append(bytes.Clone(input), unhex(t, behind)...), &r)
			if n != len(input) || err != nil || show(r) != test.want {
				t.Errorf("%s, followed by %q: %d bytes, %s, %v, want %d, %s", test.vector, behind, n, show(r), err, len(input), test.want)
			}
		}
	}
}

// A request may be cut anywhere, into any number of pieces; nothing is decoded before
// all of it is there.
func TestDecodeSplitRequests(t *testing.T) {
	for _, test := range requests {
		input := unhex(t, test.hex)
		for cut := range len(input) {
			var d Decoder
			decodeAt(t, &d, test.vector, input, test.want, cut)
		}
		for step := 1; step <= 3; step++ {
			var d Decoder
			for cut := 0; cut < len(input); cut += step {
				r := Request{}
				if n, err := d.Decode(input[:cut], &r); n != 0 || err != nil {
					t.Fatalf("%s, first %d of %d bytes: %d, %v, want to be incomplete", test.vector, cut, len(input), n, err)
				}
			}
			decodeAt(t, &d, test.vector, input, test.want, len(input)-1)
			decodeAt(t, &d, test.vector+" again", input, test.want, 0) // the decoder has forgotten the first
		}
	}
}

// decodeAt decodes the input in two pieces. The second time it lies in other memory.
func decodeAt(t *testing.T, d *Decoder, name string, input []byte, want string, cut int) {
	t.Helper()
	var r Request
	first := bytes.Clone(input[:cut])
	if n, err := d.Decode(first, &r); n != 0 || err != nil {
		t.Fatalf("%s, first %d of %d bytes: %d, %v, want to be incomplete", name, cut, len(input), n, err)
	}
	clear(first)
	n, err := d.Decode(input, &r)
	if n != len(input) || err != nil || show(r) != want {
		t.Fatalf("%s, cut at %d: %d bytes, %s, %v, want %d, %s", name, cut, n, show(r), err, len(input), want)
	}
}

// Every other code is invalid (legacy protocol spec §2.5): nothing behind it is looked at.
func TestInvalidCommands(t *testing.T) {
	valid := []int32{1, 2, 6, 8, 9, 10, 11, 12}
	codes := []int32{-1, -2, 1 << 24, 1 << 30, -1 << 31, 1<<31 - 1}
	for code := range int32(300) {
		codes = append(codes, code)
	}
	for _, code := range codes {
		if slices.Contains(valid, code) {
			continue
		}
		input := AppendArray(AppendCommand(nil, Command(code)), "channel")
		for size := range len(input) + 1 {
			var d Decoder
			var r Request
			var want error
			if size >= CodeSize {
				want = ErrCommand
			}
			if n, err := d.Decode(input[:size], &r); n != 0 || err != want {
				t.Errorf("code %d, %d bytes: %d, %v, want 0, %v", code, size, n, err, want)
			}
		}
	}
}

// An array of 10 MiB is accepted in every place, and one byte more in none (legacy protocol spec §2.4).
// That it is too long is known from its length alone.
func TestLongestArray(t *testing.T) {
	const most, more = " 0000a00000000000 78*10485760", " 0100a00000000000"
	for _, test := range []struct {
		where, before, behind string
		command               Command
	}{
		{"channel of Push", "01000000", "0000000000000000", Push},
		{"value of Push", "01000000 0100000000000000 61", "", Push},
		{"channel of Pop", "02000000", "", Pop},
		{"channel of Consume", "06000000", "", Consume},
		{"channel of Produce", "0a000000", "", Produce},
		{"channel of RemoveChannel", "0c000000", "", RemoveChannel},
		{"first channel of PushMulti", "09000000", "0000000000000000 0100000000000000 76", PushMulti},
		{"second channel of PushMulti", "09000000 0100000000000000 61", "0000000000000000 0100000000000000 76", PushMulti},
		{"value of PushMulti", "09000000 0100000000000000 61 0000000000000000", "", PushMulti},
		{"channel of ProduceMulti", "0b000000", "0000000000000000", ProduceMulti},
	} {
		before := unhex(t, test.before)
		input := append(append(bytes.Clone(before), unhex(t, most)...), unhex(t, test.behind)...)
		var d Decoder
		var r Request
		for _, size := range []int{len(input) - 1, len(before) + LengthSize, len(input)} {
			want := 0
			if size == len(input) {
				want = size
			}
			if n, err := d.Decode(input[:size], &r); n != want || err != nil {
				t.Errorf("%s of %d bytes, %d of %d there: %d, %v, want %d", test.where, MaxArray, size, len(input), n, err, want)
			}
		}
		for _, long := range []struct {
			hex    string
			length uint64
		}{
			{more, MaxArray + 1},
			{" 0000000001000000", 1 << 32},
			{" ffffffffffffff7f", 1<<63 - 1},
			{" 0000000000000080", 1 << 63},
			{" f8ffffffffffffff", 1<<64 - 8},
			{" ffffffffffffffff", 1<<64 - 1},
		} {
			input := unhex(t, test.before+long.hex)
			for _, behind := range []string{"", "78", "78*1000"} {
				var d Decoder
				n, err := d.Decode(append(bytes.Clone(input), unhex(t, behind)...), &r)
				var e *TooLongError
				if n != len(input) || !errors.As(err, &e) || *e != (TooLongError{test.command, long.length}) {
					t.Errorf("%s of %d bytes: %d, %v, want the error at %d", test.where, long.length, n, err, len(input))
				}
			}
			if n, err := new(Decoder).Decode(input[:len(input)-1], &r); n != 0 || err != nil {
				t.Errorf("%s with an incomplete length: %d, %v, want to be incomplete", test.where, n, err)
			}
		}
	}
	want := "Push: the input array is too long: 10485761 bytes, at most 10485760 are allowed"
	if got := (&TooLongError{Push, MaxArray + 1}).Error(); got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

// The first thing that is wrong decides.
func TestFirstErrorDecides(t *testing.T) {
	var d Decoder
	var r Request
	input := unhex(t, "01000000 0100a00000000000 78*10485761 0200a00000000000")
	if n, err := d.Decode(input, &r); n != 12 || err == nil || err.(*TooLongError).Length != MaxArray+1 {
		t.Errorf("two arrays too long: %d, %v, want the first at 12", n, err)
	}
}

// list is the start of a PushMulti with that many names of that length.
func list(count, length int) []byte {
	b := AppendCommand(nil, PushMulti)
	name := bytes.Repeat([]byte("n"), length)
	for range count {
		b = AppendArray(b, name)
	}
	return b
}

// A list of channels has bounds (legacy protocol spec §2.3); what is beyond them is not waited for.
func TestLongestList(t *testing.T) {
	rest := AppendArray(AppendArray(nil, ""), "value")
	for _, test := range []struct {
		rule          string
		count, length int
		ok            bool
	}{
		{"as many names as allowed", MaxNames, 1, true},
		{"one name too many", MaxNames + 1, 1, false},
		{"as many bytes as allowed", MaxNamesSize / 256, 248, true},
		{"one name too much", MaxNamesSize/256 + 1, 248, false},
		{"a large name that fits", 1, MaxArray, true},
		{"two large names", 2, MaxArray, false},
	} {
		input := append(list(test.count, test.length), rest...)
		for _, pieces := range []int{1, 7} {
			var d Decoder
			var r Request
			var n int
			var err error
			for i := 1; i <= pieces && n == 0 && err == nil; i++ {
				n, err = d.Decode(input[:len(input)*i/pieces], &r)
			}
			if !test.ok {
				if err != ErrNames {
					t.Errorf("%s, in %d pieces: %d, %v, want %v", test.rule, pieces, n, err, ErrNames)
				}
				continue
			}
			count := 0
			for range r.Channels.All {
				count++
			}
			if n != len(input) || err != nil || count != test.count {
				t.Errorf("%s, in %d pieces: %d of %d bytes, %v, %d names, want %d", test.rule, pieces, n, len(input), err, count, test.count)
			}
		}
	}
	// The error comes as soon as the bound is passed, before the end of the list.
	var d Decoder
	var r Request
	if _, err := d.Decode(list(MaxNames+1, 1), &r); err != ErrNames {
		t.Errorf("one name too many, no end yet: %v, want %v", err, ErrNames)
	}
}

// A list that comes in small pieces is not searched from its start each time: names that
// have been seen are not looked at again until the request is complete.
func TestListIsSearchedOnce(t *testing.T) {
	const count, length = 1000, 20
	input := append(list(count, length), AppendArray(AppendArray(nil, ""), "value")...)
	spoilt := bytes.Clone(input)
	var d Decoder
	var r Request
	for size := 0; size < len(input); size += 10 {
		if n, err := d.Decode(spoilt[:size], &r); n != 0 || err != nil {
			t.Fatalf("%d of %d bytes: %d, %v, want to be incomplete", size, len(input), n, err)
		}
		seen := min(count, max(0, size-CodeSize)/(LengthSize+length))
		for i := range seen * (LengthSize + length) {
			spoilt[CodeSize+i] = 0xff
		}
	}
	if n, err := d.Decode(input, &r); n != len(input) || err != nil || string(r.Value) != "value" {
		t.Errorf("%d of %d bytes, %v, value %q", n, len(input), err, r.Value)
	}
}

func TestNames(t *testing.T) {
	input := unhex(t, "0b000000 0200000000000000 7131 0200000000000000 7132 0200000000000000 7131 0000000000000000") // V24
	var d Decoder
	var r Request
	if _, err := d.Decode(input, &r); err != nil {
		t.Fatal(err)
	}
	clone := r.Channels.Clone()
	clear(input)
	var got []string
	for name := range clone.All {
		got = append(got, string(name))
		if cap(name) != len(name) {
			t.Errorf("%q: appending to a name would overwrite what follows", name)
		}
	}
	if want := []string{"q1", "q2", "q1"}; !slices.Equal(got, want) {
		t.Errorf("clone has %q, want %q", got, want)
	}
	for name := range clone.All { // stops when told
		if string(name) != "q1" {
			t.Errorf("went on after break: %q", name)
		}
		break
	}
	for name := range (Names{}).Clone().All {
		t.Errorf("no names: got %q", name)
	}
}

// Appending to a decoded array must not change the input behind it.
func TestArraysHaveNoRoom(t *testing.T) {
	var d Decoder
	var r Request
	if _, err := d.Decode(unhex(t, requests[0].hex), &r); err != nil {
		t.Fatal(err)
	}
	if cap(r.Channel) != len(r.Channel) || cap(r.Value) != len(r.Value) {
		t.Errorf("channel has room for %d, value for %d bytes more, want none", cap(r.Channel)-len(r.Channel), cap(r.Value)-len(r.Value))
	}
}

func TestAppend(t *testing.T) {
	for _, test := range []struct {
		what string
		got  []byte
		want string
	}{
		{"command", AppendCommand([]byte{0xff}, RemoveChannel), "ff 0c000000"},
		{"OK", AppendStatus(nil, OK), "c8000000"},
		{"not supported", AppendStatus(nil, NotSupported), "96010000"},
		{"out of memory", AppendStatus(nil, OutOfMemory), "97010000"},
		{"empty value", AppendStatus(nil, EmptyValue), "98010000"},
		{"bad channel name", AppendStatus(nil, BadChannelName), "99010000"},
		{"error", AppendStatus(nil, Error), "f4010000"},
		{"array", AppendArray([]byte{0xff}, "abc"), "ff 0300000000000000 616263"},
		{"array of bytes", AppendArray(nil, []byte{0}), "0100000000000000 00"},
		{"empty array", AppendArray(nil, ""), "0000000000000000"},
		{"end mark", EndMark, "0000000000000000"},
	} {
		if !bytes.Equal(test.got, unhex(t, test.want)) {
			t.Errorf("%s: got % x, want %s", test.what, test.got, test.want)
		}
	}
}

func TestWords(t *testing.T) {
	for _, test := range []struct {
		is   fmt.Stringer
		want string
	}{
		{Push, "Push"}, {Pop, "Pop"}, {Consume, "Consume"}, {GetNumConnections, "GetNumConnections"},
		{PushMulti, "PushMulti"}, {Produce, "Produce"}, {ProduceMulti, "ProduceMulti"}, {RemoveChannel, "RemoveChannel"},
		{Command(-1), "Command(-1)"},
		{OK, "OK"}, {NotSupported, "request not supported"}, {OutOfMemory, "out of memory"},
		{EmptyValue, "empty value"}, {BadChannelName, "bad channel name"}, {Error, "error"}, {Status(400), "status 400"},
	} {
		if got := test.is.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
