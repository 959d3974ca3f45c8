package main

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// Whether rings are in memory is known also if only their directory is.
func TestRingsOnTmpfs(t *testing.T) {
	const memory = "/dev/shm"
	var fs unix.Statfs_t
	if unix.Statfs(memory, &fs) != nil || fs.Type != unix.TMPFS_MAGIC {
		t.Skip(memory, "is no tmpfs")
	}
	disk := t.TempDir()
	if unix.Statfs(disk, &fs) != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Skip(disk, "is in memory, too")
	}
	for _, test := range []struct {
		data, rings string
		ring        config.RingKind
		onTmpfs     bool
		size        uint64
	}{
		{data: disk},
		{data: disk, ring: config.RingMemory, size: 7},
		{data: disk, rings: memory, onTmpfs: true, size: 7},
		{data: memory, onTmpfs: true, size: 7},
		{data: memory, rings: disk},
		{data: filepath.Join(disk, "missing")},
	} {
		cfg := &config.Config{}
		cfg.Server.DataDir, cfg.Server.ChannelSizeLimit = test.data, 7
		cfg.Storage.RingDir, cfg.Storage.Ring = test.rings, test.ring
		if got := onTmpfs(cfg); got != test.onTmpfs {
			t.Errorf("%+v: on tmpfs: got %v", test, got)
		}
		if got := memoryRing(cfg); got != test.size {
			t.Errorf("%+v: size of a ring in memory: got %d", test, got)
		}
	}
}
