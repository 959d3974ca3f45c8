package storage

import (
	"path/filepath"
	"testing"

	"go.uber.org/zap"
)

// realOptions are those of a directory of the operating system.
func realOptions(path string) Options {
	return Options{
		Dir:        path,
		RingInFile: true,
		RingSize:   func(string) uint64 { return 1000 },
		Logs:       func(string) *zap.Logger { return zap.NewNop() },
	}
}

func mustLoad(t testing.TB, options Options) *Channels {
	t.Helper()
	cs, err := Load(options)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return cs
}

// serve starts a node that is stopped at the end of the test.
func serve(t testing.TB, options Options) *Channels {
	t.Helper()
	cs := mustLoad(t, options)
	if err := cs.Serve(); err != nil {
		t.Fatalf("Serve: %v", err)
	}
	t.Cleanup(func() {
		if err := cs.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return cs
}

// newTestChannels returns channels with rings of that size in memory.
func newTestChannels(t testing.TB, ringSize uint64) *Channels {
	t.Helper()
	options := realOptions(filepath.Join(t.TempDir(), "data"))
	options.RingInFile, options.Keep = false, true
	options.RingSize = func(string) uint64 { return ringSize }
	return serve(t, options)
}

func openChannel(t testing.TB, cs *Channels, name string) *Channel {
	t.Helper()
	c, err := cs.Open([]byte(name))
	if err != nil {
		t.Fatalf("Open(%s): %v", name, err)
	}
	return c
}

// push pushes records to a channel under one lock.
func push(t testing.TB, cs *Channels, channel string, payloads ...string) {
	t.Helper()
	c := openChannel(t, cs, channel)
	defer c.Commit()
	for _, p := range payloads {
		if err := c.Push([]byte(p)); err != nil {
			t.Fatalf("Push to %s: %v", channel, err)
		}
	}
}

func subscribe(t testing.TB, cs *Channels, channel, subscriber string) *Storage {
	t.Helper()
	c := openChannel(t, cs, channel)
	defer c.Commit()
	s, err := c.Subscribe(subscriber)
	if err != nil {
		t.Fatalf("Subscribe(%s) to %s: %v", subscriber, channel, err)
	}
	return s
}
