package console

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// reading is that of a node with some queues.
func reading(second int, queues ...storage.Figures) stats.Reading {
	return stats.Reading{
		At:      time.Unix(int64(second), 0),
		Process: stats.Process{RSS: 123_400_000, Machine: 8 << 30, Limit: 8 << 30},
		Legacy:  stats.Connections{Open: 12, Limit: 5000},
		Neo:     stats.Connections{Open: 3, Limit: 5000},
		Counters: storage.Counters{
			Pushed: storage.Moved{Records: uint64(second) * 12345},
			Popped: storage.Moved{Records: uint64(second) * 300},
		},
		Storages: append([]storage.Figures{
			{Channel: "orders", Subscribed: true, Capacity: 1000, MemoryRecords: 1234, MemoryBytes: 870,
				Unsettled: storage.Moved{Records: 1000}, UnsettledSince: time.Unix(int64(second)-75, 0),
				Counters: storage.Counters{Pushed: storage.Moved{Records: uint64(second) * 5000}}},
			{Channel: "orders", Subscriber: "reports", Subscribed: true, Capacity: 1000, MemoryRecords: 4, MemoryBytes: 432,
				OverflowRecords: 26, OverflowBytes: 2600, Unsettled: storage.Moved{Records: 16}},
			{Channel: "empty", Capacity: 1 << 30},
			{Channel: "no_memory", Capacity: 0, MemoryRecords: 1},
		}, queues...),
	}
}

// second returns the view of the second reading, a second after the first.
func second(queues ...storage.Figures) *view {
	var r rates
	r.view(reading(1, queues...))
	return r.view(reading(2, queues...))
}

func TestFrame(t *testing.T) {
	for _, c := range []struct {
		width, height int
		want          string
	}{
		{119, 23, `
memory 118 MiB (1.4 %)  connections 12 legacy, 3 neo, limit 5,000 each  records/s 12,345 in, 300 out
stored 1,265 records, 3.8 KiB

CHANNEL          FULL                              RECORDS       BYTES    OVERFLOW       IN/S      OUT/S    UNCONFIRMED
no_memory       100 %  ####################              1         0 B           -          0          0              -
orders           87 %  #################...          1,234       870 B           -      5,000          0       1.0k, 1m
reports@orders   43 %  #########...........             30     3.0 KiB     2.5 KiB          0          0             16
empty             0 %  ....................              0         0 B           -          0          0              -
`},
		{79, 23, `
memory 118 MiB (1.4 %)  connections 12 legacy, 3 neo, limit 5,000 each
records/s 12,345 in, 300 out  stored 1,265 records, 3.8 KiB

CHANNEL          FULL                           RECORDS       BYTES    OVERFLOW
no_memory       100 %  #################              1         0 B           -
orders           87 %  ###############..          1,234       870 B           -
reports@orders   43 %  #######..........             30     3.0 KiB     2.5 KiB
empty             0 %  .................              0         0 B           -
`},
		{39, 9, `
memory 118 MiB (1.4 %)
connections 12 legacy, 3 neo
records/s 12,345 in, 300 out
stored 1,265 records, 3.8 KiB
CHANNEL          FULL
no_memory       100 %  ################
orders           87 %  ##############..
reports@orders   43 %  #######.........
empty             0 %  ................
`},
		{19, 4, `
118M rss  15 conns
12.6k rec/s
no_memory  100 %
... 3 more
`},
	} {
		lines := frame(second(), style{ellipsis: "..."}, c.width, c.height)
		if got := "\n" + strings.Join(lines, "\n") + "\n"; got != c.want {
			t.Errorf("%d columns, %d lines: got\n%s\nwant\n%s", c.width, c.height, got, c.want)
		}
	}
}

