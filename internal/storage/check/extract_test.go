package check

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// records parses a dump (storage spec §2.1).
func records(t *testing.T, dump []byte) (all []string) {
	t.Helper()
	if len(dump) < 12 || binary.LittleEndian.Uint64(dump[4:]) != uint64(len(dump)-12) {
		t.Fatalf("not a dump: %q", dump)
	}
	for rest := dump[12:]; len(rest) > 0; {
		n := 8 + int(binary.LittleEndian.Uint64(rest))
		all = append(all, string(rest[8:n]))
		rest = rest[n:]
	}
	if n := binary.LittleEndian.Uint32(dump); int(n) != len(all) {
		t.Errorf("the dump announces %d records and has %q", n, all)
	}
	return all
}

func TestExtract(t *testing.T) {
	y := strings.Repeat("y", 57)
	for _, tc := range []struct {
		file string
		id   uint32
		want []string
	}{
		{"interleaved/overflow.dat", 2, []string{"log-4-" + strings.Repeat("x", 24), "", "log-8", "log-9-after-truncation"}},
		{"interleaved/overflow.dat", 4, []string{"e1-" + y, "e3-" + y}},
		{"interleaved/overflow.dat", 5, []string{"orphan-" + strings.Repeat("z", 57)}},
		{"interleaved/logs.rq", 0, []string{"log-1", "", "log-3", "log-5", "log-6-abc"}},
		{"crash/lost-index/overflow.dat", 1, []string{"first", "third"}},
		{"crash/stale-pushed/overflow.dat", 1, []string{"first", "second", "third", "fourth"}},
		{"crash/stale-drained/overflow.dat", 2, []string{"new"}}, // what was before was consumed
	} {
		path := fixture(t, filepath.Dir(tc.file))
		var dump bytes.Buffer
		count, damage, err := Extract(filepath.Join(path, filepath.Base(tc.file)), tc.id, &dump)
		if err != nil || damage != "" {
			t.Errorf("%s, id %d: %q, %v", tc.file, tc.id, damage, err)
			continue
		}
		if got := records(t, dump.Bytes()); !reflect.DeepEqual(got, tc.want) || count.Records != uint64(len(got)) {
			t.Errorf("%s, id %d: got %v, %q, want %q", tc.file, tc.id, count, got, tc.want)
		}
	}
}

// The index that was set aside with the data file gives names, and tells what was consumed.
func TestExtractFromFilesSetAside(t *testing.T) {
	path := fixture(t, "crash/stale-pushed")
	rename(t, path, dataFile, "overflow-aside-3.dat")
	rename(t, path, indexFile, "ofchannels-aside-3.csv")
	write(t, path, "ofchannels-aside-3.csv", "ch1 1 6 45 45\n")
	aside := filepath.Join(path, "overflow-aside-3.dat")
	_, _, err := Extract(aside, 0, &bytes.Buffer{})
	if want := "id 1, 3 records of 17 bytes of storage ch1"; !errors.Is(err, ErrWhich) || !strings.Contains(err.Error(), want) {
		t.Errorf("without an id: got error %v, want it to tell: %s", err, want)
	}
	var dump bytes.Buffer
	if _, _, err := Extract(aside, 1, &dump); err != nil {
		t.Fatal(err)
	}
	want := []string{"second", "third", "fourth"}
	if got := records(t, dump.Bytes()); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A dump made of records that were set aside is loaded by the next start.
func TestExtractedDumpIsLoaded(t *testing.T) {
	path := fixture(t, "crash/lost-index")
	if _, err := recovered(path); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(path, "sub@ch.rq"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, _, err := Extract(filepath.Join(path, "overflow-aside-1.dat"), 1, out); err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{"sub@ch": 2}
	if got, err := recovered(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("a node has %v, %v; want %v", got, err, want)
	}
}

func TestExtractReportsWriteErrors(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	path := fixture(t, "interleaved")
	if _, _, err := Extract(filepath.Join(path, "logs.rq"), 0, full); err == nil {
		t.Error("no error though nothing could be written")
	}
}
