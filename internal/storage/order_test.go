package storage

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// Channels are listed in order of creation, as stats.log has them (operations spec §8.1): also when some
// were removed and made again, and after a restart. What was dumped comes back by name, for the
// files of the D node have no order.
func TestOrderOfChannels(t *testing.T) {
	for _, keep := range []bool{true, false} {
		t.Run(fmt.Sprintf("keep=%v", keep), func(t *testing.T) {
			options := realOptions(filepath.Join(t.TempDir(), "data"))
			options.Keep = keep
			cs := mustLoad(t, options)
			if err := cs.Serve(); err != nil {
				t.Fatal(err)
			}
			var want []string
			for i := range 10 * minPlaces { // so many that places are freed
				name := fmt.Sprintf("c%d", (i+7)%10)
				if i >= 10 {
					if err := cs.Remove([]byte(name)); err != nil {
						t.Fatal(err)
					}
					want = want[1:]
				}
				push(t, cs, name, "x")
				want = append(want, name)
				wantOrder(t, cs, want)
			}
			if len(cs.places) > 3*minPlaces {
				t.Errorf("%d places for %d channels", len(cs.places), len(cs.byName))
			}
			if err := cs.Close(); err != nil {
				t.Fatal(err)
			}
			if !keep {
				slices.Sort(want)
			}
			wantOrder(t, serve(t, options), want)
		})
	}
}

func wantOrder(t *testing.T, cs *Channels, want []string) {
	t.Helper()
	var got []string
	for _, c := range cs.All() {
		got = append(got, c.Name())
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got channels %v, want %v", got, want)
	}
}
