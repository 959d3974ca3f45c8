// Package storagetest gives tests of other packages channels that really store.
package storagetest

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Options are those of channels in a directory of the test, with rings in memory that have that
// size.
func Options(t testing.TB, ringSize uint64) storage.Options {
	return storage.Options{
		Dir:      t.TempDir(),
		Keep:     true, // there is no use in writing dumps
		RingSize: func(string) uint64 { return ringSize },
		Logs:     func(string) *zap.Logger { return zap.NewNop() },
	}
}

// Start returns channels, which are removed and closed when the test ends.
func Start(t testing.TB, options storage.Options) *storage.Channels {
	t.Helper()
	cs, err := storage.Load(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range cs.All() {
			cs.Remove([]byte(c.Name())) // so that Close has less to save
		}
		if err := cs.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := cs.Serve(); err != nil {
		t.Fatal(err)
	}
	return cs
}

// StartFull returns channels on a disk that is full, so that none can be added.
func StartFull(t testing.TB) *storage.Channels {
	t.Helper()
	options := Options(t, 0)
	options.MinFree = 1 << 62
	cs := Start(t, options)
	for stored := true; stored; { // as long as that is not noticed
		c, err := cs.Open([]byte("all"))
		if err != nil {
			break
		}
		stored = c.Push([]byte("v")) == nil
		c.Commit()
	}
	for _, filler := range []string{strings.Repeat("x", 240), ""} { // as long as there is room in the catalogue
		for i := 0; ; i++ {
			c, err := cs.Open(fmt.Appendf(nil, "%s%d", filler, i))
			if err != nil {
				break
			}
			c.Commit()
		}
	}
	return cs
}