// Whatever there is to show, it keeps to the terminal.
func TestFrameFits(t *testing.T) {
	var queues []storage.Figures
	for i := range 300 {
		queues = append(queues, storage.Figures{
			Channel: strings.Repeat("n", i%252) + fmt.Sprint(i), Subscriber: strings.Repeat("s", i%3), Capacity: 1 << 40,
			MemoryBytes: uint64(i) << 30, MemoryRecords: 1 << 50, OverflowBytes: 1 << 60, OverflowRecords: 1 << 60,
		})
	}
	for _, v := range []*view{second(), second(queues...), new(rates).view(stats.Reading{})} {
		for _, s := range []style{{ellipsis: "..."}, {unicode: true, ellipsis: "…"}} {
			for width := 1; width < 200; width += 3 {
				for _, height := range []int{1, 2, 3, 4, 9, 23, 100} {
					lines := frame(v, s, width, height)
					if len(lines) > height {
						t.Errorf("%d columns: %d lines, want at most %d", width, len(lines), height)
					}
					for _, line := range lines {
						if n := utf8.RuneCountInString(line); n > width && width >= 8 {
							t.Errorf("%d columns, want at most %d: %q", n, width, line)
						}
					}
				}
			}
		}
	}
}

func TestFullestFirst(t *testing.T) {
	var got []string
	for _, q := range second(
		storage.Figures{Channel: "b", Capacity: 1000, MemoryRecords: 1, MemoryBytes: 870},
		storage.Figures{Channel: "more_overflow", Capacity: 1000, MemoryRecords: 1, MemoryBytes: 432, OverflowBytes: 2601},
	).queues {
		got = append(got, q.name)
	}
	want := []string{"no_memory", "b", "orders", "more_overflow", "reports@orders", "empty"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The rate of the node is that of five seconds; a channel of the same name starts anew.
func TestRates(t *testing.T) {
	var r rates
	var v *view
	for second := range 20 {
		now := reading(second)
		if second >= 10 {
			now.Pushed.Records = 0 // not counted, because a channel was just being removed
		}
		v = r.view(now)
		switch {
		case second == 0 && v.in != 0:
			t.Errorf("first reading: got %v records a second, want 0", v.in)
		case second > 0 && second < 10 && v.in != 12345:
			t.Errorf("got %v records a second, want 12345", v.in)
		case second == 12 && v.in != 12345*2/5.0:
			t.Errorf("three seconds without: got %v records a second, want 2/5 of 12345", v.in)
		}
	}
	if v.in != 0 || v.out != 300 {
		t.Errorf("got %v and %v records a second, want 0 and 300", v.in, v.out)
	}
	v = r.view(reading(1))
	for _, q := range v.queues {
		if q.in != 0 {
			t.Errorf("%s: got %v records a second, want 0 after a new start", q.name, q.in)
		}
	}
}

func TestStyle(t *testing.T) {
	environment := func(pairs ...string) func(string) string {
		return func(name string) string {
			for _, pair := range pairs {
				if key, value, _ := strings.Cut(pair, "="); key == name {
					return value
				}
			}
			return ""
		}
	}
	plain, unicode := style{color: true, ellipsis: "..."}, style{color: true, unicode: true, ellipsis: "…"}
	for _, c := range []struct {
		environment func(string) string
		want        style
	}{
		{environment(), plain},
		{environment("LANG=de_DE.UTF-8"), unicode},
		{environment("LANG=de_DE.UTF-8", "LC_ALL=C"), plain},
		{environment("LC_CTYPE=C.utf8"), unicode},
		{environment("NO_COLOR=1"), style{ellipsis: "..."}},
	} {
		if got := styleOf(c.environment); got != c.want {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}
	for share, want := range map[float64][2]string{
		0: {"..........", "··········"}, 0.5: {"#####.....", "█████·····"}, 0.0001: {"..........", "▏·········"},
		0.87: {"#########.", "████████▊·"}, 1: {"##########", "██████████"}, 2: {"##########", "██████████"},
	} {
		if got := [2]string{plain.bar(share, 10), unicode.bar(share, 10)}; got != want {
			t.Errorf("%v: got %q, want %q", share, got, want)
		}
	}
	full := &queue{Figures: storage.Figures{Capacity: 100, MemoryRecords: 1, MemoryBytes: 95}}
	if got, want := plain.alarming("x", full), "\x1b[31mx\x1b[0m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (style{}).alarming("x", full); got != "x" {
		t.Errorf("without colour: got %q", got)
	}
}
