package figures

import (
	"math"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(999), "999"}, {Count(1000), "1,000"}, {Count(1234567), "1,234,567"},
		{Count(math.MaxUint64), "18,446,744,073,709,551,615"},
		{ShortCount(0), "0"}, {ShortCount(999), "999"}, {ShortCount(1000), "1.0k"}, {ShortCount(12345), "12.3k"},
		{ShortCount(99_960), "100k"}, {ShortCount(999_700), "1.0M"}, {ShortCount(2e9), "2.0G"},
		{CountIn(12345, 6), "12,345"}, {CountIn(123456, 6), "123k"},

		{Rate(0), "0"}, {Rate(0.04), "0"}, {Rate(0.42), "0.4"}, {Rate(3), "3"}, {Rate(9.94), "9.9"}, {Rate(9.99), "10"},
		{Rate(12344.6), "12,345"}, {ShortRate(0.42), "0.4"}, {ShortRate(999.4), "999"}, {ShortRate(999.6), "1.0k"},
		{ShortRate(123456), "123k"}, {RateIn(4e6, 9), "4,000,000"}, {RateIn(4e7, 9), "40.0M"},

		{Size(0), "0 B"}, {Size(1023), "1023 B"}, {Size(1024), "1.0 KiB"}, {Size(99<<20 + 1000000), "100 MiB"},
		{Size(1<<30 - 1), "1.0 GiB"}, {Size(math.MaxUint64), "16.0 EiB"},
		{ShortSize(0), "0B"}, {ShortSize(1023), "1023B"}, {ShortSize(1024), "1.0K"}, {ShortSize(99<<20 + 1000000), "100M"},
		{ShortSize(1<<30 - 1), "1.0G"}, {ShortSize(math.MaxUint64), "16.0E"},

		{Percent(0), "0 %"}, {Percent(0.29), "29 %"}, {Percent(0.879), "87 %"},
		{Percent(0.999), "99 %"}, {Percent(1), "100 %"},

		{Age(-time.Second), "0 s"}, {Age(59*time.Second + 999*time.Millisecond), "59 s"}, {Age(75 * time.Second), "1 min 15 s"},
		{Age(3 * time.Hour), "3 h 0 min"}, {Age(25*time.Hour + time.Minute), "1 d 1 h"},
		{ShortAge(0), "0s"}, {ShortAge(59 * time.Second), "59s"}, {ShortAge(119 * time.Second), "1m"},
		{ShortAge(23*time.Hour + 59*time.Minute), "23h"}, {ShortAge(49 * time.Hour), "2d"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestPerSecond(t *testing.T) {
	for _, test := range []struct {
		before, now uint64
		took        time.Duration
		want        float64
	}{
		{10, 40, 2 * time.Second, 15},
		{10, 11, 4 * time.Second, 0.25},
		{10, 10, time.Second, 0},
		{10, 5, time.Second, 0}, // begun anew
		{10, 40, 0, 0},
		{10, 40, -time.Second, 0},
	} {
		if got := PerSecond(test.before, test.now, test.took); got != test.want {
			t.Errorf("%d to %d in %v: got %v, want %v", test.before, test.now, test.took, got, test.want)
		}
	}
}
