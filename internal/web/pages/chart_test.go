package pages

import (
	"fmt"
	"testing"
)

func TestFormats(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{duration(13e-6), "13 µs"}, {duration(1500e-6), "1.5 ms"}, {duration(2), "2.0 s"},
		{fmt.Sprint(nice(0.1), nice(1), nice(3), nice(4.1), nice(99), nice(101)), "1 1 4 10 100 200"},
		{duration(0.25), "250 ms"}, {duration(90), "1 min 30 s"}, {duration(0), "0 s"}, {duration(600), "10 min"}, {duration(86400), "1 d"},
		{fmt.Sprint(niceAge(0.0003), niceAge(0.3), niceAge(3), niceAge(100), niceAge(90000)), "0.001 0.4 4 120 172800"},
		{fmt.Sprint(powerOfTwo(10), powerOfTwo(1024), powerOfTwo(1025)), "16 1024 2048"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestPath(t *testing.T) {
	line, area := path([]float64{0, 5, 20}, 5, 100, 10, 10)
	if line != "M50 10L75 5L100 0" || area != line+"V10H50Z" {
		t.Errorf("got %s, %s", line, area)
	}
	if line, area = path(nil, 5, 100, 10, 10); line != "" || area != "" {
		t.Errorf("of nothing: got %q, %q", line, area)
	}
}
