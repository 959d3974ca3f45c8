// Package export turns the data directory of a stopped node into what the original expects: its
// dumps and its overflow, which a clean stop with [Storage] stop = dump leaves as well.
//
// It is that: a start without clients, and a clean stop. So it needs no knowledge of its own of
// either format, and a kill at any instant costs nothing.
package export

import (
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// Options say what is exported, and how.
type Options struct {
	Dir     string
	RingDir string // "" = Dir
	Limit   uint64 // bytes of a dump, more records go to the overflow; 0 = as large as the rings were
	Logs    func(logger string) *zap.Logger
}

// Result is what was exported.
type Result struct {
	Records, Bytes uint64 // bytes of payload
	Limit          uint64 // the smallest channel_size_limit with which the original loads it
}

// ErrNothing says that no node of this version has left the directory.
var ErrNothing = errors.New("there are no ring files of a node in it")

// Directory exports a data directory. After an error all records are where they were.
func Directory(o Options) (Result, error) {
	sizes, err := ringSizes(o)
	if err != nil {
		return Result{}, err
	}
	cs, err := storage.Load(storage.Options{
		Dir: o.Dir, RingDir: o.RingDir, RingInFile: true, Checksums: true, Logs: o.Logs,
		RingSize: func(channel string) uint64 {
			if o.Limit > 0 {
				return o.Limit
			}
			return sizes[channel]
		},
	})
	if err != nil {
		return Result{}, err
	}
	result, err := checkRoom(cs, o.Dir)
	if err == nil {
		err = cs.Serve()
	}
	if err := errors.Join(err, cs.Close()); err != nil {
		return Result{}, err
	}
	result.Limit, err = largestDump(o.Dir)
	return result, err
}

// ringSizes returns how large the rings of the channels were, as their files and dumps tell.
func ringSizes(o Options) (sizes map[string]uint64, err error) {
	dir, err := disk.OpenDirReadOnly(o.Dir)
	if err != nil {
		return nil, err
	}
	rings := dir
	if o.RingDir != "" {
		if rings, err = disk.OpenDirReadOnly(o.RingDir); err != nil {
			return nil, err
		}
	}
	plan, err := storage.MakePlan(dir, rings)
	if err != nil {
		return nil, err
	}
	if _, err := dir.Stat(catalogue.FileName); disk.IsNotExist(err) && len(plan.Queues) == 0 {
		return nil, fmt.Errorf("%s: %w", o.Dir, ErrNothing)
	}
	sizes = make(map[string]uint64)
	for _, q := range plan.Queues {
		_, channel, _, _ := names.ParseStorage(q.Name)
		for _, h := range q.Files {
			if h.Kind == ring.Main {
				sizes[channel] = max(sizes[channel], h.Capacity)
			}
		}
	}
	for _, q := range plan.Original.Queues {
		sizes[q.Channel] = max(sizes[q.Channel], q.Dump.Bytes)
	}
	return sizes, nil
}

// checkRoom makes sure that there is room for the files, as long as nothing is changed.
func checkRoom(cs *storage.Channels, path string) (all Result, err error) {
	var contents []dformat.Content
	for i, f := range cs.Figures() {
		contents = append(contents, dformat.Content{
			Number: uint64(i), Storage: names.Storage(f.Subscriber, f.Channel, f.Subscribed),
			Dump:     dformat.Stream{Records: f.MemoryRecords, Bytes: f.MemoryBytes},
			Overflow: dformat.Stream{Records: f.OverflowRecords, Bytes: f.OverflowBytes + ring.HeaderSize*f.OverflowRecords},
		})
		all.Records += f.MemoryRecords + f.OverflowRecords
		all.Bytes += f.MemoryBytes - ring.HeaderSize*f.MemoryRecords + f.OverflowBytes
	}
	dir, err := disk.OpenDirReadOnly(path)
	if err != nil {
		return all, err
	}
	need := dformat.Need(contents)
	if free, err := dir.Free(); err == nil && free < need {
		return all, fmt.Errorf("dumps and overflow need %d bytes of disk space in %s, where %d are free. Nothing has been changed", need, path, free)
	}
	return all, nil
}

// largestDump returns the bytes that the largest dump has in memory.
func largestDump(path string) (largest uint64, err error) {
	const header = 12
	dir, err := disk.OpenDirReadOnly(path)
	if err != nil {
		return 0, err
	}
	entries, err := dir.List()
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".rq") {
			largest = max(largest, uint64(max(header, info.Size()))-header)
		}
	}
	return largest, err
}
