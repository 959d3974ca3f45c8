package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mappings counts those of ring files in a directory.
func mappings(t *testing.T, dir string) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(maps), filepath.Join(dir, "ring-")) + strings.Count(string(maps), filepath.Join(dir, "spill-"))
}

// More queues than may be mapped at once keep their records in order, through starts and stops.
func TestMappingsAreBounded(t *testing.T) {
	const most, channels = 4, 30
	large := strings.Repeat("x", 600)
	for _, keep := range []bool{true, false} {
		t.Run(fmt.Sprintf("keep=%v", keep), func(t *testing.T) {
			options := realOptions(filepath.Join(t.TempDir(), "data"))
			options.Keep, options.inline, options.Mappings = keep, true, most
			name := func(i int) string { return fmt.Sprintf("c%02d", i) }
			check := func(when string) {
				t.Helper()
				if n := mappings(t, options.Dir); n > most {
					t.Fatalf("%s: %d files are mapped, %d may be", when, n, most)
				}
			}
			cs := mustLoad(t, options)
			if err := cs.Serve(); err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{"1" + large, "2", "3" + large, "4"} { // the last two spill
				for i := range channels {
					push(t, cs, name(i), text)
					check("push")
				}
			}
			if err := cs.Close(); err != nil {
				t.Fatal(err)
			}
			cs = mustLoad(t, options)
			check("start")
			if err := cs.Serve(); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"1", "2", "3", "4"} {
				for i := range channels {
					c := openChannel(t, cs, name(i))
					run, err := c.Pop(false)
					c.Commit()
					if err != nil || run == nil {
						t.Fatalf("pop from %s: run %v, error %v", name(i), run, err)
					}
					if got := string(run.Payload()[:1]); got != want {
						t.Fatalf("%s: got record %s, want %s", name(i), got, want)
					}
					check("pop")
					run.Deliver()
				}
			}
			if err := cs.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A file that is being read stays mapped; when all are, one more is refused, and harms nothing.
func TestMappingsInUseAreNotGivenUp(t *testing.T) {
	const most = 4
	options := realOptions(filepath.Join(t.TempDir(), "data"))
	options.inline, options.Mappings = true, most
	cs := serve(t, options)
	var runs []*Run
	for i := range most {
		name := fmt.Sprintf("c%d", i)
		push(t, cs, name, name)
		c := openChannel(t, cs, name)
		run, err := c.Pop(false)
		if err != nil {
			t.Fatal(err)
		}
		c.Commit()
		runs = append(runs, run)
	}
	c := openChannel(t, cs, "another")
	err := c.Push([]byte("x"))
	c.Commit()
	if !errors.Is(err, errMappings) {
		t.Fatalf("got error %v, want %v", err, errMappings)
	}
	for i, run := range runs {
		if got, want := string(run.Payload()), fmt.Sprintf("c%d", i); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		run.Deliver()
	}
	push(t, cs, "another", "x")
}
