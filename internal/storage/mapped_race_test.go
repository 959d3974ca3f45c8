package storage

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
)

// Several goroutines use more queues than may be mapped, each its own, and take the mappings of each
// other; every record comes back, in order.
func TestMappingsTakenByOthers(t *testing.T) {
	options := realOptions(filepath.Join(t.TempDir(), "data"))
	options.Mappings = 16
	cs := serve(t, options)
	var users sync.WaitGroup
	for user := range 4 {
		users.Go(func() {
			for round := range 30 {
				for queue := range 10 {
					push(t, cs, fmt.Sprintf("c%d-%d", user, queue), fmt.Sprint(round))
				}
				if round%2 == 0 {
					continue
				}
				for _, want := range []string{fmt.Sprint(round - 1), fmt.Sprint(round)} {
					for queue := range 10 {
						if got := pop(t, cs, fmt.Sprintf("c%d-%d", user, queue)); got != want {
							t.Errorf("user %d, queue %d: got %q, want %s", user, queue, got, want)
						}
					}
				}
			}
		})
	}
	users.Wait()
}
