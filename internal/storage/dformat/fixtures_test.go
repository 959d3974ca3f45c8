package dformat

import (
	"cmp"
	"reflect"
	"slices"
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

// A start and a clean stop leave what the D node has left, byte for byte but for the order of
// lines in the index (storage spec §8.1).
func TestStartAndStopLeaveTheFilesAsTheyWere(t *testing.T) {
	dir := fixture(t, "loadfiles")
	before := dir.state()
	d, _ := mustRead(t, dir)
	var contents []Content
	queues := slices.SortedFunc(slices.Values(d.Queues), func(a, b *Queue) int { return cmp.Compare(a.First, b.First) })
	for _, q := range queues {
		contents = append(contents, Content{Number: uint64(slices.Index(d.Queues, q) + 1), Storage: q.Storage,
			Dump: Stream{q.Dump.Records, q.Dump.Bytes, q.Dump.Runs()}, Overflow: Stream{q.Overflow.Records, q.Overflow.Bytes, q.Overflow.Runs()}})
	}
	if err := Write(dir, contents); err != nil {
		t.Fatal(err)
	}
	if err := Finish(dir, d.Sources); err != nil {
		t.Fatal(err)
	}
	if got := dir.Names(); len(got) != 5+2 {
		t.Errorf("there is %v, want only what was written", got)
	}
	if err := Commit(dir, contents); err != nil {
		t.Fatal(err)
	}
	after := dir.state()
	for _, files := range []map[string]string{before, after} {
		lines := strings.Split(files[indexName], "\n")
		slices.Sort(lines)
		files[indexName] = strings.Join(lines, "\n")
	}
	if !reflect.DeepEqual(after, before) {
		t.Errorf("got %q\nwant %q", after, before)
	}
}
