package dformat

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

const (
	benchRecords = 400_000
	benchSize    = 100
)

// drop reads all records of a directory, and drops them.
func drop(b *testing.B, dir disk.Dir) {
	d, err := Read(dir, Left{})
	if err != nil {
		b.Fatal(err)
	}
	for _, q := range d.Queues {
		for _, p := range []*Part{&q.Dump, &q.Overflow} {
			for _, err := range p.Runs() {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

// BenchmarkOverflow writes and reads the overflow that a clean stop leaves.
func BenchmarkOverflow(b *testing.B) {
	records := make([]string, benchRecords)
	for i := range records {
		records[i] = strings.Repeat("x", benchSize)
	}
	contents := []Content{{Number: 1, Storage: "a", Overflow: stream(records, 8000)}}
	dir, err := disk.OpenDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	perRecord := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRecords), "ns/record")
	}
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			if err := Write(dir, contents); err != nil {
				b.Fatal(err)
			}
		}
		perRecord(b)
	})
	if err := Commit(dir, nil); err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			drop(b, dir)
		}
		perRecord(b)
	})
}

// BenchmarkForeign reads an overflow of many storages whose records alternate, with a consumed
// one in front, so that it is read from start to end first.
func BenchmarkForeign(b *testing.B) {
	for _, storages := range []int{1, 100, 2000} {
		data := newBuilder()
		data.push(1<<20, "consumed")
		first := make(map[uint32]int)
		for i := range benchRecords {
			id := uint32(i % storages)
			at := data.push(id+1, strings.Repeat("x", benchSize))
			if i < storages {
				first[id] = at
			}
		}
		var index strings.Builder
		for id, at := range first {
			n := benchRecords / storages
			index.WriteString(line(fmt.Sprintf("c%d", id), n, n*benchSize, at, data.last[id+1]))
		}
		path := b.TempDir()
		dir, err := disk.OpenDir(path)
		if err == nil {
			err = errors.Join(os.WriteFile(filepath.Join(path, dataName), data.data, 0o666),
				os.WriteFile(filepath.Join(path, indexName), []byte(index.String()), 0o666))
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("storages=%d", storages), func(b *testing.B) {
			for b.Loop() {
				drop(b, dir)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRecords), "ns/record")
		})
	}
}
