package stats

import (
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// A queue without room in memory is full only if it holds something.
func TestFullness(t *testing.T) {
	for _, test := range []struct {
		f    storage.Figures
		want float64
	}{
		{storage.Figures{}, 0},
		{storage.Figures{OverflowRecords: 1}, 1},
		{storage.Figures{Capacity: 500, MemoryRecords: 4, MemoryBytes: 432}, 0.864},
	} {
		if got := Fullness(&test.f); got != test.want {
			t.Errorf("%+v: got %v, want %v", test.f, got, test.want)
		}
	}
}
