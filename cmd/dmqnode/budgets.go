package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/memory"
)

// budgets are the limits whose defaults depend on the machine.
type budgets struct {
	channels        int
	mappings        int // of ring files
	input, output   int // bytes of memory
	peerConnections int
	descriptors     int // the first one that is not for connections; 0 = there is no limit
}

const (
	// A queue in use takes two mappings or so, and at least so much of the disk.
	mappingShare = 4
	queueDisk    = 1 << 20
	minChannels  = 1024
	// The memory for input and output.
	memoryShare = 16
	minMemory   = 16 << 20
	maxMemory   = 1 << 30
	// The descriptors that connections can't have: files, control sockets, HTTP.
	minDescriptors  = 32
	maxDescriptors  = 512
	descriptorShare = 8
	// leastShared is the least connection_limit of which one address can't have all.
	leastShared = 100
)

// newBudgets finds out what the machine has, and logs what follows.
func newBudgets(cfg *config.Config, log *zap.Logger) budgets {
	ram, err := memory.Read()
	if err != nil {
		log.Warn("the memory that the node may use is not known", zap.Error(err))
	}
	b := budgets{
		channels:        cfg.Limits.Channels,
		input:           cfg.Limits.InputMemory,
		output:          cfg.Limits.OutputMemory,
		peerConnections: cfg.Limits.PeerConnections,
	}
	mappings, disk := maxMappings(), diskFree(cfg.Server.DataDir)
	b.mappings = mappings / 2 // the other half is for buffers, rings in memory and the runtime
	if b.channels == 0 {
		b.channels = max(minChannels, min(mappings/mappingShare, int(disk/queueDisk)))
	}
	if b.input == 0 {
		b.input = min(max(minMemory, int(ram.Bytes/memoryShare)), maxMemory)
	}
	if b.output == 0 {
		b.output = b.input
	}
	if b.peerConnections < 0 {
		b.peerConnections = 0
		if limit := int(cfg.Server.ConnectionLimit); limit >= leastShared {
			b.peerConnections = limit * 9 / 10
		}
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Cur < 1<<30 {
		b.descriptors = int(files.Cur) - min(max(minDescriptors, int(files.Cur)/descriptorShare), maxDescriptors)
	}
	setMemoryLimit(ram.Bytes)
	log.Info("limits", zap.Int("channels", b.channels), zap.Int("vm.max_map_count", mappings), zap.Uint64("disk_free", disk),
		zap.Int("input_bytes", b.input), zap.Int("output_bytes", b.output), zap.Uint64("ram", ram.Bytes),
		zap.Int("peer_connections", b.peerConnections), zap.Int("descriptors_for_connections", b.descriptors))
	return b
}

// setMemoryLimit makes the collector work harder before the heap takes half of the memory; rings
// are not in it. The environment has the last word.
func setMemoryLimit(ram uint64) {
	if ram > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(ram / 2))
	}
}

// maxMappings is how many mappings a process may have; what is usual if that is not known.
func maxMappings() int {
	text, err := os.ReadFile("/proc/sys/vm/max_map_count")
	if err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return n
		}
	}
	return 65530
}

// diskFree is how much room there is where a directory is, or will be.
func diskFree(dir string) uint64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil && unix.Statfs(".", &s) != nil {
		return 0
	}
	return s.Bavail * uint64(s.Bsize)
}
