package dformat

import (
	"strings"
	"testing"
)

// The contents are those of storage spec §8.
func TestFixtures(t *testing.T) {
	x, y, n := strings.Repeat("x", 24), strings.Repeat("y", 57), strings.Repeat("N", 70)
	for _, c := range []struct {
		directory string
		order     string // of the queues
		contents  map[string][]string
		aside     string
	}{
		{"loadfiles", "sub1@ch1 sub2@ch1 @ch1 sub1@ch3 @ch5 ch2 ch4 @ch3", map[string][]string{
			"@ch1": {"Hello ch1!", "Hello ch1!"}, "sub1@ch1": {"Hello ch1!", "Hello ch1!"}, "sub2@ch1": {"Hello ch1!", "Hello ch1!"},
			"ch2": {"Hello ch2!", "Hello ch2!"}, "@ch3": {"Hello ch3!"}, "sub1@ch3": {"Hello ch3!"}, "ch4": {"Hello ch4!"}, "@ch5": {"Hello ch5!"},
		}, ""},
		{"interleaved", "logs @events sub1@events new-chan", map[string][]string{
			"logs":    {"log-1", "", "log-3", "log-5", "log-6-abc", "log-4-" + x, "", "log-8", "log-9-after-truncation"},
			"@events": {"e0", "e2", "e1-" + y, "e3-" + y}, "sub1@events": {"e2", "e1-" + y, "e3-" + y}, "new-chan": {n},
		}, ""},
		{"crash/lost-index", "", nil, "ofchannels-aside-1.csv overflow-aside-1.dat"},
		{"crash/stale-pushed", "ch1", map[string][]string{"ch1": {"first", "second", "third", "fourth"}}, ""},
		{"crash/stale-popped", "ch1", map[string][]string{"ch1": {"first", "second", "third"}}, ""},
		{"crash/stale-drained", "hold ch1", map[string][]string{"ch1": {"new"}, "hold": {"keep"}}, ""},
	} {
		t.Run(c.directory, func(t *testing.T) {
			d, got := mustRead(t, fixture(t, c.directory))
			checkContents(t, got, c.contents)
			var order []string
			for _, q := range d.Queues {
				order = append(order, q.Storage)
			}
			if got := strings.Join(order, " "); got != c.order {
				t.Errorf("order: got %s, want %s", got, c.order)
			}
			if got := asideOf(d.Sources); got != c.aside {
				t.Errorf("to be set aside: got %q, want %q", got, c.aside)
			}
		})
	}
}
