package dump

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// parse is an independent reading of storage spec §2.6: records, how many bytes they take
// with the header, and whether all rules hold.
func parse(file []byte) (records []string, size int, intact bool) {
	var items uint32
	var n uint64
	in := strings.NewReader(string(file))
	if binary.Read(in, binary.LittleEndian, &items) != nil || binary.Read(in, binary.LittleEndian, &n) != nil {
		return nil, 0, false
	}
	missing := n > uint64(in.Len())
	if !missing {
		in = strings.NewReader(string(file[12 : 12+n]))
	}
	size = 12
	for range items {
		var length uint64
		if binary.Read(in, binary.LittleEndian, &length) != nil || length > uint64(in.Len()) {
			return records, size, false
		}
		payload := make([]byte, length)
		io.ReadFull(in, payload)
		records = append(records, string(payload))
		size += 8 + len(payload)
	}
	return records, size, in.Len() == 0 && !missing
}

func FuzzReader(f *testing.F) {
	for name := range fixtureRecords {
		file, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
		f.Add(file[:len(file)-1])
		f.Add(append(file, 0))
	}
	f.Add([]byte{})
	f.Add(make([]byte, 12))
	f.Add([]byte("\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf7\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, file []byte) {
		want, size, intact := parse(file)
		r, err := Open(&memoryDir{content: file}, "orders.rq")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var got []string
		for {
			run, n, err := r.Next()
			if cap(r.buffer) > len(file) {
				t.Fatalf("memory: got %d bytes for a file of %d", cap(r.buffer), len(file))
			}
			if err != nil {
				checkEnd(t, err, file, len(got), size, intact)
				break
			}
			records := payloads(run)
			if len(records) != n {
				t.Fatalf("records in a run: got %d, want %d", len(records), n)
			}
			got = append(got, records...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("records: got %q, want %q", got, want)
		}
	})
}

// checkEnd checks the last error. What is before the offset of damage is an intact dump, once
// its header says so.
func checkEnd(t *testing.T, err error, file []byte, records, size int, intact bool) {
	t.Helper()
	if intact {
		if err != io.EOF {
			t.Errorf("intact: got %v, want %v", err, io.EOF)
		}
		return
	}
	var damage *DamageError
	if !errors.As(err, &damage) || damage.Offset != int64(size) || damage.Got != uint64(records) || damage.Reason == "" {
		t.Fatalf("got %v, want damage at offset %d after %d records", err, size, records)
	}
	if size == 0 {
		return
	}
	repaired := slices.Clone(file[:size])
	binary.LittleEndian.PutUint32(repaired[0:], uint32(damage.Got))
	binary.LittleEndian.PutUint64(repaired[4:], uint64(damage.Offset-headerSize))
	if got, err := readAll(&memoryDir{content: repaired}, "orders.rq"); len(got) != records || err != nil {
		t.Errorf("repaired: got %d records, %v, want %d", len(got), err, records)
	}
}
