package dump

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

const temporary = "orders.tmp.dat"

// fixtureRecords is what storage spec §8.1 and §8.2 say is in the files of the original.
var fixtureRecords = map[string][]string{
	"loadfiles/@ch1.rq":          {"Hello ch1!"},
	"loadfiles/sub1@ch1.rq":      {"Hello ch1!"},
	"loadfiles/sub2@ch1.rq":      {"Hello ch1!"},
	"loadfiles/ch2.rq":           {"Hello ch2!"},
	"loadfiles/@ch3.rq":          {"Hello ch3!"},
	"interleaved/logs.rq":        {"log-1", "", "log-3", "log-5", "log-6-abc"},
	"interleaved/@events.rq":     {"e0", "e2"},
	"interleaved/sub1@events.rq": {"e2"},
}

// tempDir returns a new directory, and its path.
func tempDir(t testing.TB) (disk.Dir, string) {
	t.Helper()
	path := t.TempDir()
	dir, err := disk.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return dir, path
}

// fixtures returns a copy of a directory in testdata.
func fixtures(t *testing.T, name string) disk.Dir {
	t.Helper()
	dir, path := tempDir(t)
	if err := os.CopyFS(path, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// list returns the names of the entries of a directory, separated by blanks.
func list(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// readAll reads a dump to the end. The error is nil if that is io.EOF.
func readAll(dir disk.Dir, fileName string) (records []string, err error) {
	r, err := Open(dir, fileName)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		run, n, err := r.Next()
		if err == io.EOF {
			return records, nil
		}
		if err != nil {
			return records, err
		}
		got := payloads(run)
		if len(got) != n {
			return records, errors.New("a run does not have the records it is said to have")
		}
		records = append(records, got...)
	}
}

// payloads takes a run apart.
func payloads(run []byte) (payloads []string) {
	for len(run) > 0 {
		size, n := walk(run, 1)
		if n == 0 {
			return append(payloads, "not whole: "+string(run))
		}
		payloads = append(payloads, string(run[recordHeaderSize:size]))
		run = run[size:]
	}
	return payloads
}

// run lays out records as in a ring.
func run(payloads ...string) (b []byte) {
	for _, p := range payloads {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

func runs(runs ...[]byte) iter.Seq[[]byte] { return slices.Values(runs) }

// bytesOf decodes hex with blanks.
func bytesOf(t *testing.T, h string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(h, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dumpOf returns a dump file.
func dumpOf(payloads ...string) []byte {
	all := run(payloads...)
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(payloads)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(all)))
	return append(b, all...)
}

// large is a dump of several reads and writes, with a record larger than any buffer.
func large() (payloads []string, size uint64, all []byte) {
	for i := range 20 {
		payloads = append(payloads, strings.Repeat(string(rune('a'+i)), i*7919))
	}
	payloads = append(payloads, strings.Repeat("large", bufferSize/2), "", "last")
	all = run(payloads...)
	return payloads, uint64(len(all)), all
}

// memoryDir is a directory with one file, and that file, of which only what reading needs
// works.
type memoryDir struct {
	disk.Dir
	disk.File
	content []byte
	size    int64 // as the file tells; 0 = that of the content
}

func (d *memoryDir) Open(string) (disk.File, error) { return d, nil }
func (d *memoryDir) Path(name string) string        { return "data/" + name }
func (d *memoryDir) Close() error                   { return nil }
func (d *memoryDir) Size() (int64, error)           { return max(d.size, int64(len(d.content))), nil }
func (d *memoryDir) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(d.content).ReadAt(p, at)
}

// Sync is that of both.
func (d *memoryDir) Sync() error { return nil }
