package dformat

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestAnIndexMayBeLaidOutAsScanfTakesIt(t *testing.T) {
	billing := entry{"billing@orders", 2, 120, 279, 559}
	logs := entry{"logs", 1, 5, 8, 8}
	for _, c := range []struct {
		name, text string
		want       []entry
	}{
		{"nothing", "", nil},
		{"only white space", " \n\t\r\v\f\n", nil},
		{"one line", "billing@orders 2 120 279 559\n", []entry{billing}},
		{"no final newline", "billing@orders 2 120 279 559", []entry{billing}},
		{"several lines", "billing@orders 2 120 279 559\nlogs 1 5 8 8\n", []entry{billing, logs}},
		{"several entries on a line", "billing@orders 2 120 279 559 logs 1 5 8 8\n", []entry{billing, logs}},
		{"an entry over several lines", "billing@orders\n2\n120 279\n\n559\nlogs 1 5 8 8\n", []entry{billing, logs}},
		{"blank lines and blanks", "\n  logs\t1  5 8 8  \n\n", []entry{logs}},
		{"DOS line ends", "logs 1 5 8 8\r\n", []entry{logs}},
		{"leading zeros", "logs 01 005 08 8", []entry{logs}},
		{"the empty subscriber", "@c 1 5 8 8", []entry{{"@c", 1, 5, 8, 8}}},
		{"all name characters", "AZaz09_-@AZaz09_- 1 5 8 8", []entry{{"AZaz09_-@AZaz09_-", 1, 5, 8, 8}}},
		{"a name of digits", "12 1 5 8 8", []entry{{"12", 1, 5, 8, 8}}},
		{"more records than 32 bits count", "logs 4294967297 5 8 800", []entry{{"logs", 1<<32 + 1, 5, 8, 800}}},
	} {
		got, bad, err := parseIndex(iotest.OneByteReader(strings.NewReader(c.text)))
		if bad != nil || err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q\n got %+v, %v, %v\nwant %+v", c.name, c.text, got, bad, err, c.want)
		}
	}
}

// The rules of storage spec §3.10. The good entry before the bad one must be returned.
func TestAnIndexIsBadFrom(t *testing.T) {
	for _, c := range []struct{ rule, text, want string }{
		{"P1: bad name", "% 1 5 8 8", `"%" is not the name of a storage`},
		{"P1: a dot in a name", "a.b 1 5 8 8", `"a.b" is not the name`},
		{"P1: letters for a number", "logs x 5 8 8", "number of records"},
		{"P1: fraction", "logs 1 5.5 8 8", "number of bytes"},
		{"P1: only a sign", "logs 1 - 8 8", "number of bytes"},
		{"P1: hexadecimal", "logs 1 0x5 8 8", "number of bytes"},
		{"P1: end of file behind the name", "logs", `number of records of storage "logs": unexpected EOF`},
		{"P1: end of file in front of a number", "logs 1 5 8 ", `last offset of storage "logs": unexpected EOF`},
		{"P1: a NUL byte", "\x00", "is not the name"},
		{"P1: name too long", strings.Repeat("n", 256) + " 1 5 8 8", "is not the name"},
		{"P1: an endless token", "logs 1 5 8 8" + strings.Repeat("8", 100_000), "too long"},
		{"P1: an endless name", strings.Repeat("n", 100_000), "too long"},
		{"P1: an offset beyond 63 bits", "logs 2 5 8 9223372036854775808", "last offset"},
		{"P1: bytes beyond 64 bits", "logs 1 99999999999999999999 8 8", "number of bytes"},
		{"P2: two @", "a@b@c 1 5 8 8", "is not the name"},
		{"P2: @ last", "a@ 1 5 8 8", "is not the name"},
		{"P2: only @", "@ 1 5 8 8", "is not the name"},
		{"P3: no records but bytes", "logs 0 5 0 0", "no records"},
		{"P3: no records but offsets", "logs 0 0 8 8", "no records"},
		{"P4: one record at two offsets", "logs 1 5 8 9", "different first and last"},
		{"P5: several records at one offset", "logs 2 5 8 8", "not behind the first"},
		{"P5: last before first", "logs 2 5 60 8", "not behind the first"},
		{"P6: first in the magic", "logs 1 5 7 7", "first offset is less than 8"},
		{"P6: negative first", "logs 1 5 -8 -8", "first offset"},
		{"P6: an empty storage", "logs 0 0 0 0", "first offset is less than 8"},
	} {
		got, bad, err := parseIndex(strings.NewReader("good 1 5 8 8\n" + c.text))
		if err != nil || bad == nil || !strings.HasPrefix(bad.Error(), "entry 2: ") || !strings.Contains(bad.Error(), c.want) {
			t.Errorf("%s: %.30q: got %v, %v, want entry 2: …%s", c.rule, c.text, bad, err, c.want)
		}
		if want := []entry{{"good", 1, 5, 8, 8}}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got entries %v, want %v", c.rule, got, want)
		}
	}
}

func TestAnIndexThatCannotBeReadIsNotBad(t *testing.T) {
	broken := errors.New("broken")
	for _, text := range []string{"", "logs", "logs 1", "logs 1 5 8 8"} {
		entries, bad, err := parseIndex(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || bad != nil || len(entries) != 0 {
			t.Errorf("%q: got %v, %v, %v, want the error of the reader", text, entries, bad, err)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add("billing@orders 2 120 279 559\nlogs 1 5 8 8\n")
	f.Add("a.b 1 5 8 8")
	f.Add("logs 4294967295 +5 8 8@c 1 99999999999999999999 8 8")
	f.Fuzz(func(t *testing.T, text string) {
		entries, _, err := parseIndex(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		var written []byte
		for _, e := range entries {
			written = e.append(written)
		}
		again, bad, err := parseIndex(strings.NewReader(string(written)))
		if bad != nil || err != nil || !reflect.DeepEqual(again, entries) {
			t.Fatalf("written again: %q\n got %v, %v, %v\nwant %v", written, again, bad, err, entries)
		}
	})
}
