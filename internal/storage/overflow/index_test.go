package overflow

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParseIndexAcceptsWhatScanfAccepts(t *testing.T) {
	billing := IndexEntry{"billing@orders", 2, 120, 279, 559}
	logs := IndexEntry{"logs", 1, 5, 8, 8}
	for _, c := range []struct {
		name, text string
		want       []IndexEntry
	}{
		{"nothing", "", nil},
		{"only white space", " \n\t\r\v\f\n", nil},
		{"one line", "billing@orders 2 120 279 559\n", []IndexEntry{billing}},
		{"no final newline", "billing@orders 2 120 279 559", []IndexEntry{billing}},
		{"several lines", "billing@orders 2 120 279 559\nlogs 1 5 8 8\n", []IndexEntry{billing, logs}},
		{"several entries on a line", "billing@orders 2 120 279 559 logs 1 5 8 8\n", []IndexEntry{billing, logs}},
		{"an entry over several lines", "billing@orders\n2\n120 279\n\n559\nlogs 1 5 8 8\n", []IndexEntry{billing, logs}},
		{"blank lines and blanks", "\n  logs\t1  5 8 8  \n\n", []IndexEntry{logs}},
		{"DOS line ends", "logs 1 5 8 8\r\n", []IndexEntry{logs}},
		{"leading zeros", "logs 01 005 08 8", []IndexEntry{logs}},
		{"plus signs", "logs +1 +5 +8 +8", []IndexEntry{logs}},
		{"a sign ends the token before it", "logs 1+5 8+8", []IndexEntry{logs}},
		{"a letter ends the last number", "logs 1 5 8 8a 1 5 60 60", []IndexEntry{logs, {"a", 1, 5, 60, 60}}},
		{"the empty subscriber", "@c 1 5 8 8", []IndexEntry{{"@c", 1, 5, 8, 8}}},
		{"all name characters", "AZaz09_-@AZaz09_- 1 5 8 8", []IndexEntry{{"AZaz09_-@AZaz09_-", 1, 5, 8, 8}}},
		{"a name of digits", "12 1 5 8 8", []IndexEntry{{"12", 1, 5, 8, 8}}},
		{"the high part of records is dropped", "logs 4294967297 5 8 8", []IndexEntry{logs}},
		{"a negative unsigned number wraps around", "logs -4294967295 5 8 8", []IndexEntry{logs}},
		{"negative bytes", "logs 1 -1 8 8", []IndexEntry{{"logs", 1, 1<<64 - 1, 8, 8}}},
		{"bytes beyond 64 bits", "logs 1 99999999999999999999 8 8", []IndexEntry{{"logs", 1, 1<<64 - 1, 8, 8}}},
		{"negative bytes beyond 64 bits", "logs 1 -99999999999999999999 8 8", []IndexEntry{{"logs", 1, 1<<64 - 1, 8, 8}}},
		{"an offset beyond 63 bits", "logs 2 5 8 9223372036854775808", []IndexEntry{{"logs", 2, 5, 8, 1<<63 - 1}}},
	} {
		got, err := ParseIndex(iotest.OneByteReader(strings.NewReader(c.text)))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q\n got %+v, %v\nwant %+v", c.name, c.text, got, err, c.want)
		}
	}
}

// The rules of storage spec §3.10. The good entry before the bad one must be returned.
func TestParseIndexRejects(t *testing.T) {
	for _, c := range []struct{ rule, text, want string }{
		{"P1: bad name", "% 1 5 8 8", "'%' instead of a storage name"},
		{"P1: a dot is a bad number of records", "a.b 1 5 8 8", "number of records of storage \"a\": '.' instead of a number"},
		{"P1: letters for a number", "logs x 5 8 8", "number of records"},
		{"P1: fraction", "logs 1 5.5 8 8", "first offset"},
		{"P1: only a sign", "logs 1 - 8 8", "number of bytes"},
		{"P1: hexadecimal", "logs 1 0x5 8 8", "first offset"},
		{"P1: end of file behind the name", "logs", "number of records of storage \"logs\": unexpected EOF"},
		{"P1: end of file in front of a number", "logs 1 5 8 ", "last offset of storage \"logs\": unexpected EOF"},
		{"P1: a NUL byte", "\x00", "instead of a storage name"},
		{"P1: name too long", strings.Repeat("n", 256) + " 1 5 8 8", "longer than 255 bytes"},
		{"P2: two @", "a@b@c 1 5 8 8", "at most one @"},
		{"P2: @ last", "a@ 1 5 8 8", "not at the end"},
		{"P2: only @", "@ 1 5 8 8", "not at the end"},
		{"P3: no records but bytes", "logs 0 5 0 0", "no records"},
		{"P3: no records but offsets", "logs 0 0 8 8", "no records"},
		{"P4: one record at two offsets", "logs 1 5 8 9", "different first and last"},
		{"P5: several records at one offset", "logs 2 5 8 8", "not behind the first"},
		{"P5: last before first", "logs 2 5 60 8", "not behind the first"},
		{"P6: first in the magic", "logs 1 5 7 7", "first offset is less than 8"},
		{"P6: negative first", "logs 1 5 -8 -8", "first offset is less than 8"},
		{"P6: an empty storage", "logs 0 0 0 0", "first offset is less than 8"},
	} {
		got, err := ParseIndex(strings.NewReader("good 1 5 8 8\n" + c.text))
		var bad *IndexError
		if !errors.As(err, &bad) || bad.Entry != 2 || !strings.Contains(bad.Reason.Error(), c.want) {
			t.Errorf("%s: %q: got error %v, want entry 2: …%s", c.rule, c.text, err, c.want)
		}
		if want := []IndexEntry{{"good", 1, 5, 8, 8}}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got entries %v, want %v", c.rule, got, want)
		}
	}
}

func TestParseIndexTellsReadErrorsFromABadIndex(t *testing.T) {
	broken := errors.New("broken")
	for _, text := range []string{"", "logs", "logs 1", "logs 1 5 8 8"} {
		_, err := ParseIndex(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)))
		var bad *IndexError
		if !errors.Is(err, broken) || errors.As(err, &bad) {
			t.Errorf("%q: got %v, want the error of the reader", text, err)
		}
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add("billing@orders 2 120 279 559\nlogs 1 5 8 8\n")
	f.Add("a.b 1 5 8 8")
	f.Add("logs -4294967295 +5 8 8@c 1 99999999999999999999 8 8")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := ParseIndex(strings.NewReader(text))
		var bad *IndexError
		if err != nil && (!errors.As(err, &bad) || bad.Entry != len(entries)+1) {
			t.Fatalf("got %v after %d entries", err, len(entries))
		}
		var written []byte
		for _, e := range entries {
			written = appendLine(written, Entry{e.Name, State{1, e.First, e.Last, uint64(e.Records), e.Bytes}}, 0)
		}
		again, err := ParseIndex(strings.NewReader(string(written)))
		if err != nil || !reflect.DeepEqual(again, entries) {
			t.Fatalf("written again: %q\n got %v, %v\nwant %v", written, again, err, entries)
		}
	})
}
