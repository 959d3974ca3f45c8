package dump

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

func BenchmarkWrite(b *testing.B) {
	all, records := benchmarkRecords()
	dir, _ := tempDir(b)
	b.SetBytes(int64(len(all)))
	for b.Loop() {
		if err := Write(dir, temporary, uint64(records), uint64(len(all)), runs(all[:len(all)/2], all[len(all)/2:])); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	all, records := benchmarkRecords()
	dir, _ := tempDir(b)
	if err := Write(dir, "orders.rq", uint64(records), uint64(len(all)), runs(all)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(all)))
	for b.Loop() {
		if got := drain(b, dir); got != records {
			b.Fatalf("got %d records, want %d", got, records)
		}
	}
}

// benchmarkRecords is 64 MB in records of 100 bytes, an even number of them.
func benchmarkRecords() (all []byte, records int) {
	records = 64_000_000 / 108 &^ 1
	return slices.Repeat(run(strings.Repeat("x", 100)), records), records
}

func drain(b *testing.B, dir disk.Dir) (records int) {
	r, err := Open(dir, "orders.rq")
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for {
		_, n, err := r.Next()
		if err == io.EOF {
			return records
		}
		if err != nil {
			b.Fatal(fmt.Errorf("after %d records: %w", records, err))
		}
		records += n
	}
}
